"""The durable inbox: what was answered 202 stands here until a run has dealt with it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    and_,
    case,
    func,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased, undefer

from storage import tallies
from storage.tables import Alert, Delivery, PipelineRun, RunDelivery
from storage.tables.base import utc_now
from storage.tables.inbox import WAITS
from storage.upsert import insert_if_absent
from storage.vocabulary import DeliveryStatus

WAKE_CHANNEL = "watchkeeper_inbox"

FINISHED = (DeliveryStatus.DONE, DeliveryStatus.QUARANTINED, DeliveryStatus.DISCARDED)
DISCARDABLE = (DeliveryStatus.WAITING, DeliveryStatus.QUARANTINED)
REASON_MAX_CHARS = 1000
# A body that was kept long enough is emptied, and its size stays. In this exact form an index can hold it.
HAS_BODY = text("length(deliveries.body) > 0")


class DeliveryNotFoundError(Exception):
    """There is no delivery of that id."""


class DeliveryStateError(Exception):
    """What is asked of a delivery does not go with its status or with what is kept of it; the message says why."""

    def __init__(self, message: str, *, status: DeliveryStatus) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class NewDelivery:
    """A webhook as the receiver has it, before it is on disk."""

    delivery_id: str
    trace_id: str
    source: str
    pipeline: str
    environment: str
    body: bytes
    sha256: str
    headers: dict[str, str] = field(default_factory=dict)
    sender_delivery_id: str | None = None
    status: DeliveryStatus = DeliveryStatus.WAITING
    reason: str = ""
    route: str = ""

    def as_row(self) -> dict[str, Any]:
        """The column values of its row."""
        return {
            "delivery_id": self.delivery_id,
            "trace_id": self.trace_id,
            "source": self.source,
            "pipeline": self.pipeline,
            "environment": self.environment,
            "route": self.route,
            "headers": self.headers,
            "body": self.body,
            "body_bytes": len(self.body),
            "sha256": self.sha256,
            "sender_delivery_id": self.sender_delivery_id,
            "status": self.status,
            "reason": self.reason,
            "received_at": utc_now(),
        }


def accept(session: Session, deliveries: Sequence[NewDelivery]) -> set[str]:
    """Store deliveries and wake the relay. Returns the delivery ids stored; the others were there already."""
    stored = accept_over(session.connection(), deliveries)
    wake(session.connection())
    return stored


def accept_over(connection: Connection, deliveries: Sequence[NewDelivery]) -> set[str]:
    """Store deliveries in one statement and wake nobody."""
    table = Delivery.__table__
    statement = insert_if_absent(connection, table).returning(table.c.delivery_id)
    return set(connection.scalars(statement, [delivery.as_row() for delivery in deliveries]))


def wake(connection: Connection) -> None:
    """Let the relay know that something waits; on SQLite it sees that by itself."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {WAKE_CHANNEL}")


def find_repeated(session: Session, *, source: str, sender_delivery_id: str) -> Delivery | None:
    """The delivery that first carried this sender's id."""
    return session.scalar(
        select(Delivery).where(Delivery.source == source, Delivery.sender_delivery_id == sender_delivery_id)
    )


def find_delivery(session: Session, delivery_id: str) -> Delivery | None:
    """One delivery by its public id."""
    return session.scalar(select(Delivery).where(Delivery.delivery_id == delivery_id))


def count_waiting(session: Session) -> dict[str, int]:
    """How many deliveries wait for a run, by pipeline."""
    rows = session.execute(select(Delivery.pipeline, func.count()).where(text(WAITS)).group_by(Delivery.pipeline))
    return {key: value for key, value in rows}  # noqa: C416  (a row is no tuple to the type checker)


def claim(session: Session, *, pipeline: str, limit: int) -> list[Delivery]:
    """Take the oldest waiting deliveries of a pipeline, leaving alone those that another relay takes."""
    query = (
        select(Delivery)
        .where(text(WAITS), Delivery.pipeline == pipeline)
        .order_by(Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    deliveries = list(session.scalars(query))
    for delivery in deliveries:
        delivery.status = DeliveryStatus.CLAIMED
    session.flush()
    return deliveries


def attach(session: Session, *, run: PipelineRun, deliveries: Sequence[Delivery]) -> None:
    """Record that a run takes these deliveries, in this order."""
    session.add_all(
        RunDelivery(run_id=run.id, delivery_id=delivery.id, position=position)
        for position, delivery in enumerate(deliveries)
    )
    session.flush()


def deliveries_of(
    session: Session, run_pk: int, *, with_bodies: bool = False, limit: int | None = None
) -> list[Delivery]:
    """The first deliveries of a run, in order."""
    query = (
        select(Delivery)
        .join(RunDelivery, RunDelivery.delivery_id == Delivery.id)
        .where(RunDelivery.run_id == run_pk)
        .order_by(RunDelivery.position)
        .limit(limit)
    )
    return list(session.scalars(query.options(undefer(Delivery.body)) if with_bodies else query))


def runs_of(session: Session, delivery_pk: int) -> list[PipelineRun]:
    """The runs that took a delivery, oldest first."""
    return list(
        session.scalars(
            select(PipelineRun)
            .join(RunDelivery, RunDelivery.run_id == PipelineRun.id)
            .where(RunDelivery.delivery_id == delivery_pk)
            .order_by(PipelineRun.id)
        )
    )


def finish(session: Session, pks: Sequence[int], *, reason: str = "") -> None:
    """Mark deliveries as dealt with; the reason says what of them could not be read, or why there was no alert."""
    session.execute(
        update(Delivery)
        .where(Delivery.id.in_(pks))
        .values(status=DeliveryStatus.DONE, reason=reason, finished_at=utc_now())
    )
    if pks:
        tallies.add(session, tallies.DELIVERIES, what="", outcome=DeliveryStatus.DONE, count=len(pks))


def quarantined_sources(session: Session) -> set[str]:
    """The sources that have a delivery in quarantine; the empty one for deliveries whose source is not known."""
    rows = session.scalars(select(Delivery.source).where(Delivery.status == DeliveryStatus.QUARANTINED).distinct())
    return set(rows)


def quarantine(session: Session, pk: int, reason: str) -> None:
    """Set a delivery aside that nothing can be made of, with the reason."""
    session.execute(
        update(Delivery)
        .where(Delivery.id == pk)
        .values(status=DeliveryStatus.QUARANTINED, reason=reason, finished_at=utc_now())
    )


def list_deliveries(
    session: Session,
    *,
    statuses: Collection[DeliveryStatus] = (),
    source: str | None = None,
    pipeline: str = "",
    trace_id: str = "",
    since: datetime | None = None,
    before_id: int | None = None,
    limit: int,
) -> list[Delivery]:
    """Deliveries without their bodies, newest first, below `before_id`, received at `since` or later.

    The empty source is that of deliveries whose source is not known.
    """
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    if statuses:
        query = query.where(Delivery.status.in_(statuses))
    if source is not None:
        query = query.where(Delivery.source == source)
    if pipeline:
        query = query.where(Delivery.pipeline == pipeline)
    if trace_id:
        query = query.where(Delivery.trace_id == trace_id)
    if since is not None:
        query = query.where(Delivery.received_at >= since)
    if before_id is not None:
        query = query.where(Delivery.id < before_id)
    return list(session.scalars(query))


def quarantined_ids(session: Session) -> list[str]:
    """The public ids of the quarantined deliveries whose body is still there, oldest first."""
    return list(
        session.scalars(
            select(Delivery.delivery_id)
            .where(Delivery.status == DeliveryStatus.QUARANTINED, HAS_BODY)
            .order_by(Delivery.id)
        )
    )


def count_alerts(session: Session, trace_id: str) -> int:
    """How many alerts were last changed by what came in under this trace."""
    return session.scalar(select(func.count(Alert.id)).where(Alert.trace_id == trace_id)) or 0


def has_body(session: Session, pk: int) -> bool:
    """Whether a delivery's body is still there."""
    return session.scalar(select(Delivery.id).where(Delivery.id == pk, HAS_BODY)) is not None


def replay(session: Session, delivery_id: str, *, source: str | None = None) -> Delivery:
    """Let a delivery wait for a run once more, to be read as `source` where one is named; wakes the relay.

    One that is claimed can be replayed when all its runs have ended: ingest failed in them. Raises
    DeliveryNotFoundError, or DeliveryStateError.
    """
    values: dict[str, Any] = {"status": DeliveryStatus.WAITING, "finished_at": None, "reason": ""}
    if source is not None:
        values |= {"source": source, "sender_delivery_id": _free_sender_id(source)}
    is_replayable = or_(Delivery.status.in_(FINISHED), _is_left_behind())
    if not _update(session, Delivery.delivery_id == delivery_id, is_replayable, HAS_BODY, **values):
        raise _refusal(_as_it_is(session, delivery_id), "replayed", FINISHED)
    wake(session.connection())
    return _as_it_is(session, delivery_id)


def discard(session: Session, delivery_id: str, *, reason: str = "") -> Delivery:
    """Set a delivery aside for good; a reason is cut to REASON_MAX_CHARS, without one the one it has stays.

    Raises DeliveryNotFoundError, or DeliveryStateError.
    """
    values: dict[str, Any] = {"status": DeliveryStatus.DISCARDED, "finished_at": utc_now()}
    if reason:
        values["reason"] = reason if len(reason) <= REASON_MAX_CHARS else f"{reason[: REASON_MAX_CHARS - 1]}…"
    if not _update(session, Delivery.delivery_id == delivery_id, Delivery.status.in_(DISCARDABLE), **values):
        raise _refusal(_as_it_is(session, delivery_id), "discarded", DISCARDABLE)
    return _as_it_is(session, delivery_id)


def _is_left_behind() -> ColumnElement[bool]:
    unfinished = select(PipelineRun.id).where(
        RunDelivery.delivery_id == Delivery.id,
        RunDelivery.run_id == PipelineRun.id,
        PipelineRun.completed_at.is_(None),
    )
    return and_(Delivery.status == DeliveryStatus.CLAIMED, ~unfinished.correlate(Delivery).exists())


def _free_sender_id(source: str) -> ColumnElement[str | None]:
    """The sender's id, unless another delivery of the new source has the same."""
    other = aliased(Delivery)
    taken = select(other.id).where(
        other.source == source,
        other.sender_delivery_id == Delivery.sender_delivery_id,
        other.id != Delivery.id,
    )
    return case((taken.correlate(Delivery).exists(), null()), else_=Delivery.sender_delivery_id)


def _as_it_is(session: Session, delivery_id: str) -> Delivery:
    query = select(Delivery).where(Delivery.delivery_id == delivery_id)
    delivery = session.scalar(query.execution_options(populate_existing=True))
    if delivery is None:
        raise DeliveryNotFoundError(f"there is no delivery {delivery_id!r}")
    return delivery


def _refusal(delivery: Delivery, wish: str, allowed: Sequence[DeliveryStatus]) -> DeliveryStateError:
    said = f"delivery {delivery.delivery_id} is {delivery.status} and cannot be {wish}"
    if delivery.status in allowed:
        return DeliveryStateError(f"{said}: its body is no longer kept", status=delivery.status)
    return DeliveryStateError(f"{said}; that takes one of {', '.join(allowed)}", status=delivery.status)


def _update(session: Session, *conditions: ColumnElement[bool] | TextClause, **values: Any) -> int:
    result = session.execute(
        update(Delivery).where(*conditions).values(**values), execution_options={"synchronize_session": False}
    )
    return result.rowcount if isinstance(result, CursorResult) else 0
