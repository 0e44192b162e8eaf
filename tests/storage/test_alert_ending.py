"""An alert that a person ends: its incident follows, and webhooks of the same moment come before or after."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from storage.alert_ending import AlertEndError, AlertNotFoundError, end_alert
from storage.database import Database
from storage.records import IncidentChange, ParsedAlert, ParsedPayload
from storage.tables import Alert, AlertHistory, Incident
from storage.tables.base import utc_now
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus, NotificationReason, Severity
from tasks.ingest.apply import Arrival, apply

FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED


def fire(database: Database, *names: str, started_at: datetime | None = None, received_at: datetime | None = None,
         severity: Severity = Severity.WARNING, is_repeated: bool = False) -> None:  # fmt: skip
    """One webhook in which these alerts of one group fire."""
    began_at = started_at or utc_now() - timedelta(hours=1)
    alerts = [
        ParsedAlert(
            fingerprint=name,
            name=name,
            status=FIRING,
            started_at=began_at,
            severity=severity,
            group_key="disks",
            is_repeated=is_repeated,
        )
        for name in names
    ]
    arrival = Arrival(ParsedPayload(source="test", alerts=alerts), "trace-1", "test", received_at or utc_now())
    with database.write() as session:
        apply(session, [arrival], reopen_window=timedelta(minutes=10))


def end(database: Database, name: str) -> list[IncidentChange]:
    """End it by hand."""
    with database.write() as session:
        pk = session.scalars(select(Alert.id).where(Alert.fingerprint == name)).one()
        return end_alert(session, pk, author="mira")


def test_the_last_alert_that_is_ended_by_hand_resolves_its_incident(database: Database) -> None:
    fire(database, "a", "b")

    first, last = end(database, "a"), end(database, "b")

    with database.read() as session:
        incident = session.scalars(select(Incident)).one()
        entry = session.scalars(select(AlertHistory).order_by(AlertHistory.id.desc()).limit(1)).one()
    assert first == []
    assert [(change.incident_id, change.reason) for change in last] == [(incident.id, NotificationReason.RESOLVED)]
    assert incident.status is IncidentStatus.RESOLVED
    assert incident.details["transitions"][-1]["author"] == "mira"
    assert (entry.event, entry.details) == (AlertEvent.RESOLVED, {"ended_by": "mira"})
    assert (entry.old_status, entry.new_status) == ("firing", "resolved")


def test_the_incident_is_as_bad_as_what_still_fires(database: Database) -> None:
    fire(database, "a", severity=Severity.CRITICAL)
    fire(database, "b")

    end(database, "a")

    with database.read() as session:
        incident = session.scalars(select(Incident)).one()
    assert (incident.status, incident.severity) == (IncidentStatus.OPEN, Severity.WARNING)


def test_an_incident_that_is_over_keeps_its_severity(database: Database) -> None:
    fire(database, "a", severity=Severity.CRITICAL)
    fire(database, "b")
    with database.write() as session:
        session.scalars(select(Incident)).one().status = IncidentStatus.CLOSED

    end(database, "a")

    with database.read() as session:
        incident = session.scalars(select(Incident)).one()
    assert (incident.status, incident.severity) == (IncidentStatus.CLOSED, Severity.CRITICAL)


def test_what_does_not_fire_is_refused_and_what_is_not_there_is_not_found(database: Database) -> None:
    fire(database, "a")
    end(database, "a")

    with pytest.raises(AlertEndError, match="is resolved already"):
        end(database, "a")
    with pytest.raises(AlertNotFoundError), database.write() as session:
        end_alert(session, 999, author="mira")

    with database.read() as session:
        assert len(session.scalars(select(AlertHistory)).all()) == 2


def test_a_webhook_from_before_is_not_a_new_firing(database: Database) -> None:
    started_at, received_at = utc_now() - timedelta(hours=5), utc_now() - timedelta(seconds=1)
    fire(database, "a", started_at=started_at, received_at=utc_now() - timedelta(hours=5))
    end(database, "a")

    fire(database, "a", started_at=started_at, received_at=received_at, is_repeated=True)

    with database.read() as session:
        assert session.scalars(select(Alert.status)).one() is RESOLVED
        assert session.scalars(select(Incident.status)).one() is IncidentStatus.RESOLVED


def test_a_new_episode_fires_again_and_reopens_the_incident(database: Database) -> None:
    fire(database, "a")
    end(database, "a")

    fire(database, "a", started_at=utc_now())

    with database.read() as session:
        assert session.scalars(select(Alert.status)).one() is FIRING
        incident = session.scalars(select(Incident)).one()
    assert (incident.status, incident.episode) == (IncidentStatus.OPEN, 2)


def test_a_webhook_that_fires_anew_at_the_same_moment_comes_before_or_after(database: Database) -> None:
    names = [f"alert-{number}" for number in range(8)]
    fire(database, *names)

    def end_one(name: str) -> None:
        end(database, name)

    def refire(name: str) -> None:
        fire(database, name, started_at=utc_now())

    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(do, name) for name in names for do in (end_one, refire)]
    for task in tasks:
        task.result()

    with database.read() as session:
        firing = session.scalars(select(Alert.id).where(Alert.status == FIRING)).all()
        ends = session.scalars(select(AlertHistory).where(AlertHistory.event == AlertEvent.RESOLVED)).all()
        incidents = session.scalars(select(Incident)).all()
    assert len(ends) == len(names)
    [incident] = incidents
    assert (incident.status is IncidentStatus.OPEN) == bool(firing)
