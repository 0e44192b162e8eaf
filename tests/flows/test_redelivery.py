"""Messages that their own run could not send are sent by later runs, on both databases."""

import pytest
from relaying import accept, count, relay_until
from sinks import HttpSink
from sqlalchemy import select

from storage import channels, definitions
from storage.database import Database
from storage.tables import Notification, PipelineRun
from storage.vocabulary import NotificationStatus, RunStatus

ONE_TRY = [
    {"id": "ingest", "type": "ingest", "next": "notify"},
    {"id": "notify", "type": "notify", "max_retries": 0},
]


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's server is away from the beginning, and that is acted on at once."""
    monkeypatch.setenv("WATCHKEEPER_DIRECT_AFTER_SECONDS", "0")
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[0.5, 0.5, 0.5]")


@pytest.fixture
def sink(database: Database, http_sink: HttpSink) -> HttpSink:
    """The only channel, of a pipeline that tries once."""
    with database.write() as session:
        definitions.save(session, name="direct", config={"version": "1.0", "nodes": ONE_TRY})
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    return http_sink


def test_what_a_run_could_not_send_is_sent_by_a_later_one(database: Database, sink: HttpSink) -> None:
    sink.answer_with(503, 503)
    accept(database, "db-1")

    relay_until(lambda: count(database, Notification, status=NotificationStatus.SENT) == 1, slots=1)

    with database.read() as session:
        found = session.execute(
            select(PipelineRun.definition_name, PipelineRun.status, PipelineRun.trace_id).order_by(PipelineRun.id)
        ).all()
    assert found == [
        ("direct", RunStatus.FAILED, "trace-db-1"),
        ("redelivery", RunStatus.NOTIFIED, "trace-db-1"),
    ]
    assert len({request.headers["Idempotency-Key"] for request in sink.requests}) == 1
    assert len(sink.requests) == 3
