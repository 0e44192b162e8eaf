"""The notify stage for tests, without the flow around it: channels, incidents, runs in hand, and tries."""

from collections.abc import Sequence
from typing import Any, cast

from rows import add_alert, add_incident
from sqlalchemy import select

from flows.owner import this_process
from storage import channels, runs
from storage.database import Database
from storage.records import ChannelPolicy, IncidentChange, IngestResult
from storage.runs import HeldRun
from storage.tables import Notification
from storage.vocabulary import NotificationReason, RunStatus, Severity
from tasks.attempt import StageContext
from tasks.notify.stage import NotifyConfig, Told, work

FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED


def add_channel(database: Database, name: str, url: str, *, timeout: float = 5, **policy: Any) -> None:
    """An active generic channel."""
    with database.write() as session:
        channels.add_channel(
            session,
            name=name,
            driver="generic",
            config={"endpoint": url, "timeout": timeout},
            policy=ChannelPolicy(**policy),
        )


def add_incidents(database: Database, count: int = 1, **given: Any) -> list[IncidentChange]:
    """Live incidents of one alert each, and that they began to fire."""
    severity = given.get("severity", Severity.WARNING)
    with database.write() as session:
        found = [add_incident(session, **given) for _ in range(count)]
        for incident in found:
            add_alert(session, incident_id=incident.id, name=f"alert-{incident.id}", severity=severity)
        return [IncidentChange(incident_id=each.id, episode=1, reason=FIRING) for each in found]


def hold_run(database: Database, run_id: str = "") -> HeldRun:
    """A run, or this one once more, in the hands of its executor."""
    with database.write() as session:
        run_id = run_id or runs.create_run(session, definition_name="direct", definition_version=0).run_id
        held = runs.lease_run(session, run_id, owner=this_process(), lease_seconds=60)
        runs.start(session, held, via=cast("Any", "direct"), flow_run_id=None)
        return held


def end_run(database: Database, held: HeldRun) -> None:
    """The run is over: what it has not sent is for others to send."""
    with database.write() as session:
        runs.complete(runs.check_fence(session, run_pk=held.pk, fence=held.fence), RunStatus.NOTIFIED)


def context_of(
    held: HeldRun,
    changes: Sequence[IncidentChange] = (),
    *,
    is_last: bool = True,
    timeout_seconds: float = 60,
    **config: Any,
) -> StageContext:
    """A try of a notify node after an ingest that found these changes."""
    return StageContext(
        run=held,
        node_id="notify",
        config=NotifyConfig(**config),
        attempt=1,
        is_last_attempt=is_last,
        previous={"ingest": IngestResult(changes=list(changes)).model_dump(mode="json")},
        timeout_seconds=timeout_seconds,
    )


def tell(database: Database, *changes: IncidentChange, **given: Any) -> Told:
    """A run that tells the changes, tries once, and is over."""
    held = hold_run(database)
    try:
        return work(context_of(held, changes, **given))
    finally:
        end_run(database, held)


def messages(database: Database, **fields: object) -> list[Notification]:
    """The messages with these values, in order."""
    with database.read() as session:
        return list(session.scalars(select(Notification).filter_by(**fields).order_by(Notification.id)))


def told(database: Database, **fields: object) -> list[tuple[str, str, str]]:
    """(channel, reason, status) of the messages with these values, in order."""
    return [(row.channel, row.reason.value, row.status.value) for row in messages(database, **fields)]
