"""Saved pipeline definitions, and every version that each of them has had."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage import inbox
from storage.tables import DefinitionVersion, PipelineDefinition
from storage.tables.base import utc_now

SHIPPED = "watchkeeper"
LOCK = 0x57434B44  # "WCKD"
# A larger number makes PostgreSQL raise.
VERSION_MAX = 2**31 - 1


class DefinitionExistsError(Exception):
    """A definition of that name is there already."""


class DefinitionNotFoundError(Exception):
    """There is no definition of that name."""


def find(session: Session, name: str) -> PipelineDefinition | None:
    """The definition of that name, active or not."""
    return session.scalar(select(PipelineDefinition).where(PipelineDefinition.name == name))


def find_active(session: Session, name: str) -> PipelineDefinition | None:
    """The active definition of that name."""
    return session.scalar(
        select(PipelineDefinition).where(PipelineDefinition.name == name, PipelineDefinition.is_active)
    )


def config_of_version(session: Session, name: str, version: int) -> dict[str, Any] | None:
    """A definition's config as it was at that version; None where it is not kept."""
    found = find_version(session, name, version)
    return found.config if found else None


def find_version(session: Session, name: str, version: int) -> DefinitionVersion | None:
    """A definition as it was at that version; None where it is not kept."""
    return session.get(DefinitionVersion, (name, version)) if version <= VERSION_MAX else None


def list_versions(session: Session, name: str, *, limit: int) -> list[DefinitionVersion]:
    """The newest versions of a definition, newest first."""
    query = select(DefinitionVersion).where(DefinitionVersion.name == name)
    return list(session.scalars(query.order_by(DefinitionVersion.version.desc()).limit(limit)))


def list_definitions(
    session: Session, *, is_active: bool | None = None, after_name: str = "", limit: int | None = None
) -> list[PipelineDefinition]:
    """Definitions by name, from the one after `after_name` on."""
    query = select(PipelineDefinition).order_by(PipelineDefinition.name).limit(limit)
    if is_active is not None:
        query = query.where(PipelineDefinition.is_active == is_active)
    if after_name:
        query = query.where(PipelineDefinition.name > after_name)
    return list(session.scalars(query))


def active_names(session: Session) -> list[str]:
    """The names of all pipelines that can be run."""
    return list(
        session.scalars(
            select(PipelineDefinition.name).where(PipelineDefinition.is_active).order_by(PipelineDefinition.name)
        )
    )


def save(
    session: Session,
    *,
    name: str,
    config: Mapping[str, Any],
    description: str = "",
    tags: Sequence[str] = (),
    created_by: str = "",
) -> PipelineDefinition:
    """Store a definition, active if it is new; the version rises when its config differs from the stored one.

    A shipped one never replaces what somebody has made of it. Wakes the relay, which makes its deployment.
    """
    saved = _to_change(session, name)
    if saved is None:
        saved = PipelineDefinition(
            name=name,
            config=dict(config),
            description=description,
            tags=list(tags),
            created_by=created_by,
            version=_next_version(session, name),
        )
        session.add(saved)
    elif created_by == SHIPPED and saved.created_by != SHIPPED:
        return saved  # somebody made it their own
    elif saved.config != config:
        saved.created_by = created_by
        saved.version = _next_version(session, name)
        saved.config, saved.description, saved.tags = dict(config), description, list(tags)
    elif (saved.description, saved.tags) != (description, list(tags)):
        saved.description, saved.tags = description, list(tags)
    else:
        return saved
    session.flush()
    if session.get(DefinitionVersion, (name, saved.version)) is None:
        session.add(
            DefinitionVersion(name=name, version=saved.version, config=dict(config), created_by=created_by)
        )
        session.flush()
    inbox.wake(session.connection())
    return saved


def rename(session: Session, name: str, new_name: str) -> PipelineDefinition:
    """Give a definition another name; runs of the old one keep theirs, and go on with the versions kept under it.

    Raises DefinitionNotFoundError, or DefinitionExistsError.
    """
    saved = _found(session, name)
    saved.version = max(saved.version + 1, _next_version(session, new_name))
    try:
        with session.begin_nested():
            saved.name = new_name
            session.add(
                DefinitionVersion(
                    name=new_name, version=saved.version, config=saved.config, created_by=saved.created_by
                )
            )
    except IntegrityError:
        raise DefinitionExistsError(f"there is a definition {new_name!r} already") from None
    inbox.wake(session.connection())
    return saved


def set_active(session: Session, name: str, *, is_active: bool) -> PipelineDefinition:
    """Let a definition be run, or not any more. Raises DefinitionNotFoundError."""
    saved = _found(session, name)
    saved.is_active = is_active
    session.flush()
    inbox.wake(session.connection())
    return saved


def set_schedule(session: Session, name: str, schedule: Mapping[str, Any] | None) -> PipelineDefinition:
    """When a definition is to run by itself; None wishes nothing. Raises DefinitionNotFoundError."""
    saved = _found(session, name)
    saved.schedule = None if schedule is None else dict(schedule)
    session.flush()
    inbox.wake(session.connection())
    return saved


def remove(session: Session, name: str) -> None:
    """Forget a definition; its versions stay, for the runs of them. Raises DefinitionNotFoundError."""
    session.delete(_found(session, name))
    session.flush()
    inbox.wake(session.connection())


def stamp(session: Session) -> tuple[Any, ...]:
    """What differs once any definition was saved, renamed, switched or removed."""
    active = func.count().filter(PipelineDefinition.is_active)
    row = session.execute(select(func.count(), active, func.max(PipelineDefinition.updated_at))).one()
    return tuple(row)


def missing_names(session: Session, names: Collection[str]) -> list[str]:
    """Which of these pipelines cannot be run, in order."""
    known = set(active_names(session))
    return [name for name in dict.fromkeys(names) if name not in known]


def _to_change(session: Session, name: str) -> PipelineDefinition | None:
    """The definition as the transaction before this one left it.

    Of two that changed one at once, both would make the same version of it, and runs of that follow but one.
    """
    # SQLite has one writer at a time anyway.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    query = select(PipelineDefinition).where(PipelineDefinition.name == name)
    return session.scalar(query.execution_options(populate_existing=True))


def _found(session: Session, name: str) -> PipelineDefinition:
    saved = _to_change(session, name)
    if saved is None:
        raise DefinitionNotFoundError(f"there is no definition {name!r}")
    saved.updated_at = utc_now()
    return saved


def _next_version(session: Session, name: str) -> int:
    query = select(func.max(DefinitionVersion.version)).where(DefinitionVersion.name == name)
    return (session.scalar(query) or 0) + 1
