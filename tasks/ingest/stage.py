"""The ingest stage: the deliveries of a run become alerts and incidents, each exactly once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from pydantic import BaseModel, Field, field_validator
from sqlalchemy.orm import Session

from storage import database, inbox, settings
from storage.alerts import firing_alerts
from storage.records import AlertFault, IngestResult, ParsedPayload
from storage.tables import Delivery, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus, RunStatus, Stage
from tasks.attempt import StageContext, StageKind
from tasks.ingest import sources, unreadable
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import BodyError, read_body
from tasks.ingest.sources.base import UnreadablePayloadError

FAULTS_SHOWN = 5
ONLY_ADDS = "it only adds to alerts that are known already; its run says where one was not"


class IngestConfig(BaseModel, extra="forbid"):
    """How a pipeline takes its deliveries in.

    `driver` names the source (the seeds' word) where the delivery itself does not. `group_by` names the labels
    whose values make an incident's group, in place of the sender's own grouping.
    """

    driver: str = ""
    group_by: list[str] = Field(default_factory=list, max_length=20)

    @field_validator("driver")
    @classmethod
    def _is_known(cls, driver: str) -> str:
        if driver and driver not in sources.SOURCES:
            raise ValueError(f"unknown source {driver!r}; one of {', '.join(sources.SOURCES)}")
        return driver


@dataclass(frozen=True)
class Readings:
    """The deliveries of a run, read: what came of each, or why nothing did."""

    arrivals: list[tuple[Delivery, Arrival]]
    unreadable: list[tuple[Delivery, str]]

    @property
    def faults(self) -> list[AlertFault]:
        """The alerts that could not be read, of all deliveries that could."""
        return [fault for _, arrival in self.arrivals for fault in arrival.payload.faults]


def work(context: StageContext) -> Readings:
    """Parse every delivery of the run that is not dealt with yet. Touches nothing."""
    with database.get().read() as session:
        deliveries = inbox.deliveries_of(session, context.run.pk, with_bodies=True)
    return read_all(deliveries, driver=context.config.driver)


def read_all(deliveries: Iterable[Delivery], *, driver: str) -> Readings:
    """What the deliveries say that are not dealt with yet."""
    readings = Readings([], [])
    for delivery in deliveries:
        if delivery.status is not DeliveryStatus.CLAIMED:
            continue
        try:
            readings.arrivals.append((delivery, _read(delivery, driver)))
        except (BodyError, UnreadablePayloadError) as error:
            readings.unreadable.append((delivery, str(error)))
    return readings


def store(session: Session, context: StageContext, readings: Readings) -> IngestResult:
    """Apply all alerts, mark the deliveries, and set aside those that nothing could be made of."""
    by_remark: dict[str, list[int]] = defaultdict(list)
    for delivery, arrival in readings.arrivals:
        by_remark[_remark(arrival.payload)].append(delivery.id)
    for remark, pks in by_remark.items():
        inbox.finish(session, pks, reason=remark)
    for delivery, reason in readings.unreadable:
        inbox.quarantine(session, delivery.id, reason)
    arrivals = [arrival for _, arrival in readings.arrivals]
    result, _ = apply(
        session,
        [*arrivals, *_own_arrivals(session, readings)],
        reopen_window=timedelta(minutes=settings.load().reopen_minutes),
        group_by=context.config.group_by,
    )
    run = session.get_one(PipelineRun, context.run.pk)
    run.incident_id = result.incident_id
    run.alert_fingerprint = result.alert_fingerprint
    run.normalized_payload_ref = f"run:{context.run.run_id}:deliveries"
    if len({arrival.payload.source for arrival in arrivals}) == 1:
        run.source = arrivals[0].payload.source
    return result.model_copy(
        update={
            "alerts_seen": sum(len(arrival.payload.alerts) for arrival in arrivals),
            "errors": [
                *(reason for _, reason in readings.unreadable),
                *(f"{fault.place}: {fault.reason}" for fault in readings.faults),
                *result.errors,
            ],
        }
    )


def _own_arrivals(session: Session, readings: Readings) -> list[Arrival]:
    """What is to be said of deliveries that could not be read, and of those that can be again."""
    own = [
        Arrival(
            payload=unreadable.unreadable_payload(
                delivery.source, delivery_id=delivery.delivery_id, reason=reason
            ),
            trace_id=delivery.trace_id,
            environment=delivery.environment,
            received_at=utc_now(),  # it is our own finding, of now
        )
        for delivery, reason in readings.unreadable
    ]
    told_of = [each for each in firing_alerts(session, source=unreadable.SOURCE) if unreadable.is_about(each)]
    if not own and told_of and readings.arrivals:
        _, last = readings.arrivals[-1]
        left = inbox.quarantined_sources(session)
        over = [alert for alert in told_of if alert.fingerprint not in map(unreadable.fingerprint_of, left)]
        own = [replace(last, payload=unreadable.readable_payload(over), received_at=utc_now())] if over else []
    return own


def _remark(payload: ParsedPayload) -> str:
    if not payload.faults:
        is_only_adding = payload.alerts and all(alert.is_partial for alert in payload.alerts)
        return payload.remark or (ONLY_ADDS if is_only_adding else "")
    shown = "; ".join(f"{fault.place}: {fault.reason}" for fault in payload.faults[:FAULTS_SHOWN])
    more = "; …" if len(payload.faults) > FAULTS_SHOWN else ""
    return f"{len(payload.faults)} of {len(payload.faults) + len(payload.alerts)} could not be read: {shown}{more}"


def _read(delivery: Delivery, driver: str) -> Arrival:
    body = read_body(delivery.body, delivery.headers.get("Content-Type", ""))
    payload = sources.parse(body, source=delivery.source or driver, zones=settings.load().source_timezones)
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
