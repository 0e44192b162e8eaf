"""The relay over a real inbox, without Prefect's server, on both databases."""

import asyncio
from typing import Any

import pytest
from relaying import NOBODY_THERE, accept, count, relay_until
from sinks import Answer, HttpSink
from sqlalchemy import select

from flows.catalog import flow_of
from flows.direct import run_directly
from flows.execution import only_unended
from flows.executor import Executor
from flows.prefect_link import PrefectLink
from flows.relay import Relay
from flows.slots import Slots
from storage import channels, inbox, runs, settings
from storage.database import Database
from storage.runs import RunOverError
from storage.tables import Delivery, Notification, PipelineRun
from storage.vocabulary import DeliveryStatus, NotificationStatus, RunStatus


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's server is away from the beginning, and that is acted on at once."""
    monkeypatch.setenv("WATCHKEEPER_DIRECT_AFTER_SECONDS", "0")
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "1.5")


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


def test_delivery_that_always_fails_does_not_hold_up_the_one_behind_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[1, 1, 1]")
    with HttpSink([503, 503], default=200) as sink:
        with database.write() as session:
            channels.add_channel(session, name="sink", driver="generic", config={"endpoint": sink.url})
        accept(database, "bad")
        relay_until(lambda: len(sink.requests) == 1, slots=1)
        sink.answer_with(Answer(503), Answer(200))  # the bad one again, then the good one

        accept(database, "good")
        took = relay_until(lambda: count(database, Notification, status=NotificationStatus.SENT) >= 1, slots=1)

    assert took < 5


def test_failed_run_is_not_begun_again_by_a_worker_that_had_no_place_for_it_in_time(database: Database) -> None:
    run_id = make_run(database)

    async def work() -> None:
        executor = Executor(Slots(1))
        busy = executor.slots.place("direct")
        await busy.take()
        link = PrefectLink(api_url=NOBODY_THERE, headers={}, register=no_client)
        relay = Relay(settings.load(), link=link, executor=executor, flow_of=flow_of)
        relaying = asyncio.create_task(relay.run())
        async with asyncio.timeout(20):
            while not executor.is_running(run_id):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await run_directly(run_id)  # another worker; it fails, since there is no channel
            busy.give_back()
            while executor.is_running(run_id):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        relay.stop()
        await relaying

    asyncio.run(work())

    assert count(database, PipelineRun, status=RunStatus.FAILED, total_attempts=1) == 1
    with pytest.raises(RunOverError):
        asyncio.run(go_on(run_id))


def test_run_that_was_given_up_is_resumed_also_while_prefect_is_away(
    database: Database, http_sink: HttpSink
) -> None:
    run_id = make_run(database, unended_attempts=20)
    relay_until(lambda: count(database, PipelineRun, last_error_type="GivenUp") == 1, slots=1)

    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
        runs.resume(session, run_id)
    relay_until(lambda: count(database, PipelineRun, status=RunStatus.NOTIFIED) == 1, slots=1)

    assert len(http_sink.requests) == 1


def test_delivery_for_a_pipeline_that_is_gone_is_set_aside_with_the_reason(database: Database) -> None:
    accept(database, "lost")
    with database.write() as session:
        delivery = session.scalars(select(Delivery)).one()
        delivery.pipeline = "gone"

    relay_until(lambda: count(database, Delivery, status=DeliveryStatus.QUARANTINED) == 1, slots=1)

    with database.read() as session:
        assert "gone" in session.scalars(select(Delivery.reason)).one()


def make_run(database: Database, **values: Any) -> str:
    """A run of `direct` with a delivery that nobody holds."""
    accept(database, "one")
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=1)
        run = runs.create_run(session, definition_name="direct", definition_version=0, deliveries=claimed)
        for key, value in values.items():
            setattr(run, key, value)
        runs.queue(session, run)
        return run.run_id


async def go_on(run_id: str) -> None:
    only_unended.set(True)
    await run_directly(run_id)


async def no_client(_client: object) -> Any:
    """Nothing is registered while the server is away."""
    raise AssertionError
