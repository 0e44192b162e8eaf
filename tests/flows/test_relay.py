"""The relay over a real inbox, without Prefect's server, on both databases."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from sinks import Answer, HttpSink
from sqlalchemy import func, select

from flows.catalog import flow_of
from flows.executor import Executor
from flows.prefect_link import PrefectLink
from flows.relay import Relay
from flows.slots import Slots
from storage import channels, inbox, settings
from storage.database import Database
from storage.inbox import NewDelivery
from storage.tables import Delivery, Notification, PipelineRun
from storage.vocabulary import DeliveryStatus, NotificationStatus, RunStatus

NOBODY_THERE = "http://127.0.0.1:9/api"


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's server is away from the beginning, and that is acted on at once."""
    monkeypatch.setenv("WATCHKEEPER_DIRECT_AFTER_SECONDS", "0")
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "1.5")


def accept(database: Database, *names: str) -> None:
    new = [
        NewDelivery(
            delivery_id=str(uuid4()),
            trace_id=f"trace-{name}",
            source="generic",
            pipeline="direct",
            environment="test",
            body=json.dumps({"name": name, "labels": {"host": name}}).encode(),
            sha256="0" * 64,
        )
        for name in names
    ]
    with database.write() as session:
        inbox.accept(session, new)


def count(database: Database, table: type, **fields: object) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table).filter_by(**fields)) or 0


def relay_until(done: Callable[[], bool], *, slots: int, timeout_seconds: float = 60) -> float:
    """Run a relay until `done`. Returns the seconds that took."""

    async def never(_client: object) -> dict[str, object]:
        raise AssertionError("nothing is registered while the server is away")

    async def work() -> float:
        executor = Executor(Slots(slots, on_free=lambda: relay.ring()))  # noqa: PLW0108  (it is made below)
        link = PrefectLink(api_url=NOBODY_THERE, headers={}, register=never)  # type: ignore[arg-type]
        relay = Relay(settings.load(), link=link, executor=executor, flow_of=flow_of)
        relaying: Awaitable[None] = asyncio.create_task(relay.run())
        began = time.monotonic()
        while not await asyncio.to_thread(done) and time.monotonic() - began < timeout_seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        took = time.monotonic() - began
        relay.stop()
        await relaying
        await executor.drain(20)
        return took

    return asyncio.run(work())


def test_what_piled_up_becomes_few_runs_and_each_delivery_is_told(database: Database, http_sink: HttpSink) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    accept(database, *(f"host-{i}" for i in range(60)))

    relay_until(lambda: count(database, Delivery, status=DeliveryStatus.DONE) == 60, slots=2)

    assert count(database, PipelineRun) == 2
    assert count(database, PipelineRun, status=RunStatus.NOTIFIED) == 2
    assert count(database, Notification, status=NotificationStatus.SENT) == len(http_sink.requests) == 60


def test_single_delivery_is_a_run_of_its_own_with_its_trace(database: Database, http_sink: HttpSink) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    accept(database, "one")

    relay_until(lambda: count(database, PipelineRun, status=RunStatus.NOTIFIED) == 1, slots=2)

    assert count(database, PipelineRun, trace_id="trace-one", source="generic") == 1


def test_delivery_that_always_fails_does_not_hold_up_the_one_behind_it(database: Database) -> None:
    with HttpSink([503, 503], default=200) as sink:
        with database.write() as session:
            channels.add_channel(session, name="sink", driver="generic", config={"endpoint": sink.url})
        accept(database, "bad")
        relay_until(lambda: len(sink.requests) == 1, slots=1)
        sink.answer_with(Answer(503), Answer(200))  # the bad one again, then the good one

        accept(database, "good")
        took = relay_until(lambda: count(database, Notification, status=NotificationStatus.SENT) >= 1, slots=1)

    assert took < 5


def test_delivery_for_a_pipeline_that_is_gone_is_set_aside_with_the_reason(database: Database) -> None:
    accept(database, "lost")
    with database.write() as session:
        delivery = session.scalars(select(Delivery)).one()
        delivery.pipeline = "gone"

    relay_until(lambda: count(database, Delivery, status=DeliveryStatus.QUARANTINED) == 1, slots=1)

    with database.read() as session:
        assert "gone" in session.scalars(select(Delivery.reason)).one()
