"""What each section of a document can do. A *form* is one entry whole, as plain data; `Forms` has them by name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, get_args

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from deployments.commands.applying.concealing import Path
from deployments.commands.applying.faults import place

Form = dict[str, Any]
Forms = dict[str, Form]
Whole = Mapping[str, Mapping[str, Form]]  # forms by name, by section

# Who made what a document changed. Not the user's name: one of a service is often that of what we ship.
APPLIER = "apply"


class Action(StrEnum):
    """What is to be done with an entry."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class Change:
    """One entry that differs. `before` is None for a new one, `after` for one that is to go."""

    section: str
    name: str
    before: Form | None
    after: Form | None
    paths: list[Path] = field(default_factory=list)

    @property
    def action(self) -> Action:
        """What is to be done."""
        if self.before is None:
            return Action.ADDED
        return Action.REMOVED if self.after is None else Action.CHANGED

    @property
    def place(self) -> str:
        """Where it stands in the document."""
        return self.section if self.name == self.section else place(self.section, self.name)


class Section(Protocol):
    """One part of a document."""

    name: str

    def read(self, given: Any) -> Forms:
        """The entries as they were written. Raises DocumentError with every fault."""

    def present(self, session: Session) -> Forms:
        """What is there now."""

    def complete(self, name: str, wanted: Form, present: Form | None) -> Form:
        """An entry with what it leaves out."""

    def faults(self, change: Change, after: Whole) -> Iterator[str]:
        """Why a change cannot be made; `after` is how all would be then."""

    def do(self, session: Session, change: Change) -> None:
        """Make a change."""

    def may_go(self, name: str, form: Form) -> bool:
        """Whether an entry that no document names may be removed."""

    def shown(self, form: Form) -> Form:
        """An entry without its secrets."""

    def clear_text(self, form: Form) -> Iterator[Path]:
        """Where an entry holds secrets themselves in place of references; none in {}."""

    def written(self, name: str, form: Form, found: dict[str, Path]) -> Any:
        """An entry for a document, with nothing that goes without saying; None where it need not stand there.

        In place of each secret that is kept in clear stands a variable, which is noted in `found`.
        """


def mapping_of(section: str, given: Any) -> tuple[dict[str, Any], list[str]]:
    """The entries by name, or the fault."""
    if isinstance(given, dict):
        return given, []
    return {}, [f"{section}: must be a mapping of names; {{}} is none"]


def faults_in(error: ValidationError, model: type[BaseModel], *where: str | int) -> Iterable[str]:
    """Each fault with its place; an unknown key with those that there are."""
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        at = place(*where, *fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = _model_at(model, fault["loc"][:-1])
            yield (
                f"{at}: unknown key; there are {', '.join(known.model_fields)}" if known else f"{at}: unknown key"
            )
        else:
            yield f"{at}: {fault['msg'].removeprefix('Value error, ')}"


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that an entry at this place is read by, where it is one."""
    found: Any = model
    for step in location:
        if isinstance(step, int):
            found = next(iter(get_args(found)), None)
        elif isinstance(found, type) and issubclass(found, BaseModel) and step in found.model_fields:
            found = found.model_fields[step].annotation
        else:
            return None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None
