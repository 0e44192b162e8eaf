"""Which definition a pipeline name stands for: the saved one, else the preset that we ship."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from flows.definition import Definition, read_definition
from flows.presets import PRESETS, REDELIVERY, preset
from storage import definitions


class UnknownPipelineError(Exception):
    """No active definition and no preset has this name."""


@dataclass(frozen=True)
class NamedDefinition:
    """A definition with the name and version under which it is known."""

    name: str
    version: int
    definition: Definition


def find_definition(session: Session, name: str) -> NamedDefinition:
    """The definition of a pipeline. Raises UnknownPipelineError, or DefinitionError for one that is faulty."""
    if name == REDELIVERY:
        return NamedDefinition(name, 0, preset(name))
    saved = definitions.find_active(session, name)
    if saved is not None:
        return NamedDefinition(name, saved.version, read_definition(saved.config))
    if name in PRESETS:
        return NamedDefinition(name, 0, preset(name))
    raise UnknownPipelineError(f"unknown pipeline {name!r}; there are {', '.join(PRESETS)}")


def save_presets(session: Session) -> None:
    """Write the presets as saved definitions, so that every room can look names up; newer ones replace older."""
    for name in PRESETS:
        definition = preset(name)
        definitions.save(
            session,
            name=name,
            description=definition.description,
            config=definition.model_dump(mode="json", exclude_defaults=True) | {"version": definition.version},
            tags=definition.tags,
            created_by=definitions.SHIPPED,
        )
