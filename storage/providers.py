"""Configured AI providers, of which at most one is active."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.records import ProviderConfig
from storage.tables import IntelligenceProvider
from storage.tables.base import utc_now


class ProviderExistsError(Exception):
    """A provider of that name is there already."""


def add_provider(
    session: Session, *, name: str, provider: str, config: Mapping[str, Any], description: str = ""
) -> ProviderConfig:
    """Store a provider that is not active. Raises ProviderExistsError."""
    row = IntelligenceProvider(name=name, provider=provider, config=dict(config), description=description)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise ProviderExistsError(f"there is a provider {name!r} already") from None
    return _record(row)


def edit_provider(
    session: Session, name: str, *, config: Mapping[str, Any] | None = None, description: str | None = None
) -> bool:
    """Replace a provider's config, its description, or both. False when there is none of that name."""
    row = find(session, name)
    if row is None:
        return False
    if config is not None:
        row.config = dict(config)
    if description is not None:
        row.description = description
    session.flush()
    return True


def remove_provider(session: Session, name: str) -> bool:
    """Forget a provider; what it answered stays. False when there is none of that name."""
    row = find(session, name)
    if row is None:
        return False
    session.delete(row)
    session.flush()
    return True


def activate(session: Session, name: str) -> bool:
    """Make a provider the active one, instead of any other. False when there is none of that name.

    Of two that do so at once, the second waits for the first.
    """
    rows = session.scalars(
        select(IntelligenceProvider)
        .order_by(IntelligenceProvider.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = next((row for row in rows if row.name == name), None)
    if row is None:
        return False
    deactivate(session)
    row.is_active = True
    session.flush()
    return True


def deactivate(session: Session) -> int:
    """Let no provider be active: the local rules answer then. How many were."""
    result = session.execute(
        update(IntelligenceProvider).where(IntelligenceProvider.is_active).values(is_active=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it


def switch_off(session: Session, name: str) -> bool:
    """Let the local rules answer in place of this provider. False where it is not the active one."""
    result = session.execute(
        update(IntelligenceProvider)
        .where(IntelligenceProvider.name == name, IntelligenceProvider.is_active)
        .values(is_active=False, updated_at=utc_now())
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it


def find_active(session: Session) -> ProviderConfig | None:
    """The active provider, if there is one."""
    row = session.scalar(select(IntelligenceProvider).where(IntelligenceProvider.is_active))
    return _record(row) if row else None


def find(session: Session, name: str) -> IntelligenceProvider | None:
    """A provider by its name."""
    return session.scalar(select(IntelligenceProvider).where(IntelligenceProvider.name == name))


def list_providers(session: Session) -> list[IntelligenceProvider]:
    """All of them in the order in which they were added."""
    return list(session.scalars(select(IntelligenceProvider).order_by(IntelligenceProvider.id)))


def _record(row: IntelligenceProvider) -> ProviderConfig:
    return ProviderConfig(name=row.name, provider=row.provider, config=row.config)
