"""What people are told of an incident that gets worse or is taken up, by what its deliveries say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from storage.database import Database
from storage.records import ParsedAlert, ParsedPayload
from storage.tables import Alert, Incident
from storage.vocabulary import AlertStatus, Lifecycle, NotificationReason, Severity
from tasks.ingest.apply import Arrival, apply

START = datetime(2026, 9, 18, 7, 44, tzinfo=UTC)
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED
ACKNOWLEDGED, ESCALATED = NotificationReason.ACKNOWLEDGED, NotificationReason.ESCALATED

Said = list[tuple[NotificationReason, int, int]]


def alert(name: str, severity: Severity, minutes: int = 0, began_minutes: int = 0, **fields: Any) -> ParsedAlert:
    """An event of one of the alerts of one group; its episode began and the event happened so long after START."""
    given = {
        "fingerprint": name,
        "name": name,
        "status": AlertStatus.FIRING,
        "severity": severity,
        "started_at": START + timedelta(minutes=began_minutes),
        "occurred_at": START + timedelta(minutes=minutes),
        "group_key": "mail",
    }
    return ParsedAlert.model_validate(given | fields)


def over(name: str, minutes: int) -> ParsedAlert:
    """The end of an alert."""
    ended_at = START + timedelta(minutes=minutes)
    return alert(name, WARNING, minutes, status=AlertStatus.RESOLVED, ended_at=ended_at)


def ingest(database: Database, *alerts: ParsedAlert) -> Said:
    """What people are to be told (reason, episode, sequence) of these deliveries, in one transaction."""
    arrivals = [
        Arrival(
            payload=ParsedPayload(source="pagerduty", alerts=[parsed]),
            trace_id="trace-1",
            environment="test",
            received_at=START + timedelta(minutes=60),
        )
        for parsed in alerts
    ]
    with database.write() as session:
        result, _ = apply(session, arrivals, reopen_window=timedelta(minutes=10))
    return [(change.reason, change.episode, change.sequence) for change in result.changes]


@pytest.mark.parametrize("name", ["queue", "disk"], ids=["the same alert", "another that joins"])
def test_incident_that_gets_worse_is_said_to(database: Database, name: str) -> None:
    ingest(database, alert("queue", INFO))

    said = [ingest(database, alert(name, severity, 5)) for severity in (WARNING, CRITICAL)]

    assert said == [[(ESCALATED, 1, 1)], [(ESCALATED, 1, 2)]]


def test_new_incident_whose_second_alert_is_worse_only_fires(database: Database) -> None:
    assert ingest(database, alert("queue", WARNING), alert("disk", CRITICAL)) == [(FIRING, 1, 0)]


def test_milder_or_equal_alert_that_joins_says_nothing(database: Database) -> None:
    ingest(database, alert("queue", WARNING))

    assert ingest(database, alert("disk", WARNING, 1), alert("load", INFO, 2)) == []


def test_incident_that_gets_better_and_worse_again_comes_to_the_same_level(database: Database) -> None:
    """The outbox takes each level of an episode once."""
    ingest(database, alert("queue", WARNING))

    said = [
        ingest(database, alert("queue", severity, 5 + n))
        for n, severity in enumerate([CRITICAL, WARNING, CRITICAL])
    ]

    assert said == [[(ESCALATED, 1, 2)], [], [(ESCALATED, 1, 2)]]


def test_what_is_worse_for_a_moment_within_one_run_is_not_said(database: Database) -> None:
    ingest(database, alert("queue", WARNING))

    assert ingest(database, alert("queue", CRITICAL, 1), alert("queue", WARNING, 2)) == []


def test_new_episode_that_is_worse_than_the_last_one_fires_and_does_not_escalate(database: Database) -> None:
    ingest(database, alert("queue", WARNING))

    assert ingest(database, over("queue", 5), alert("disk", CRITICAL, 7, 7)) == [(RESOLVED, 1, 0), (FIRING, 2, 0)]


def test_escalation_in_a_new_episode_is_one_of_that_episode(database: Database) -> None:
    ingest(database, alert("queue", WARNING))
    ingest(database, alert("queue", CRITICAL, 2))
    ingest(database, over("queue", 5))

    said = [ingest(database, alert("queue", WARNING, 7, 7)), ingest(database, alert("disk", CRITICAL, 8, 8))]

    assert said == [[(FIRING, 2, 0)], [(ESCALATED, 2, 2)]]


def test_incident_that_escalates_and_ends_within_one_run_says_only_that_it_is_over(database: Database) -> None:
    ingest(database, alert("queue", WARNING))

    said = ingest(
        database,
        alert("disk", CRITICAL, 1),
        alert("load", WARNING, 2),
        *(over(name, 3) for name in ("queue", "disk", "load")),
    )

    assert said == [(RESOLVED, 1, 0)]


def test_acknowledged_incident_that_gets_worse_is_said_to(database: Database) -> None:
    ingest(database, alert("queue", WARNING))
    taken_up = ingest(database, alert("queue", WARNING, 1, lifecycle=Lifecycle.ACKNOWLEDGED))

    assert (taken_up, ingest(database, alert("disk", CRITICAL, 2))) == (
        [(ACKNOWLEDGED, 1, 0)],
        [(ESCALATED, 1, 2)],
    )


def test_event_that_fires_and_is_taken_up_within_one_run_says_both_in_order(database: Database) -> None:
    said = ingest(database, alert("queue", WARNING), alert("queue", WARNING, 1, lifecycle=Lifecycle.ACKNOWLEDGED))

    assert said == [(FIRING, 1, 0), (ACKNOWLEDGED, 1, 0)]


def test_escalation_within_two_deliveries_of_one_run_is_said_once(database: Database) -> None:
    ingest(database, alert("queue", INFO))

    said = ingest(database, alert("queue", WARNING, 1), alert("disk", CRITICAL, 2), alert("load", CRITICAL, 3))

    assert said == [(ESCALATED, 1, 2)]


def test_alert_joins_once_and_anew_when_it_fires_again(database: Database) -> None:
    def joined_at(name: str) -> datetime | None:
        with database.read() as session:
            return session.scalars(select(Alert.joined_at).where(Alert.name == name)).one()

    ingest(database, alert("queue", WARNING), alert("disk", WARNING))
    first = joined_at("queue")
    ingest(database, alert("queue", WARNING, 1))
    refreshed = joined_at("queue")
    ingest(database, over("queue", 2))
    ended = joined_at("queue")
    ingest(database, alert("queue", WARNING, 9, 9))

    with database.read() as session:
        [incident] = session.scalars(select(Incident))
    assert incident.episode == 1
    assert first is not None
    assert first == refreshed == ended
    assert (joined_at("queue") or first) > first
