"""Reminders and updates find their way to people by the relay, on both databases."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from relaying import count, relay_until
from sinks import HttpSink
from sqlalchemy import select, update

from storage import channels, definitions, inbox
from storage.database import Database
from storage.inbox import NewDelivery
from storage.tables import Alert, Incident, Notification, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus

NODES = [
    {"id": "ingest", "type": "ingest", "config": {"group_by": ["service"]}, "next": "check"},
    {"id": "check", "type": "context", "config": {"checker_names": ["memory"]}, "next": "notify"},
    {"id": "notify", "type": "notify"},
]


@pytest.fixture
def sink(database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> HttpSink:
    """The only channel, of a pipeline that checks memory; Prefect's server is away from the beginning."""
    monkeypatch.setenv("WATCHKEEPER_DIRECT_AFTER_SECONDS", "0")
    with database.write() as session:
        definitions.save(session, name="direct", config={"version": "1.0", "nodes": NODES})
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    return http_sink


def accept(database: Database, *hosts: str) -> None:
    """A delivery of an alert of one service for each host."""
    new = [
        NewDelivery(
            delivery_id=str(uuid4()),
            trace_id=f"trace-{host}",
            source="generic",
            pipeline="direct",
            environment="test",
            body=json.dumps({"name": "Slow", "labels": {"host": host, "service": "shop"}}).encode(),
            sha256="0" * 64,
        )
        for host in hosts
    ]
    with database.write() as session:
        inbox.accept(session, new)


def wait_for(database: Database, messages: int) -> None:
    """Relay until so many messages were sent."""
    relay_until(
        lambda: count(database, Notification, status=NotificationStatus.SENT) == messages,
        slots=1,
        timeout_seconds=20,
    )


def let_pass(database: Database, hours: float) -> None:
    """Everything that was said and that fires is so much older now."""
    ago = timedelta(hours=hours)
    with database.write() as session:
        for row in session.scalars(select(Notification)):
            row.sent_at = row.sent_at - ago if row.sent_at else None
            row.claimed_at = row.claimed_at - ago if row.claimed_at else None
            row.created_at -= ago
            row.updated_at -= ago
        session.execute(update(Incident).values(started_at=utc_now() - ago))
        for alert in session.scalars(select(Alert)):
            alert.joined_at = alert.joined_at - ago if alert.joined_at else None


def last_body(sink: HttpSink) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(sink.requests[-1].body)
    return body


def test_people_are_reminded_with_what_was_found_before(database: Database, sink: HttpSink) -> None:
    accept(database, "db-1")
    wait_for(database, 1)
    let_pass(database, hours=4.01)

    wait_for(database, 2)

    told = last_body(sink)
    assert (told["reason"], told["title"]) == ("reminder", "[STILL FIRING, 4 h] warning: Slow on db-1")
    assert "\nChecks on " in told["message"]
    assert ", made for an earlier message:\n- " in told["message"]
    with database.read() as session:
        runs = list(session.scalars(select(PipelineRun).order_by(PipelineRun.id)))
    assert [run.definition_name for run in runs] == ["direct", "redelivery"]
    assert (told["context"]["run_id"], told["context"]["trace_id"]) == (runs[0].run_id, "trace-db-1")
    assert len({request.headers["Idempotency-Key"] for request in sink.requests}) == 2


def test_people_are_told_which_alerts_have_joined(database: Database, sink: HttpSink) -> None:
    accept(database, "db-1")
    wait_for(database, 1)
    let_pass(database, hours=1)
    accept(database, "db-2", "db-3")
    relay_until(lambda: count(database, Alert) == 3, slots=1, timeout_seconds=20)

    wait_for(database, 2)

    told = last_body(sink)
    assert (told["reason"], told["title"]) == (
        NotificationReason.UPDATED,
        "[UPDATED, 2 more] warning: Slow on db-1 (+2 more)",
    )
    assert ": 2 joined:\n- warning Slow on db-2\n- warning Slow on db-3\n" in told["message"]
