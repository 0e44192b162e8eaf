"""The relay over a real inbox, without Prefect's server, on both databases."""

import pytest
from relaying import accept, count, relay_until
from sinks import Answer, HttpSink
from sqlalchemy import select

from storage import channels
from storage.database import Database
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


def test_delivery_for_a_pipeline_that_is_gone_is_set_aside_with_the_reason(database: Database) -> None:
    accept(database, "lost")
    with database.write() as session:
        delivery = session.scalars(select(Delivery)).one()
        delivery.pipeline = "gone"

    relay_until(lambda: count(database, Delivery, status=DeliveryStatus.QUARANTINED) == 1, slots=1)

    with database.read() as session:
        assert "gone" in session.scalars(select(Delivery.reason)).one()
