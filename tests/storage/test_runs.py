"""Leases and fences of runs, on both databases."""

from datetime import timedelta

import pytest

from storage import runs
from storage.database import Database
from storage.reservations import reserve
from storage.runs import HeldRun, LeaseLostError, RunHeldError, RunNotFoundError
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus, RunVia


def make_run(database: Database) -> str:
    with database.write() as session:
        return runs.create_run(session, definition_name="direct", definition_version=1).run_id


def lease(database: Database, run_id: str, owner: str, seconds: float = 60) -> HeldRun:
    with database.write() as session:
        return runs.lease_run(session, run_id, owner=owner, lease_seconds=seconds)


def start(database: Database, held: HeldRun) -> None:
    with database.write() as session:
        runs.start(session, held, via=RunVia.PREFECT, flow_run_id=None)


def find(database: Database, run_id: str) -> PipelineRun:
    with database.read() as session:
        run = runs.find_run(session, run_id)
        assert run is not None
        return run


def test_run_that_is_held_cannot_be_taken_by_another(database: Database) -> None:
    run_id = make_run(database)
    lease(database, run_id, "one")

    with pytest.raises(RunHeldError, match="one"):
        lease(database, run_id, "two")


def test_run_that_has_begun_cannot_be_taken_by_its_own_holder_again(database: Database) -> None:
    run_id = make_run(database)
    start(database, lease(database, run_id, "one"))

    with pytest.raises(RunHeldError):
        lease(database, run_id, "one")


def test_lease_that_ran_out_is_taken_over_with_a_higher_fence(database: Database) -> None:
    run_id = make_run(database)
    first = lease(database, run_id, "one", seconds=-1)

    second = lease(database, run_id, "two")

    assert second.fence > first.fence


def test_late_holder_can_neither_write_nor_renew_nor_let_go(database: Database) -> None:
    run_id = make_run(database)
    late = lease(database, run_id, "one", seconds=-1)
    lease(database, run_id, "two")

    with pytest.raises(LeaseLostError), database.write() as session:
        runs.check_fence(session, run_pk=late.pk, fence=late.fence)
    with pytest.raises(LeaseLostError), database.write() as session:
        runs.renew_lease(session, late, lease_seconds=60)
    with database.write() as session:
        runs.release_lease(session, late)

    assert find(database, run_id).lease_owner == "two"


def test_unknown_run_is_named(database: Database) -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        lease(database, "no-such-run", "one")


def test_runs_that_nobody_holds_are_found(database: Database) -> None:
    held, dropped, put_down, over = (make_run(database) for _ in range(4))
    lease(database, held, "one")
    lease(database, dropped, "one", seconds=-1)
    lease(database, put_down, "one")
    with database.write() as session:
        runs.put_down(session, put_down, owner="one", delay_seconds=60)
        run = runs.find_run(session, over)
        assert run is not None
        runs.complete(run, RunStatus.NOTIFIED)

    with database.read() as session:
        found = runs.find_unheld(session, idle_before=utc_now() - timedelta(seconds=30))

    assert [run.run_id for run in found] == [dropped]


def test_of_two_that_find_a_run_lying_one_has_it_for_a_moment(database: Database) -> None:
    left, over = make_run(database), make_run(database)
    with database.write() as session:
        run = runs.find_run(session, over)
        assert run is not None
        runs.complete(run, RunStatus.NOTIFIED)

    with database.write() as session:
        first = reserve(session, [left, over], seconds=60)
    with database.write() as session:
        second = reserve(session, [left, over], seconds=60)

    assert (first, second) == ({left}, set())
    assert lease(database, left, "one").fence == 1


def test_run_that_was_put_down_in_good_order_is_not_counted_as_one_that_did_not_end(database: Database) -> None:
    run_id = make_run(database)
    for _ in range(2):
        held = lease(database, run_id, "one")
        start(database, held)
        with database.write() as session:
            runs.postpone(session, held, delay_seconds=-1)

    run = find(database, run_id)
    assert (run.total_attempts, run.unended_attempts, run.lease_owner) == (2, 0, "")


def test_leases_of_a_dead_owner_are_ended(database: Database) -> None:
    run_id = make_run(database)
    lease(database, run_id, "dead")

    with database.write() as session:
        assert runs.find_holders(session) == ["dead"]
        runs.expire_leases(session, owner="dead")

    assert lease(database, run_id, "two").fence == 2


def test_second_execution_of_a_run_is_a_retry(database: Database) -> None:
    run_id = make_run(database)
    start(database, lease(database, run_id, "one", seconds=-1))

    start(database, lease(database, run_id, "two"))

    run = find(database, run_id)
    assert (run.total_attempts, run.status) == (2, RunStatus.RETRYING)


def test_cancel_is_noted_on_a_run_in_flight_only(database: Database) -> None:
    run_id = make_run(database)
    held = lease(database, run_id, "one")
    with database.write() as session:
        runs.start(session, held, via=RunVia.PREFECT, flow_run_id="flow-1")

    with database.write() as session:
        assert runs.request_cancel(session, flow_run_id="flow-1")
        assert not runs.request_cancel(session, flow_run_id="flow-2")

    assert find(database, run_id).cancel_requested_at is not None
