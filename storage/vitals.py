"""How the installation fares at this moment, for /metrics: each query goes by an index, whatever has piled up."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select, text
from sqlalchemy.orm import Session

from storage import tallies, workers
from storage.migrate import revision_of
from storage.tables import Delivery, Incident, Notification, PipelineRun
from storage.tables.base import utc_now
from storage.tallies import Total
from storage.vocabulary import LIVE_INCIDENT, DeliveryStatus, IncidentStatus, NotificationStatus, Severity

UNSENT = (
    NotificationStatus.PENDING,
    NotificationStatus.SENDING,
    NotificationStatus.FAILED,
    NotificationStatus.DEAD,
)

# A delivery that waits so long waits for workers; one that waits longer still, most likely for ever.
LATE_SECONDS, STUCK_SECONDS = 60.0, 300.0
NOT_DONE = tuple(status for status in DeliveryStatus if status is not DeliveryStatus.DONE)


@dataclass(frozen=True)
class Vitals:
    """Counts as they stand, and the totals since the installation was made. Ages are seconds."""

    revision: str
    totals: list[Total]
    deliveries: dict[DeliveryStatus, int]
    oldest_waiting_seconds: float
    runs_queued: int
    runs_running: int
    notifications: dict[NotificationStatus, int]
    incidents: dict[tuple[IncidentStatus, Severity], int]
    workers: int
    workers_with_prefect: int
    slots: int


def read(session: Session) -> Vitals:
    """All of them."""
    queued, running = _unfinished_runs(session)
    alive = workers.alive(session)
    return Vitals(
        revision=revision_of(session.connection()),
        totals=tallies.read(session),
        deliveries=unfinished_deliveries(session),
        oldest_waiting_seconds=oldest_waiting_seconds(session),
        runs_queued=queued,
        runs_running=running,
        notifications=unsent_notifications(session),
        incidents=live_incidents(session),
        workers=len(alive),
        workers_with_prefect=sum(worker.has_prefect for worker in alive),
        slots=sum(worker.slots for worker in alive),
    )


def oldest_waiting_seconds(session: Session) -> float:
    """How long ago the delivery came that waits longest; 0 where none waits.

    A replayed one counts from when it first came.
    """
    oldest: datetime | None = session.scalar(
        select(Delivery.received_at)
        .where(Delivery.status == DeliveryStatus.WAITING)
        .order_by(Delivery.id)
        .limit(1)
    )
    return max((utc_now() - oldest).total_seconds(), 0.0) if oldest else 0.0


def unfinished_deliveries(session: Session) -> dict[DeliveryStatus, int]:
    """How many deliveries there are of each status but done."""
    # Those that are done are most by far, and counting them takes longer than all the rest.
    query = select(Delivery.status, func.count()).where(Delivery.status.in_(NOT_DONE))
    rows = session.execute(query.group_by(Delivery.status))
    counted = {status: count for status, count in rows}  # noqa: C416  (a row is no tuple to the type checker)
    return {status: counted.get(status, 0) for status in NOT_DONE}


def _unfinished_runs(session: Session) -> tuple[int, int]:
    is_held = PipelineRun.lease_expires_at >= utc_now()
    held = func.sum(case((is_held, 1), else_=0))
    # In this form the index of unfinished runs holds it.
    query = select(func.count(), held).where(text("pipeline_runs.completed_at IS NULL"))
    count, running = session.execute(query).one()
    return count - (running or 0), running or 0


def unsent_notifications(session: Session) -> dict[NotificationStatus, int]:
    """How many messages there are of each status in which they are not sent."""
    query = select(Notification.status, func.count()).where(Notification.status.in_(UNSENT))
    rows = session.execute(query.group_by(Notification.status))
    counted = {status: count for status, count in rows}  # noqa: C416  (as above)
    return {status: counted.get(status, 0) for status in UNSENT}


def live_incidents(session: Session) -> dict[tuple[IncidentStatus, Severity], int]:
    """How many incidents are not over, by status and severity."""
    query = select(Incident.status, Incident.severity, func.count()).where(Incident.status.in_(LIVE_INCIDENT))
    rows = session.execute(query.group_by(Incident.status, Incident.severity))
    counted = {(status, severity): count for status, severity, count in rows}
    return {(status, each): counted.get((status, each), 0) for status in LIVE_INCIDENT for each in Severity}
