"""The ingest stage: the deliveries of a run become alerts and incidents, each exactly once."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel, field_validator
from sqlalchemy.orm import Session

from storage import database, inbox, settings
from storage.records import AlertFault, IngestResult
from storage.tables import Delivery, PipelineRun
from storage.vocabulary import DeliveryStatus, RunStatus, Stage
from tasks.attempt import StageContext, StageKind
from tasks.ingest import sources
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import BodyError, read_json
from tasks.ingest.sources.base import UnreadablePayloadError


class IngestConfig(BaseModel, extra="forbid"):
    """`driver` names the source (the seeds' word) where the delivery itself does not."""

    driver: str = ""

    @field_validator("driver")
    @classmethod
    def _is_known(cls, driver: str) -> str:
        if driver and driver not in sources.SOURCES:
            raise ValueError(f"unknown source {driver!r}; one of {', '.join(sources.SOURCES)}")
        return driver


@dataclass(frozen=True)
class Readings:
    """The deliveries of a run, read: what came of each, or why nothing did."""

    arrivals: list[tuple[int, Arrival]]
    unreadable: list[tuple[int, str]]

    @property
    def faults(self) -> list[AlertFault]:
        """The alerts that could not be read, of all deliveries that could."""
        return [fault for _, arrival in self.arrivals for fault in arrival.payload.faults]


def work(context: StageContext) -> Readings:
    """Parse every delivery of the run that is not dealt with yet. Touches nothing."""
    with database.get().read() as session:
        deliveries = inbox.deliveries_of(session, context.run.pk, with_bodies=True)
    readings = Readings([], [])
    for delivery in deliveries:
        if delivery.status is not DeliveryStatus.CLAIMED:
            continue
        try:
            readings.arrivals.append((delivery.id, _read(delivery, context.config.driver)))
        except (BodyError, UnreadablePayloadError) as error:
            readings.unreadable.append((delivery.id, str(error)))
    return readings


def store(session: Session, context: StageContext, readings: Readings) -> IngestResult:
    """Apply all alerts, mark the deliveries, and set aside those that nothing could be made of."""
    reopen_window = timedelta(minutes=settings.load().reopen_minutes)
    result, _ = apply(session, [arrival for _, arrival in readings.arrivals], reopen_window=reopen_window)
    inbox.finish(session, [pk for pk, _ in readings.arrivals])
    for pk, reason in readings.unreadable:
        inbox.quarantine(session, pk, reason)
    run = session.get_one(PipelineRun, context.run.pk)
    run.incident_id = result.incident_id
    run.alert_fingerprint = result.alert_fingerprint
    run.normalized_payload_ref = f"run:{context.run.run_id}:deliveries"
    if len({arrival.payload.source for _, arrival in readings.arrivals}) == 1:
        run.source = readings.arrivals[0][1].payload.source
    errors = [reason for _, reason in readings.unreadable]
    errors += [f"{fault.place}: {fault.reason}" for fault in readings.faults]
    return result.model_copy(update={"errors": errors})


def _read(delivery: Delivery, driver: str) -> Arrival:
    payload = sources.parse(read_json(delivery.body), source=delivery.source or driver)
    if payload.faults and not payload.alerts:
        first = payload.faults[0]
        raise UnreadablePayloadError(f"no alert could be read; {first.place}: {first.reason}")
    return Arrival(
        payload=payload,
        trace_id=delivery.trace_id,
        environment=delivery.environment,
        received_at=delivery.received_at,
    )


INGEST = StageKind(stage=Stage.INGEST, reached=RunStatus.INGESTED, config=IngestConfig, work=work, store=store)
