"""Which definition a pipeline name stands for: the saved one, else the preset that we ship."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from storage import definitions
from storage.runs import HeldRun
from storage.tables import PipelineRun
from tasks.definition.checking import load_definition
from tasks.definition.model import Definition
from tasks.definition.presets import PRESETS, REDELIVERY, preset


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
    saved = definitions.find(session, name)
    if saved is not None and not saved.is_active:
        raise UnknownPipelineError(f"pipeline {name!r} is deactivated")
    if saved is not None:
        return NamedDefinition(name, saved.version, load_definition(saved.config))
    if name in PRESETS:
        return NamedDefinition(name, 0, preset(name))
    raise UnknownPipelineError(f"unknown pipeline {name!r}; there are {', '.join(PRESETS)}")


def definition_of_run(session: Session, run: HeldRun | PipelineRun) -> Definition:
    """What a run follows: the version that it began with, whatever the name stands for now.

    Raises as find_definition does.
    """
    if run.definition_config is not None:
        return load_definition(run.definition_config)
    kept = definitions.config_of_version(session, run.definition_name, run.definition_version)
    if kept is not None:
        return load_definition(kept)
    return find_definition(session, run.definition_name).definition


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
