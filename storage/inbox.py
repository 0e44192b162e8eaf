"""The durable inbox: what was answered 202 stands here until a run has dealt with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import Session, undefer

from storage.tables import Delivery, PipelineRun, RunDelivery
from storage.tables.base import utc_now
from storage.upsert import insert_if_absent
from storage.vocabulary import DeliveryStatus

WAKE_CHANNEL = "watchkeeper_inbox"


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

    def as_row(self) -> dict[str, Any]:
        """The column values of its row."""
        return {
            "delivery_id": self.delivery_id,
            "trace_id": self.trace_id,
            "source": self.source,
            "pipeline": self.pipeline,
            "environment": self.environment,
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
    """How many deliveries wait, by pipeline."""
    rows = session.execute(
        select(Delivery.pipeline, func.count())
        .where(Delivery.status == DeliveryStatus.WAITING)
        .group_by(Delivery.pipeline)
    )
    return dict(rows.all())


def claim(session: Session, *, pipeline: str, limit: int) -> list[Delivery]:
    """Take the oldest waiting deliveries of a pipeline, leaving alone those that another relay takes."""
    query = (
        select(Delivery)
        .where(Delivery.status == DeliveryStatus.WAITING, Delivery.pipeline == pipeline)
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


def deliveries_of(session: Session, run_pk: int, *, with_bodies: bool = False) -> list[Delivery]:
    """The deliveries of a run in order."""
    query = (
        select(Delivery)
        .join(RunDelivery, RunDelivery.delivery_id == Delivery.id)
        .where(RunDelivery.run_id == run_pk)
        .order_by(RunDelivery.position)
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


def finish(session: Session, pks: Sequence[int]) -> None:
    """Mark deliveries as dealt with."""
    session.execute(
        update(Delivery)
        .where(Delivery.id.in_(pks))
        .values(status=DeliveryStatus.DONE, reason="", finished_at=utc_now())
    )


def quarantine(session: Session, pk: int, reason: str) -> None:
    """Set a delivery aside that nothing can be made of, with the reason."""
    session.execute(
        update(Delivery)
        .where(Delivery.id == pk)
        .values(status=DeliveryStatus.QUARANTINED, reason=reason, finished_at=utc_now())
    )
