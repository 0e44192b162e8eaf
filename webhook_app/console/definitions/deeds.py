"""What an operator may do to definitions: switch them on and off, and delete those that are not shipped."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from storage import audit
from storage.definitions import SHIPPED, DefinitionNotFoundError
from storage.tables import PipelineDefinition
from storage.vocabulary import AuditOutcome
from tasks.definition.presets import PRESETS
from webhook_app import definition_changes as changes
from webhook_app.console.access import Person, address
from webhook_app.console.row_actions import Deed, RefusedError, RowAction

GONE = "it is not there any more"


def editor_of(person: Person) -> str:
    """Who is named on what a person saves; never the name under which presets are shipped and replaced."""
    return f"{person.name} (user)" if person.name == SHIPPED else person.name[:128]


def add_entry(
    session: Session,
    who: Person,
    row: PipelineDefinition | None,
    *,
    action: str,
    said: str,
    outcome: AuditOutcome = AuditOutcome.DONE,
) -> None:
    """Put into the audit what was done to a row, or to a definition that was to be made."""
    audit.record(
        session,
        actor=who.name,
        action=action,
        object_type=PipelineDefinition.__tablename__,
        object_id=row.id if row else "",
        outcome=outcome,
        detail=said,
        address=address(),
    )


def told_of(error: changes.RefusedError) -> str:
    """Why a change was refused, with what stands against it."""
    against = error.fields.get("routes") or error.fields.get("errors") or []
    return f"{error}: {'; '.join(against)}" if against else str(error)


def _done(act: Callable[[Session, PipelineDefinition], None]) -> Callable[[Deed], None]:
    def do(deed: Deed) -> None:
        try:
            with deed.write() as session:
                row = session.get(PipelineDefinition, deed.pk)
                deed.said = row.name if row else ""
                act(session, changes.lock(session, deed.said))
        except DefinitionNotFoundError:
            raise RefusedError(GONE) from None
        except changes.RefusedError as error:
            raise RefusedError(f"{deed.said}: {told_of(error)}") from None

    return do


def _enable(session: Session, row: PipelineDefinition) -> None:
    changes.switch(session, row, is_active=True)


def _disable(session: Session, row: PipelineDefinition) -> None:
    changes.switch(session, row, is_active=False)


def _is_own(row: Any) -> bool:
    return row.name not in PRESETS


ENABLE = RowAction("enable", "Enable", "enabled", _done(_enable), fits=lambda row: not row.is_active)
DISABLE = RowAction(
    "disable",
    "Disable",
    "disabled",
    _done(_disable),
    asks="Let it not be run any more? Runs that have begun go on.",
    fits=lambda row: row.is_active,
)
DELETE = RowAction(
    "delete",
    "Delete",
    "deleted",
    _done(changes.remove),
    asks="Delete it? Its versions stay for the runs that follow them.",
    fits=_is_own,
    is_grave=True,
)
