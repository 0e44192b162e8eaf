"""What is kept of deliveries for a time only: their bodies, and the ids that their senders gave them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, TextClause, case, select, update
from sqlalchemy.orm import Session

from storage.inbox import FINISHED, HAS_BODY
from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus


@dataclass(frozen=True)
class Perishable:
    """A part of deliveries that is forgotten: how to see that it is there, and what stands in its place then."""

    name: str
    is_there: ColumnElement[bool] | TextClause
    emptied: dict[str, Any]


# What nobody has looked at for so long can no longer be replayed: it leaves the quarantine, and the alert about
# that may end.
_WITHOUT_BODY = case(
    (Delivery.status == DeliveryStatus.QUARANTINED, DeliveryStatus.DISCARDED), else_=Delivery.status
)
BODIES = Perishable("bodies", HAS_BODY, {"body": b"", "status": _WITHOUT_BODY})
SENDER_IDS = Perishable(
    "sender delivery ids", Delivery.sender_delivery_id.is_not(None), {"sender_delivery_id": None}
)


def find_due(session: Session, part: Perishable, *, before: datetime, limit: int) -> list[int]:
    """The keys of deliveries that were dealt with before then and still have this part.

    It only reads, because on SQLite a writer keeps webhooks out, and this may go through many rows.
    """
    # No delivery is dealt with before it comes; the time of receipt has an index.
    query = select(Delivery.id).where(Delivery.received_at < before, Delivery.finished_at < before, part.is_there)
    return list(session.scalars(query.limit(limit)))


def forget(session: Session, part: Perishable, pks: Sequence[int], *, before: datetime) -> int:
    """Empty this part of those of these deliveries that are still due. Returns how many.

    What another worker is just forgetting, or somebody is replaying, is passed over.
    """
    still_due = (
        select(Delivery.id)
        .where(
            Delivery.id.in_(pks),
            Delivery.status.in_(FINISHED),
            Delivery.finished_at < before,
            part.is_there,
        )
        .with_for_update(skip_locked=True)
    )
    locked = list(session.scalars(still_due))
    session.execute(
        update(Delivery).where(Delivery.id.in_(locked)).values(part.emptied),
        execution_options={"synchronize_session": False},
    )
    return len(locked)
