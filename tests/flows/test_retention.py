"""What the worker forgets, and when."""

import asyncio
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from rows import add_delivery
from sqlalchemy import func, select

from flows import retention
from flows.catalog import flow_of
from flows.executor import Executor
from flows.prefect_link import PrefectLink
from flows.relay import Relay
from flows.retention import prune
from flows.slots import Slots
from storage import inbox, settings
from storage.database import Database
from storage.settings import Settings
from storage.tables import Delivery
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus


def keep_finished(database: Database, *, days_ago: float, count: int = 1) -> None:
    """Deliveries that were dealt with so many days ago."""
    then = utc_now() - timedelta(days=days_ago)
    done = {"status": DeliveryStatus.DONE, "received_at": then, "finished_at": then}
    with database.write() as session:
        for _ in range(count):
            add_delivery(session, sender_delivery_id=str(uuid4()), **done)


def left(database: Database) -> tuple[int, int]:
    """How many bodies and senders' ids are still there."""
    with database.read() as session:
        bodies = session.scalar(select(func.count()).select_from(Delivery).where(inbox.HAS_BODY))
        return bodies or 0, session.scalar(select(func.count(Delivery.sender_delivery_id))) or 0


async def all_forgotten(database: Database) -> None:
    """Wait until nothing is left, or too long."""
    give_up_at = time.monotonic() + 20
    while await asyncio.to_thread(left, database) != (0, 0) and time.monotonic() < give_up_at:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def test_by_default_bodies_stay_thirty_days_and_senders_ids_seven(database: Database) -> None:
    for days_ago in (6.9, 7.1, 29.9, 30.1):
        keep_finished(database, days_ago=days_ago)

    asyncio.run(prune(settings.load()))

    assert left(database) == (3, 1)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("WATCHKEEPER_RETAIN_BODIES_DAYS", (1, 0)), ("WATCHKEEPER_RETAIN_DELIVERY_IDS_DAYS", (0, 1))],
)
def test_zero_days_keep_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch, variable: str, expected: tuple[int, int]
) -> None:
    keep_finished(database, days_ago=4000)
    monkeypatch.setenv(variable, "0")

    asyncio.run(prune(settings.load()))

    assert left(database) == expected


def test_everything_due_is_forgotten_however_much_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOOK", 7)
    monkeypatch.setattr(retention, "BATCH", 3)
    keep_finished(database, days_ago=31, count=20)

    asyncio.run(prune(settings.load()))

    assert left(database) == (0, 0)


def test_two_workers_prune_at_once_without_harm(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 5)
    keep_finished(database, days_ago=31, count=60)

    async def both() -> None:
        await asyncio.gather(prune(Settings()), prune(Settings()))

    asyncio.run(both())

    assert left(database) == (0, 0)


def test_worker_prunes_while_it_relays(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_DIRECT_AFTER_SECONDS", "0")
    keep_finished(database, days_ago=31)

    async def never(_client: object) -> dict[str, object]:
        raise AssertionError("nothing is registered while the server is away")

    async def relay_for_a_while() -> None:
        executor = Executor(Slots(1, on_free=lambda: None))
        link = PrefectLink(api_url="http://127.0.0.1:9/api", headers={}, register=never)  # type: ignore[arg-type]
        relay = Relay(settings.load(), link=link, executor=executor, flow_of=flow_of)
        relaying = asyncio.create_task(relay.run())
        await all_forgotten(database)
        relay.stop()
        await relaying

    asyncio.run(relay_for_a_while())

    assert left(database) == (0, 0)


def test_pruning_that_failed_is_tried_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.01)
    keep_finished(database, days_ago=31)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE deliveries RENAME TO away")

    async def prune_until_forgotten() -> None:
        pruning = asyncio.create_task(retention.keep_pruning(settings.load()))
        await asyncio.sleep(0.1)
        with database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO deliveries")
        await all_forgotten(database)
        pruning.cancel()

    asyncio.run(prune_until_forgotten())

    assert left(database) == (0, 0)
