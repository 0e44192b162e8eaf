"""Deliveries that are run once more, on both databases."""

import asyncio
import json

import pytest
from rows import add_delivery
from sinks import HttpSink
from sqlalchemy import select

from flows.direct import run_directly
from flows.execution import Outcome
from storage import channels, inbox, runs
from storage.database import Database
from storage.tables import Alert, Delivery, Incident
from storage.vocabulary import DeliveryStatus, IncidentStatus

FIRING = {
    "name": "Disk full",
    "severity": "critical",
    "labels": {"host": "db-1"},
    "started_at": "2026-09-20T10:00:00Z",
}


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0")


def accept(database: Database, payload: object, *, source: str = "generic") -> str:
    with database.write() as session:
        return add_delivery(session, body=json.dumps(payload).encode(), source=source)


def run_what_waits(database: Database) -> Outcome:
    """Take what waits into a run, as the relay does, and execute it."""
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=100)
        run_id = runs.create_run(
            session, definition_name="direct", definition_version=0, deliveries=claimed
        ).run_id
    return asyncio.run(run_directly(run_id))


def replay(database: Database, delivery_id: str, *, source: str | None = None) -> None:
    with database.write() as session:
        inbox.replay(session, delivery_id, source=source)


def find(database: Database, delivery_id: str) -> Delivery:
    with database.read() as session:
        return session.scalars(select(Delivery).where(Delivery.delivery_id == delivery_id)).one()


def alerts_and_incidents(database: Database) -> list[tuple[object, ...]]:
    with database.read() as session:
        alerts = session.execute(
            select(Alert.name, Alert.status, Alert.severity, Alert.started_at, Alert.ended_at, Alert.incident_id)
        )
        incidents = session.execute(select(Incident.id, Incident.status, Incident.episode, Incident.severity))
        return [tuple(row) for row in [*alerts, *incidents]]


def test_replay_of_what_is_up_to_date_changes_nothing_and_tells_nobody(
    database: Database, http_sink: HttpSink
) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    delivery_id = accept(database, FIRING)
    run_what_waits(database)
    before = alerts_and_incidents(database)

    replay(database, delivery_id)
    run_what_waits(database)

    assert alerts_and_incidents(database) == before
    assert len(before) == 2
    assert len(http_sink.requests) == 1
    delivery = find(database, delivery_id)
    assert delivery.status is DeliveryStatus.DONE
    with database.read() as session:
        assert len(inbox.runs_of(session, delivery.id)) == 2


def test_replay_of_a_firing_that_has_ended_since_does_not_raise_it_again(database: Database) -> None:
    delivery_id = accept(database, FIRING)
    run_what_waits(database)
    accept(database, {**FIRING, "status": "resolved", "ended_at": "2026-09-20T11:00:00Z"})
    run_what_waits(database)

    replay(database, delivery_id)
    run_what_waits(database)

    with database.read() as session:
        incident = session.scalars(select(Incident)).one()
    assert (incident.status, incident.episode) == (IncidentStatus.RESOLVED, 1)


def test_quarantined_delivery_is_read_when_it_is_replayed_under_the_right_source(database: Database) -> None:
    delivery_id = accept(database, FIRING, source="alertmanager")
    run_what_waits(database)
    quarantined = find(database, delivery_id)

    replay(database, delivery_id, source="generic")
    run_what_waits(database)

    assert quarantined.status is DeliveryStatus.QUARANTINED
    assert find(database, delivery_id).status is DeliveryStatus.DONE
    with database.read() as session:
        assert session.scalars(select(Alert.name).where(Alert.source == "generic")).all() == ["Disk full"]
