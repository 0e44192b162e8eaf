"""What people may do to rows, one or several at a time: asked for, done, told, and kept in the audit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import request
from sqlalchemy.orm import Session

from storage import audit
from storage.database import Database
from storage.vocabulary import AuditOutcome
from webhook_app.console.access import Person
from webhook_app.state import state

ROWS_MAX = 500


class RefusedError(Exception):
    """What was asked does not go with how the row stands; the message says why, and nothing was changed."""


@dataclass(frozen=True)
class Input:
    """One field that is filled in before an action is done. `options` are values with labels to choose from."""

    name: str
    label: str
    is_required: bool = False
    is_long: bool = False
    max_chars: int = 2000
    options: tuple[tuple[str, str], ...] = ()


@dataclass
class Deed:
    """One action on one row, by one person. What is written through `write` is kept with its audit entry."""

    action: str
    object_type: str
    pk: int
    person: Person
    inputs: Mapping[str, str]
    database: Database
    said: str = ""
    is_recorded: bool = field(default=False, init=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that ends with the entry in the audit. Once per deed."""
        with self.database.write() as session:
            yield session
            self.record(session, AuditOutcome.DONE)

    def record(self, session: Session, outcome: AuditOutcome) -> None:
        """Put it into the audit."""
        given = "; ".join(f"{name}: {text}" for name, text in self.inputs.items() if text)
        audit.record(
            session,
            actor=self.person.name,
            action=self.action,
            object_type=self.object_type,
            object_id=self.pk,
            outcome=outcome,
            detail="; ".join(filter(None, (self.said, given))),
            address=request.remote_addr or "",
        )
        self.is_recorded = True


@dataclass(frozen=True)
class RowAction:
    """`do` acts on one row and may set what is `said` of it. It raises RefusedError or one of `refusals`.

    `asks` is the question before it is done; without one and without inputs it is done at once. `fits` says
    whether a row stands so that it may be done; where it does not, its page shows no button.
    """

    name: str
    label: str
    done: str
    do: Callable[[Deed], None]
    refusals: tuple[type[Exception], ...] = ()
    asks: str = ""
    inputs: tuple[Input, ...] = ()
    fits: Callable[[Any], bool] = lambda _row: True
    is_grave: bool = False
    is_bulk: bool = True

    @property
    def all_refusals(self) -> tuple[type[Exception], ...]:
        """What says that a row refuses it."""
        return (RefusedError, *self.refusals)

    @property
    def is_asked(self) -> bool:
        """Whether a page comes before it."""
        return bool(self.asks or self.inputs)


@dataclass(frozen=True)
class Outcome:
    """What came of an action on one row."""

    pk: int
    outcome: AuditOutcome
    said: str


def do_all(
    action: RowAction, object_type: str, pks: Sequence[int], *, person: Person, inputs: Mapping[str, str]
) -> list[Outcome]:
    """Do it to each row, in transactions of their own: what one refuses keeps none of the others from it."""
    database = state().database
    return [_do(action, Deed(action.name, object_type, pk, person, inputs, database)) for pk in dict.fromkeys(pks)]


def _do(action: RowAction, deed: Deed) -> Outcome:
    outcome = AuditOutcome.DONE
    try:
        action.do(deed)
    except action.all_refusals as error:
        outcome, deed.said, deed.is_recorded = AuditOutcome.REFUSED, str(error), False
    if not deed.is_recorded:
        with deed.database.write() as session:
            deed.record(session, outcome)
    return Outcome(deed.pk, outcome, deed.said)


def told(action: RowAction, noun: str, outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """What to say of them: messages with their category, done or refused."""
    done = [each for each in outcomes if each.outcome is AuditOutcome.DONE]
    refused = [each for each in outcomes if each.outcome is not AuditOutcome.DONE]
    messages = []
    if done:
        also = f": {done[0].said}" if len(done) == 1 and done[0].said else ""
        messages.append(("done", f"{_counted(len(done), noun)} {action.done}{also}"))
    if refused:
        reasons = list(dict.fromkeys(each.said for each in refused))
        shown = "; ".join(reasons[:5]) + (f"; and {len(reasons) - 5} more" if len(reasons) > 5 else "")  # noqa: PLR2004
        messages.append(("refused", f"{_counted(len(refused), noun)} not {action.done}: {shown}"))
    return messages


def _counted(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"
