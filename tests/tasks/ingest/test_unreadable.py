"""The alert of our own about deliveries in quarantine, from a bad body to the end of it."""

import asyncio
import json
from typing import Any

import pytest
from rows import add_delivery
from sinks import HttpSink
from sqlalchemy import select, update

from flows.direct import run_directly
from flows.execution import Outcome
from storage import channels, inbox, runs
from storage.database import Database
from storage.tables import Alert, Delivery, Incident
from storage.vocabulary import AlertStatus, DeliveryStatus, IncidentStatus, RunStatus

READABLE = {"name": "Disk full"}
UNREADABLE = {"nothing": "known"}


@pytest.fixture(autouse=True)
def channel(database: Database, http_sink: HttpSink) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})


def deliver(database: Database, payload: Any, **fields: object) -> str:
    """Put a body into the inbox, as the receiver does."""
    with database.write() as session:
        return add_delivery(session, body=json.dumps(payload).encode(), **fields)


def run(database: Database) -> Outcome:
    """Let one run take what waits."""
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=100)
        run_id = runs.create_run(
            session, definition_name="direct", definition_version=0, deliveries=claimed
        ).run_id
    return asyncio.run(run_directly(run_id))


def own_alert(database: Database) -> Alert:
    with database.read() as session:
        return session.scalars(select(Alert).where(Alert.source == "watchkeeper")).one()


def test_unreadable_delivery_is_an_alert_that_people_are_told_of(database: Database, http_sink: HttpSink) -> None:
    delivery_id = deliver(database, UNREADABLE)

    outcome = run(database)

    alert = own_alert(database)
    assert outcome.status is RunStatus.NOTIFIED
    assert (alert.status, alert.labels) == (AlertStatus.FIRING, {"source": "generic"})
    assert delivery_id in alert.description
    assert len(http_sink.requests) == 1
    assert "could not be read" in http_sink.requests[0].body.decode()


def test_each_source_in_quarantine_is_told_of(database: Database, http_sink: HttpSink) -> None:
    deliver(database, UNREADABLE)
    run(database)
    deliver(database, UNREADABLE, source="grafana")

    run(database)

    assert len(http_sink.requests) == 2
    with database.read() as session:
        assert len(session.scalars(select(Incident)).all()) == 2


def test_delivery_quarantined_at_the_door_is_looked_at_once(database: Database, http_sink: HttpSink) -> None:
    deliver(database, UNREADABLE, status=DeliveryStatus.QUARANTINED)

    run(database)

    with database.read() as session:
        delivery = session.scalars(select(Delivery)).one()
    assert (delivery.status, delivery.finished_at is not None) == (DeliveryStatus.QUARANTINED, True)
    with database.write() as session:
        assert inbox.claim(session, pipeline="direct", limit=10) == []
    assert len(http_sink.requests) == 1


def test_second_unreadable_delivery_is_a_failed_run_and_no_second_message(
    database: Database, http_sink: HttpSink
) -> None:
    deliver(database, UNREADABLE)
    run(database)
    deliver(database, UNREADABLE)

    outcome = run(database)

    assert outcome.status is RunStatus.FAILED
    assert "no delivery could be read" in outcome.message
    assert len(http_sink.requests) == 1


def test_alert_goes_on_while_something_is_left_in_quarantine(database: Database) -> None:
    deliver(database, UNREADABLE)
    run(database)
    deliver(database, READABLE)

    run(database)

    assert own_alert(database).status is AlertStatus.FIRING


def test_alert_ends_with_the_first_good_delivery_after_the_quarantine_is_empty(database: Database) -> None:
    deliver(database, UNREADABLE)
    run(database)
    with database.write() as session:
        session.execute(update(Delivery).values(status=DeliveryStatus.DISCARDED))
    deliver(database, READABLE)

    run(database)

    alert = own_alert(database)
    assert alert.status is AlertStatus.RESOLVED
    with database.read() as session:
        assert session.get_one(Incident, alert.incident_id).status is IncidentStatus.RESOLVED


def test_good_alerts_go_on_and_each_bad_one_is_recorded_by_place_and_reason(database: Database) -> None:
    deliver(database, {"alerts": [READABLE, 5, {"name": "x", "status": "sideways"}]})

    outcome = run(database)

    with database.read() as session:
        delivery = session.scalars(select(Delivery)).one()
        names = session.scalars(select(Alert.name)).all()
    assert outcome.status is RunStatus.NOTIFIED
    assert (delivery.status, names) == (DeliveryStatus.DONE, ["Disk full"])
    assert "2 of 3 could not be read: alerts[1]: " in delivery.reason
    assert "alerts[2]: " in delivery.reason
