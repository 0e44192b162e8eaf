"""Looking through the inbox, replaying and discarding, on both databases."""

import threading
from datetime import timedelta

import pytest
from rows import add_delivery
from sqlalchemy import select

from storage import inbox, runs
from storage.database import Database
from storage.inbox import DeliveryNotFoundError, DeliveryStateError
from storage.tables import Delivery
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus, RunStatus

WAITING, CLAIMED, DONE, QUARANTINED, DISCARDED = DeliveryStatus


def keep(database: Database, **fields: object) -> str:
    """A delivery with these columns. Returns its id."""
    with database.write() as session:
        return add_delivery(session, **fields)


def keep_in(database: Database, status: DeliveryStatus, **fields: object) -> str:
    """A delivery of this status, finished where that goes with it."""
    finished_at = utc_now() if status in inbox.FINISHED else None
    return keep(database, **{"status": status, "reason": "because", "finished_at": finished_at, **fields})


def find(database: Database, delivery_id: str) -> Delivery:
    with database.read() as session:
        return session.scalars(select(Delivery).where(Delivery.delivery_id == delivery_id)).one()


def replay(database: Database, delivery_id: str, *, source: str | None = None) -> None:
    with database.write() as session:
        inbox.replay(session, delivery_id, source=source)


def discard(database: Database, delivery_id: str, *, reason: str = "") -> None:
    with database.write() as session:
        inbox.discard(session, delivery_id, reason=reason)


def listed(database: Database, **wanted: object) -> list[str]:
    with database.read() as session:
        return [delivery.delivery_id for delivery in inbox.list_deliveries(session, **{"limit": 50, **wanted})]


def claim_for_run(database: Database) -> str:
    """Let a run take what waits. Returns the run's id."""
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=10)
        return runs.create_run(session, definition_name="direct", definition_version=1, deliveries=claimed).run_id


def test_deliveries_are_listed_newest_first_in_pages(database: Database) -> None:
    ids = [keep(database) for _ in range(5)]

    first = listed(database, limit=2)
    with database.read() as session:
        last_of_first = inbox.find_delivery(session, first[-1])
        assert last_of_first is not None
    second = listed(database, limit=2, before_id=last_of_first.id)

    assert first + second == ids[:0:-1]


@pytest.mark.parametrize(
    "fields",
    [{"source": "zabbix"}, {"pipeline": "full"}, {"trace_id": "trace-2"}],
    ids=lambda fields: next(iter(fields)),
)
def test_each_filter_leaves_only_what_has_that_value(database: Database, fields: dict[str, object]) -> None:
    keep(database)
    wanted = keep(database, **fields)

    assert listed(database, **fields) == [wanted]


def test_several_statuses_may_be_asked_for(database: Database) -> None:
    keep(database)
    ids = [keep_in(database, QUARANTINED), keep_in(database, DISCARDED)]

    assert listed(database, statuses=[DISCARDED, QUARANTINED]) == ids[::-1]


def test_since_leaves_out_what_was_received_earlier(database: Database) -> None:
    now = utc_now()
    keep(database, received_at=now - timedelta(seconds=1))
    at_that_time = keep(database, received_at=now)

    assert listed(database, since=now) == [at_that_time]


def test_empty_source_finds_deliveries_whose_source_is_not_known(database: Database) -> None:
    keep(database)
    nameless = keep(database, source="")

    assert listed(database, source="") == [nameless]


@pytest.mark.parametrize("status", [DONE, QUARANTINED, DISCARDED])
def test_replayed_delivery_waits_as_if_it_were_new(database: Database, status: DeliveryStatus) -> None:
    delivery_id = keep_in(database, status)

    replay(database, delivery_id)

    delivery = find(database, delivery_id)
    assert (delivery.status, delivery.reason, delivery.finished_at) == (WAITING, "", None)
    assert delivery.source == "generic"
    with database.write() as session:
        assert [d.delivery_id for d in inbox.claim(session, pipeline="direct", limit=10)] == [delivery_id]


@pytest.mark.parametrize("status", [WAITING, CLAIMED])
def test_delivery_that_is_still_to_be_dealt_with_cannot_be_replayed(
    database: Database, status: DeliveryStatus
) -> None:
    delivery_id = keep(database)
    if status is CLAIMED:
        claim_for_run(database)

    with pytest.raises(DeliveryStateError, match=f"is {status} and cannot be replayed"):
        replay(database, delivery_id)

    assert find(database, delivery_id).status is status


def test_delivery_whose_run_failed_before_it_was_ingested_can_be_replayed(database: Database) -> None:
    delivery_id = keep(database)
    run_id = claim_for_run(database)
    with database.write() as session:
        run = runs.find_run(session, run_id)
        assert run is not None
        runs.fail(run, error_type="KeyError", message="a fault of ours", retryable=True)

    replay(database, delivery_id)

    assert find(database, delivery_id).status is WAITING


def test_delivery_of_two_runs_cannot_be_replayed_while_one_of_them_goes_on(database: Database) -> None:
    delivery_id = keep(database)
    first = claim_for_run(database)
    with database.write() as session:
        run = runs.find_run(session, first)
        assert run is not None
        runs.complete(run, RunStatus.NOTIFIED)
    replay(database, delivery_id)
    claim_for_run(database)

    with pytest.raises(DeliveryStateError, match="is claimed"):
        replay(database, delivery_id)


def test_replay_can_name_another_source(database: Database) -> None:
    delivery_id = keep_in(database, QUARANTINED, source="", sender_delivery_id="a")

    replay(database, delivery_id, source="zabbix")

    delivery = find(database, delivery_id)
    assert (delivery.source, delivery.sender_delivery_id) == ("zabbix", "a")


def test_replay_gives_up_the_senders_id_where_the_other_source_has_it_already(database: Database) -> None:
    keep(database, source="zabbix", sender_delivery_id="a")
    delivery_id = keep_in(database, QUARANTINED, source="", sender_delivery_id="a")

    replay(database, delivery_id, source="zabbix")

    delivery = find(database, delivery_id)
    assert (delivery.source, delivery.sender_delivery_id) == ("zabbix", None)


def test_replay_to_the_source_it_has_keeps_the_senders_id(database: Database) -> None:
    delivery_id = keep_in(database, QUARANTINED, sender_delivery_id="a")

    replay(database, delivery_id, source="generic")

    assert find(database, delivery_id).sender_delivery_id == "a"


def test_delivery_without_its_body_cannot_be_replayed_and_the_refusal_says_why(database: Database) -> None:
    delivery_id = keep_in(database, QUARANTINED, body=b"")

    with pytest.raises(DeliveryStateError, match="its body is no longer kept"):
        replay(database, delivery_id)

    delivery = find(database, delivery_id)
    assert (delivery.status, delivery.reason) == (QUARANTINED, "because")


@pytest.mark.parametrize("status", [WAITING, QUARANTINED])
def test_discarded_delivery_is_not_taken_by_a_run(database: Database, status: DeliveryStatus) -> None:
    delivery_id = keep_in(database, status, finished_at=None)

    discard(database, delivery_id, reason="a test of ours")

    delivery = find(database, delivery_id)
    assert (delivery.status, delivery.reason) == (DISCARDED, "a test of ours")
    assert delivery.finished_at is not None
    with database.write() as session:
        assert inbox.claim(session, pipeline="direct", limit=10) == []


def test_discard_without_a_reason_keeps_the_one_of_the_quarantine(database: Database) -> None:
    delivery_id = keep_in(database, QUARANTINED)

    discard(database, delivery_id)

    assert find(database, delivery_id).reason == "because"


def test_quarantined_delivery_without_its_body_can_be_discarded(database: Database) -> None:
    delivery_id = keep_in(database, QUARANTINED, body=b"")

    discard(database, delivery_id)

    assert find(database, delivery_id).status is DISCARDED


@pytest.mark.parametrize("status", [CLAIMED, DONE, DISCARDED])
def test_delivery_that_a_run_has_or_had_cannot_be_discarded(database: Database, status: DeliveryStatus) -> None:
    delivery_id = keep_in(database, status)

    with pytest.raises(DeliveryStateError, match=f"is {status} and cannot be discarded"):
        discard(database, delivery_id)

    assert find(database, delivery_id).status is status


@pytest.mark.parametrize("change", [replay, discard])
def test_unknown_delivery_is_named(database: Database, change: object) -> None:
    with pytest.raises(DeliveryNotFoundError, match="'nothing'"):
        change(database, "nothing")  # type: ignore[operator]


def test_quarantined_ids_are_those_that_can_be_replayed_oldest_first(database: Database) -> None:
    keep(database)
    keep_in(database, QUARANTINED, body=b"")
    ids = [keep_in(database, QUARANTINED), keep_in(database, QUARANTINED, finished_at=None)]

    with database.read() as session:
        assert inbox.quarantined_ids(session) == ids


def test_of_many_replays_at_once_one_counts(database: Database) -> None:
    delivery_id = keep_in(database, DONE)
    outcomes: list[str] = []

    def replay_it() -> None:
        try:
            replay(database, delivery_id)
            outcomes.append("replayed")
        except DeliveryStateError as error:
            outcomes.append(error.status)

    people = [threading.Thread(target=replay_it) for _ in range(6)]
    for person in people:
        person.start()
    for person in people:
        person.join()

    assert sorted(outcomes) == ["replayed", *["waiting"] * 5]


def test_delivery_is_either_claimed_or_discarded_never_both(database: Database) -> None:
    ids = [keep(database) for _ in range(30)]
    claimed: list[str] = []
    discarded: list[str] = []
    refused: list[str] = []

    def claim_all() -> None:
        while True:
            with database.write() as session:
                batch = [delivery.delivery_id for delivery in inbox.claim(session, pipeline="direct", limit=1)]
            if not batch:
                return
            claimed.extend(batch)

    def discard_all() -> None:
        for delivery_id in reversed(ids):
            try:
                discard(database, delivery_id)
                discarded.append(delivery_id)
            except DeliveryStateError:
                refused.append(delivery_id)

    both = [threading.Thread(target=claim_all), threading.Thread(target=discard_all)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert sorted(claimed + discarded) == sorted(ids)
    assert set(refused) == set(claimed)
    assert {find(database, delivery_id).status for delivery_id in discarded} <= {DISCARDED}
    assert {find(database, delivery_id).status for delivery_id in claimed} <= {CLAIMED}
