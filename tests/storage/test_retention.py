"""Forgetting bodies and senders' ids, on both databases."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from rows import BODY, add_delivery
from sqlalchemy import select
from sqlalchemy.orm import undefer

from storage import inbox, retention, runs
from storage.database import Database
from storage.inbox import DeliveryStateError, NewDelivery
from storage.kept import BODIES, DELIVERIES, SENDER_IDS
from storage.retention import Kept
from storage.tables import Delivery, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus, RunStatus

NOW = utc_now()
BEFORE = NOW - timedelta(days=30)
OLD = BEFORE - timedelta(seconds=1)


def keep(
    database: Database, status: DeliveryStatus, *, finished_at: datetime | None, received_at: datetime = OLD
) -> str:
    with database.write() as session:
        return add_delivery(
            session,
            status=status,
            finished_at=finished_at,
            received_at=received_at,
            sender_delivery_id="sender-" + Delivery.delivery_id,
        )


def prune(database: Database, part: Kept, *, limit: int = 100) -> int:
    with database.read() as session:
        due = retention.find_due(session, part, before=BEFORE, limit=limit)
    with database.write() as session:
        return retention.forget(session, part, due, before=BEFORE)


def find(database: Database, delivery_id: str) -> Delivery:
    with database.read() as session:
        query = select(Delivery).where(Delivery.delivery_id == delivery_id).options(undefer(Delivery.body))
        return session.scalars(query).one()


@pytest.mark.parametrize("status", inbox.FINISHED)
def test_body_of_a_delivery_dealt_with_long_ago_is_emptied_and_its_size_stays(
    database: Database, status: DeliveryStatus
) -> None:
    delivery_id = keep(database, status, finished_at=OLD)

    assert prune(database, BODIES) == 1

    delivery = find(database, delivery_id)
    assert (delivery.body, delivery.body_bytes) == (b"", len(BODY))
    assert delivery.status in {status, DeliveryStatus.DISCARDED}
    assert delivery.sender_delivery_id == f"sender-{delivery_id}"


def test_quarantined_delivery_without_its_body_leaves_the_quarantine(database: Database) -> None:
    delivery_id = keep(database, DeliveryStatus.QUARANTINED, finished_at=OLD)

    prune(database, BODIES)

    assert find(database, delivery_id).status is DeliveryStatus.DISCARDED
    with database.read() as session:
        assert inbox.quarantined_sources(session) == set()


@pytest.mark.parametrize("status", inbox.FINISHED)
def test_senders_id_of_a_delivery_dealt_with_long_ago_is_forgotten(
    database: Database, status: DeliveryStatus
) -> None:
    delivery_id = keep(database, status, finished_at=OLD)

    assert prune(database, SENDER_IDS) == 1

    delivery = find(database, delivery_id)
    assert (delivery.sender_delivery_id, delivery.body) == (None, BODY)


@pytest.mark.parametrize("part", [BODIES, SENDER_IDS], ids=lambda part: part.name)
@pytest.mark.parametrize(
    ("status", "finished_at"),
    [
        (DeliveryStatus.WAITING, None),
        (DeliveryStatus.QUARANTINED, None),
        (DeliveryStatus.DONE, BEFORE + timedelta(seconds=1)),
        (DeliveryStatus.QUARANTINED, BEFORE + timedelta(seconds=1)),
    ],
)
def test_what_is_not_dealt_with_or_only_lately_is_kept(
    database: Database, part: Kept, status: DeliveryStatus, finished_at: datetime | None
) -> None:
    delivery_id = keep(database, status, finished_at=finished_at)

    assert prune(database, part) == 0

    delivery = find(database, delivery_id)
    assert (delivery.body, delivery.sender_delivery_id) == (BODY, f"sender-{delivery_id}")


def test_delivery_left_behind_goes_when_the_last_of_its_runs_failed_long_ago(database: Database) -> None:
    delivery_id = keep(database, DeliveryStatus.CLAIMED, finished_at=None)
    with database.write() as session:
        delivery = session.scalars(select(Delivery).where(Delivery.delivery_id == delivery_id)).one()
        for _ in range(2):
            run = runs.create_run(session, definition_name="direct", definition_version=0, deliveries=[delivery])
            run.status, run.completed_at = RunStatus.FAILED, OLD
        last = run.id
    due: list[int] = []
    for completed_at in (None, BEFORE + timedelta(seconds=1), OLD):
        with database.write() as session:
            session.get_one(PipelineRun, last).completed_at = completed_at
        due.append(prune(database, BODIES))

    assert due == [0, 0, 1]
    assert (prune(database, SENDER_IDS), prune(database, DELIVERIES)) == (1, 1)


def test_batch_is_bounded_and_the_next_one_goes_on(database: Database) -> None:
    for _ in range(5):
        keep(database, DeliveryStatus.DONE, finished_at=OLD)

    assert [prune(database, BODIES, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_delivery_replayed_since_it_was_found_due_keeps_its_body(database: Database) -> None:
    delivery_id = keep(database, DeliveryStatus.QUARANTINED, finished_at=OLD)
    with database.read() as session:
        due = retention.find_due(session, BODIES, before=BEFORE, limit=100)
    with database.write() as session:
        inbox.replay(session, delivery_id)

    with database.write() as session:
        forgotten = retention.forget(session, BODIES, due, before=BEFORE)

    assert (len(due), forgotten, find(database, delivery_id).body) == (1, 0, BODY)


def test_pruned_delivery_cannot_be_replayed(database: Database) -> None:
    delivery_id = keep(database, DeliveryStatus.QUARANTINED, finished_at=OLD)
    prune(database, BODIES)

    with pytest.raises(DeliveryStateError, match="its body is no longer kept"), database.write() as session:
        inbox.replay(session, delivery_id)


def test_forgotten_senders_id_may_come_again_as_a_new_delivery(database: Database) -> None:
    delivery_id = keep(database, DeliveryStatus.DONE, finished_at=OLD)
    prune(database, SENDER_IDS)
    again = NewDelivery(
        delivery_id=str(uuid4()),
        trace_id="trace",
        source="generic",
        pipeline="direct",
        environment="test",
        body=BODY,
        sha256="0" * 64,
        sender_delivery_id=f"sender-{delivery_id}",
    )

    with database.write() as session:
        assert inbox.accept(session, [again]) == {again.delivery_id}


def test_one_pruner_passes_over_what_another_holds(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    for _ in range(3):
        keep(database, DeliveryStatus.DONE, finished_at=OLD)
    with database.read() as session:
        due = retention.find_due(session, BODIES, before=BEFORE, limit=100)

    with database.write() as first, database.write() as second:
        forgotten = retention.forget(first, BODIES, due[:2], before=BEFORE)
        left = retention.forget(second, BODIES, due, before=BEFORE)

    assert (forgotten, left) == (2, 1)
