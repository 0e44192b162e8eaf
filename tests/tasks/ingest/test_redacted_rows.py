"""Alerts that bring secrets: rows hold none, and yet every alert, group and episode is told apart by them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ingesting import ingest_at, the_alert
from rows import add_incident
from sqlalchemy import select

from storage import transitions
from storage.database import Database
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus

AT = datetime(2026, 9, 14, 6, 0, tzinfo=UTC)
LEAKY: dict[str, Any] = {
    "name": "Login with password=hunter2 failed",
    "severity": "critical",
    "fingerprint": "login:password=hunter2",
    "labels": {"host": "https://ann:hunter2@db-1:9100", "api_key": "hunter2", "keyspace": "shop"},
    "description": "mysql -phunter2",
    "started_at": "2026-09-14T05:00:00Z",
}


def stored(database: Database, table: type) -> list[Any]:
    with database.read() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def test_rows_hold_what_may_be_shown(database: Database) -> None:
    ingest_at(AT, database, LEAKY)

    alert = the_alert(database)
    [incident] = stored(database, Incident)
    assert alert.name == "Login with password=*** failed"
    assert alert.labels == {"host": "https://***@db-1:9100", "api_key": "***", "keyspace": "shop"}
    assert alert.description == incident.description == "mysql -p***"
    assert incident.title == "Login with password=*** failed on https://***@db-1:9100"
    assert "hunter2" not in f"{vars(alert)} {vars(incident)}"


def test_a_repeat_is_no_change(database: Database) -> None:
    ingest_at(AT, database, LEAKY)
    before = the_alert(database)

    ingest_at(AT + timedelta(minutes=5), database, LEAKY)

    after = the_alert(database)
    assert (after.name, after.labels, after.raw_payload) == (before.name, before.labels, before.raw_payload)
    assert [row.event for row in stored(database, AlertHistory)] == [AlertEvent.CREATED, AlertEvent.REFRESHED]
    assert len(stored(database, Incident)) == 1


def test_its_end_finds_it(database: Database) -> None:
    ingest_at(AT, database, LEAKY)

    ingest_at(AT + timedelta(minutes=5), database, {**LEAKY, "status": "resolved"})

    assert the_alert(database).status is AlertStatus.RESOLVED
    assert [incident.status for incident in stored(database, Incident)] == [IncidentStatus.RESOLVED]


def test_alerts_that_differ_in_a_secret_alone_stay_apart(database: Database) -> None:
    unnamed = {key: value for key, value in LEAKY.items() if key != "fingerprint"}
    other = {**unnamed, "labels": {**LEAKY["labels"], "host": "https://ann:hunter3@db-1:9100"}}

    ingest_at(AT, database, unnamed, other)

    alerts, incidents = stored(database, Alert), stored(database, Incident)
    assert alerts[0].labels == alerts[1].labels
    assert alerts[0].fingerprint != alerts[1].fingerprint
    assert incidents[0].group_key != incidents[1].group_key
    assert incidents[0].group_label == incidents[1].group_label
    assert "hunter" not in f"{[vars(row) for row in (*alerts, *incidents)]}"


def test_what_people_write_about_an_incident_is_redacted_too(database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id
        transitions.add_note(session, pk, author="ann", text="tried password: hunter2")
        transitions.resolve(session, pk, author="ann", summary="it was token=hunter2")

    [incident] = stored(database, Incident)
    assert incident.details["notes"][0]["text"] == "tried password: ***"
    assert incident.summary == "it was token=***"
