"""What people did through the console and by command: one row for each thing that they did it to."""

from sqlalchemy.orm import Session

from storage.redaction import redact_text
from storage.storable import storable_text
from storage.tables import AuditEntry
from storage.vocabulary import AuditOutcome

DETAIL_MAX_CHARS = 2000


def record(
    session: Session,
    *,
    actor: str,
    action: str,
    object_type: str = "",
    object_id: str | int = "",
    outcome: AuditOutcome = AuditOutcome.DONE,
    detail: str = "",
    address: str = "",
) -> None:
    """Keep who did what; within the deed's own transaction, so that neither is there without the other."""
    session.add(
        AuditEntry(
            actor=storable_text(actor)[:128],
            action=action,
            object_type=object_type,
            object_id=str(object_id),
            outcome=outcome,
            detail=redact_text(storable_text(detail))[:DETAIL_MAX_CHARS],
            address=address,
        )
    )
    session.flush()
