"""What may be changed about definitions and what is refused: by the same rules in the API and in the console.

Each function is one transaction's part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage import definitions as rows
from storage.definitions import DefinitionExistsError, DefinitionNotFoundError
from storage.routes import routes_naming
from storage.storable import storable_text
from storage.tables import PipelineDefinition
from tasks.definition.checking import faults_of
from tasks.definition.presets import PRESETS
from tasks.definition.takers import takes_webhooks
from webhook_app.definition_fields import holds_mask

DESCRIPTION_MAX_CHARS = 2_000
TAGS_MAX = 50
TAG_MAX_CHARS = 100


class RefusedError(Exception):
    """A change that cannot be made: with which status that is answered, why, and what stands against it."""

    def __init__(self, status: int, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields


@dataclass(frozen=True)
class NewConfig:
    """What is saved: without a description or tags, those of the config."""

    config: dict[str, Any]
    editor: str
    description: str | None = None
    tags: Sequence[str] | None = None
    is_active: bool | None = None


def find(session: Session, name: str) -> PipelineDefinition:
    """The definition of that name. Raises DefinitionNotFoundError."""
    row = rows.find(session, storable_text(name))
    if row is None:
        raise DefinitionNotFoundError
    return row


def lock(session: Session, name: str, version: int | None = None) -> PipelineDefinition:
    """The definition, to be changed. Raises DefinitionNotFoundError, or RefusedError for another version."""
    which = PipelineDefinition.name == storable_text(name)
    row = session.scalar(select(PipelineDefinition).where(which).with_for_update())
    if row is None:
        raise DefinitionNotFoundError
    if version not in (None, row.version):
        raise RefusedError(409, f"version: {row.version} is stored by now", version=row.version)
    return row


def check_config(config: Mapping[str, Any], *, saved: Mapping[str, Any]) -> None:
    """Refuse a config that cannot be run, or that lost its secrets on the way. Raises RefusedError."""
    if holds_mask(config, saved):
        raise RefusedError(400, "config: holds ***, which stands for a secret that an answer hid; say it anew")
    if faults := faults_of(config):
        raise RefusedError(400, "config: the definition cannot be run", errors=faults)


def create(session: Session, name: str, wish: NewConfig) -> PipelineDefinition:
    """Save a new definition, whose config was checked. Raises DefinitionExistsError."""
    if rows.find(session, name):
        raise DefinitionExistsError(f"there is a definition {name!r} already")
    try:
        with session.begin_nested():
            return _save(session, name, wish)
    except IntegrityError:
        raise DefinitionExistsError(f"there is a definition {name!r} already") from None


def replace(session: Session, row: PipelineDefinition, wish: NewConfig) -> PipelineDefinition:
    """Put another config in its place, which was checked. Raises RefusedError."""
    if wish.is_active is False or not takes_webhooks(wish.config):
        _refuse_if_needed(session, row)
    return _save(session, row.name, wish)


def switch(session: Session, row: PipelineDefinition, *, is_active: bool) -> None:
    """Let it be run, or not any more. Raises RefusedError."""
    if not is_active:
        _refuse_if_needed(session, row)
    elif faults := faults_of(row.config):
        raise RefusedError(409, "the definition cannot be run, so it is not switched on", errors=faults)
    rows.set_active(session, row.name, is_active=is_active)


def rename(session: Session, row: PipelineDefinition, new_name: str) -> PipelineDefinition:
    """Give it another name. Raises RefusedError, or DefinitionExistsError."""
    _refuse_preset(row)
    _refuse_if_needed(session, row)
    return rows.rename(session, row.name, new_name)


def remove(session: Session, row: PipelineDefinition) -> None:
    """Forget it; runs of it go on with the version that they began with. Raises RefusedError."""
    _refuse_preset(row)
    _refuse_if_needed(session, row)
    rows.remove(session, row.name)


def _save(session: Session, name: str, wish: NewConfig) -> PipelineDefinition:
    description = wish.config.get("description", "") if wish.description is None else wish.description
    tags = wish.config.get("tags", []) if wish.tags is None else wish.tags
    row = rows.save(
        session, name=name, config=wish.config, description=description, tags=tags, created_by=wish.editor
    )
    row.created_by = wish.editor  # also where the config is the shipped one: it is no more the start's to change
    if wish.is_active is not None:
        rows.set_active(session, name, is_active=wish.is_active)
    session.flush()
    return row


def _refuse_preset(row: PipelineDefinition) -> None:
    if row.name in PRESETS:
        raise RefusedError(409, "a preset comes back with the next start; it can only be switched off (is_active)")


def _refuse_if_needed(session: Session, row: PipelineDefinition) -> None:
    if not row.is_active:
        return
    if naming := routes_naming(session, row.name):
        raise RefusedError(409, "webhooks go to it by the routes; change them first", routes=naming)
    if row.name == current_app.config["WATCHKEEPER"].pipeline:
        message = "it takes the webhooks that name no pipeline; set WATCHKEEPER_PIPELINE to another first"
        raise RefusedError(409, message)
