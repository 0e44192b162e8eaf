"""Messages that their own run could not send are sent by later runs, on both databases."""

import asyncio
from typing import Any

import pytest
from relaying import NOBODY_THERE, accept, count, relay_until
from rows import add_notification
from sinks import HttpSink
from sqlalchemy import select

from flows.catalog import flow_of
from flows.executor import Executor
from flows.prefect_link import PrefectLink
from flows.relay import Relay
from flows.slots import Slots
from storage import channels, definitions, outbox_actions, settings
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


def test_a_relay_that_is_rung_looks_for_retried_messages_before_its_next_sweep(
    database: Database, sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.relay.SWEEP_SECONDS", 60.0)
    with database.write() as session:
        pk = add_notification(session, channel="sink")

    def retry() -> None:
        with database.write() as session:
            outbox_actions.retry(session, pk)

    async def work() -> None:
        executor = Executor(Slots(1))
        link = PrefectLink(api_url=NOBODY_THERE, headers={}, register=no_client)
        relay = Relay(settings.load(), link=link, executor=executor, flow_of=flow_of)
        relaying = asyncio.create_task(relay.run())
        async with asyncio.timeout(20):
            while not relay._swept_at:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.to_thread(retry)
            while not sink.requests:
                relay.ring()
                await asyncio.sleep(0.05)
        relay.stop()
        await relaying
        await executor.drain(20)

    asyncio.run(work())

    assert count(database, Notification, status=NotificationStatus.SENT) == 1


async def no_client(_client: object) -> Any:
    """Nothing is registered while the server is away."""
    raise AssertionError
