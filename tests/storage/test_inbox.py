"""The inbox, on both databases."""

import threading
from time import monotonic
from uuid import uuid4

from storage import inbox, runs
from storage.database import Database
from storage.inbox import NewDelivery
from storage.vocabulary import DeliveryStatus
from storage.wakeup import bell_of


def new_delivery(*, pipeline: str = "direct", sender_delivery_id: str | None = None) -> NewDelivery:
    return NewDelivery(
        delivery_id=str(uuid4()),
        trace_id="trace",
        source="generic",
        pipeline=pipeline,
        environment="test",
        body=b'{"name": "x"}',
        sha256="0" * 64,
        sender_delivery_id=sender_delivery_id,
    )


def accept(database: Database, *deliveries: NewDelivery) -> set[str]:
    with database.write() as session:
        return inbox.accept(session, deliveries)


def test_repeat_of_a_senders_id_is_not_stored(database: Database) -> None:
    first, repeat, other = (new_delivery(sender_delivery_id=i) for i in ("a", "a", None))

    assert accept(database, first, other) == {first.delivery_id, other.delivery_id}
    assert accept(database, repeat) == set()


def test_deliveries_are_claimed_oldest_first_and_once(database: Database) -> None:
    deliveries = [new_delivery() for _ in range(3)]
    accept(database, *deliveries, new_delivery(pipeline="full"))

    with database.write() as session:
        first = inbox.claim(session, pipeline="direct", limit=2)
    with database.write() as session:
        second = inbox.claim(session, pipeline="direct", limit=2)

    claimed = [delivery.delivery_id for delivery in first + second]
    assert claimed == [delivery.delivery_id for delivery in deliveries]
    with database.read() as session:
        assert inbox.count_waiting(session) == {"full": 1}


def test_two_relays_never_claim_the_same_delivery(database: Database) -> None:
    accept(database, *(new_delivery() for _ in range(40)))
    claimed: list[str] = []

    def claim_all() -> None:
        while True:
            with database.write() as session:
                batch = [delivery.delivery_id for delivery in inbox.claim(session, pipeline="direct", limit=3)]
            if not batch:
                return
            claimed.extend(batch)

    relays = [threading.Thread(target=claim_all) for _ in range(4)]
    for relay in relays:
        relay.start()
    for relay in relays:
        relay.join()

    assert len(claimed) == len(set(claimed)) == 40


def test_run_keeps_its_deliveries_in_order_with_their_bodies(database: Database) -> None:
    deliveries = [new_delivery() for _ in range(3)]
    accept(database, *deliveries)
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=10)
        run = runs.create_run(session, definition_name="direct", definition_version=1, deliveries=claimed)

    with database.read() as session:
        found = inbox.deliveries_of(session, run.id, with_bodies=True)

    assert [delivery.delivery_id for delivery in found] == [d.delivery_id for d in deliveries]
    assert {delivery.status for delivery in found} == {DeliveryStatus.CLAIMED}
    assert found[0].body == b'{"name": "x"}'


def test_bell_rings_when_another_connection_stores_a_delivery(database: Database) -> None:
    bell = bell_of(database.engine)
    bell.wait(0.2)  # the first wait connects and listens
    bell.wait(0.2)
    threading.Timer(0.3, lambda: accept(database, new_delivery())).start()
    began = monotonic()

    bell.wait(10)

    assert 0.1 < monotonic() - began < 5
    bell.close()
