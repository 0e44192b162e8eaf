"""What people may do to rows, one or several at a time: asked for, done, told, and kept in the audit."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from storage import audit
from storage.database import Database
from storage.vocabulary import AuditOutcome
from webhook_app.console.access import Person, address
from webhook_app.console.formats import shortened
from webhook_app.state import state

ROWS_MAX = 500
REASONS_TOLD = 5
SAID_MAX_CHARS = 300
AWAY = "the database is away, so what came of it is not known, and no more was tried"

log = logging.getLogger("watchkeeper.console")


class RefusedError(Exception):
    """What was asked does not go with how the row stands; the message says why, and nothing was changed."""


class FailedError(Exception):
    """What was asked was begun and did not succeed, such as a test message; the message says what came of it."""


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
        self.is_recorded = True

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
            address=address(),
        )


@dataclass(frozen=True)
class RowAction:
    """`do` acts on one row and may set what is `said` of it. It raises RefusedError, FailedError, or a refusal.

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
    deeds = [Deed(action.name, object_type, pk, person, inputs, database) for pk in dict.fromkeys(pks)]
    outcomes: list[Outcome] = []
    for deed in deeds:
        try:
            outcomes.append(_do(action, deed))
        except SQLAlchemyError as error:
            # Not even the audit can be written: to try the others would take as long for each of them.
            log.warning("database away", extra={"error": type(error).__name__})
            outcomes += [Outcome(each.pk, AuditOutcome.FAILED, AWAY) for each in deeds[len(outcomes) :]]
            break
    return outcomes


def _do(action: RowAction, deed: Deed) -> Outcome:
    outcome = AuditOutcome.DONE
    try:
        action.do(deed)
    except action.all_refusals as error:
        outcome, deed.said, deed.is_recorded = AuditOutcome.REFUSED, str(error), False
    except FailedError as error:
        outcome, deed.said, deed.is_recorded = AuditOutcome.FAILED, str(error), False
    except Exception as error:  # recorded here; the other rows are still to be done, and told of
        log.exception("action failed", extra={"action": action.name, "id": deed.pk})
        said = f"{type(error).__name__}; the log has the details"
        outcome, deed.said, deed.is_recorded = AuditOutcome.FAILED, said, False
    if not deed.is_recorded:
        with deed.database.write() as session:
            deed.record(session, outcome)
    return Outcome(deed.pk, outcome, deed.said)


def told(action: RowAction, noun: str, outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """What to say of them: messages with their category, done or refused."""
    of = {kind: [each for each in outcomes if each.outcome is kind] for kind in AuditOutcome}
    done, refused, failed = of[AuditOutcome.DONE], of[AuditOutcome.REFUSED], of[AuditOutcome.FAILED]
    messages = []
    if done:
        said = {each.said for each in done}
        # What holds for all of them is worth saying once.
        also = f": {shortened(said.pop(), SAID_MAX_CHARS)}" if len(said) == 1 and "" not in said else ""
        messages.append(("done", f"{_counted(len(done), noun)} {action.done}{also}"))
    if refused:
        messages.append(("refused", f"{_counted(len(refused), noun)} not {action.done}: {_reasons(refused)}"))
    if failed:
        messages.append(
            ("refused", f"{action.label}: failed for {_counted(len(failed), noun)}: {_reasons(failed)}")
        )
    return messages


def _reasons(outcomes: Sequence[Outcome]) -> str:
    """Why, without their secrets and bounded: the messages travel in a cookie."""
    reasons = list(dict.fromkeys(shortened(each.said, SAID_MAX_CHARS) for each in outcomes))
    more = f"; and {len(reasons) - REASONS_TOLD} more" if len(reasons) > REASONS_TOLD else ""
    return "; ".join(reasons[:REASONS_TOLD]) + more


def _counted(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"
