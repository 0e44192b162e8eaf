"""Definitions as the API shows them, and what may be said against them."""

from collections.abc import Iterator, Mapping
from typing import Any

from flask import url_for
from sqlalchemy.orm import Session

from storage import definitions
from storage.redaction import MASK, redact
from storage.tables import PipelineDefinition
from tasks.definition.checking import faults_of
from tasks.definition.model import Definition
from tasks.definition.saving import doubts_about, warnings_of

VERSIONS_SHOWN = 50


def definition_fields(row: PipelineDefinition) -> dict[str, Any]:
    """A definition in a list of the API."""
    return {**definition_row(row), "url": url_for("definitions.show", name=row.name)}


def definition_row(row: PipelineDefinition) -> dict[str, Any]:
    """A definition in a list, wherever that is shown."""
    nodes = row.config.get("nodes")
    fields = {
        "name": row.name,
        "description": row.description,
        "version": row.version,
        "is_active": row.is_active,
        "tags": row.tags,
        "nodes": len(nodes) if isinstance(nodes, list) else 0,
        "schedule": row.schedule,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def definition_details(session: Session, row: PipelineDefinition) -> dict[str, Any]:
    """A definition with its config, its versions, and what is wrong with it, should anything be."""
    faults = faults_of(row.config)
    definition = None if faults else Definition.model_validate(row.config)
    return {
        **definition_fields(row),
        "config": redact(row.config),
        "entry_node": definition.path()[0].id if definition else None,
        "path": [node.id for node in definition.path()] if definition else [],
        "defaults": definition.defaults.model_dump() if definition else None,
        "deployment": f"{row.name}/{row.name}" if row.is_active else None,
        "errors": faults,
        "warnings": doubts_about(row.config) if faults else warnings_of(session, row.config),
        "versions": [
            {"version": kept.version, "created_by": kept.created_by, "created_at": kept.created_at}
            for kept in definitions.list_versions(session, row.name, limit=VERSIONS_SHOWN)
        ],
    }


def holds_mask(config: Mapping[str, Any], saved: Mapping[str, Any]) -> bool:
    """Whether a config was read from an answer that hid secrets of the saved one: to save it would lose them."""
    hidden = {MASK, *_texts(redact(saved))} - set(_texts(saved))
    return not hidden.isdisjoint(_texts(config))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
