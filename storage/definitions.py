"""Saved pipeline definitions."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import PipelineDefinition

SHIPPED = "watchkeeper"


def find_active(session: Session, name: str) -> PipelineDefinition | None:
    """The active definition of that name."""
    return session.scalar(
        select(PipelineDefinition).where(PipelineDefinition.name == name, PipelineDefinition.is_active)
    )


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
    """Store a definition; the version rises when its config differs from the stored one.

    A shipped one never replaces what somebody has made of it.
    """
    saved = session.scalar(select(PipelineDefinition).where(PipelineDefinition.name == name))
    if saved is None:
        saved = PipelineDefinition(
            name=name, config=dict(config), description=description, tags=list(tags), created_by=created_by
        )
        session.add(saved)
    elif created_by == SHIPPED and saved.created_by != SHIPPED:
        return saved  # somebody made it their own
    elif saved.config != config:
        saved.created_by = created_by
        saved.version += 1
        saved.config, saved.description, saved.tags = dict(config), description, list(tags)
    session.flush()
    return saved
