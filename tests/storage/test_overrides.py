"""Runs that a person ends, while others work on them."""

import threading
from contextlib import suppress

import pytest
from sqlalchemy import select

from storage import overrides, runs
from storage.database import Database
from storage.runs import LeaseLostError, RunNotFoundError, RunStateError
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus, RunVia


def add_run(database: Database) -> tuple[int, str]:
    """A run that waits: its number and its id."""
    with database.write() as session:
        run = runs.create_run(session, definition_name="full", definition_version=1)
        return run.id, run.run_id


def test_a_run_that_waits_out_a_delay_is_ended(database: Database) -> None:
    pk, run_id = add_run(database)
    with database.write() as session:
        held = runs.lease_run(session, run_id, owner="host|1", lease_seconds=60)
        runs.start(session, held, via=RunVia.DIRECT, flow_run_id=None)
        runs.postpone(session, held, delay_seconds=600)

    with database.write() as session:
        marked = overrides.mark_failed(session, pk, by="ann")

    assert not marked.is_asked
    assert (marked.run.status, marked.run.last_error_type) == (RunStatus.FAILED, "ManualOverride")
    with database.read() as session:
        assert runs.find_unheld(session, idle_before=utc_now()) == []


def test_a_holder_that_comes_back_writes_nothing_to_a_run_that_was_ended(database: Database) -> None:
    pk, run_id = add_run(database)
    with database.write() as session:
        held = runs.lease_run(session, run_id, owner="host|1", lease_seconds=60)
        runs.expire_leases(session, owner="host|1")

    with database.write() as session:
        overrides.mark_failed(session, pk, by="ann")

    with database.write() as session, pytest.raises(LeaseLostError):
        runs.check_fence(session, run_pk=held.pk, fence=held.fence)


def test_a_run_that_is_not_there_and_one_that_is_over_are_refused(database: Database) -> None:
    pk, _ = add_run(database)

    with database.write() as session:
        overrides.mark_failed(session, pk, by="ann")
    with database.write() as session, pytest.raises(RunStateError, match="FAILED and over"):
        overrides.mark_failed(session, pk, by="bob")
    with database.write() as session, pytest.raises(RunNotFoundError):
        overrides.mark_failed(session, pk + 1, by="bob")


def test_whoever_completes_a_lost_run_at_the_same_moment_and_whoever_ends_it_do_not_both(
    database: Database,
) -> None:
    for _ in range(10):
        pk, run_id = add_run(database)
        with database.write() as session:
            held = runs.lease_run(session, run_id, owner="host|1", lease_seconds=60)
            runs.expire_leases(session, owner="host|1")
        start = threading.Barrier(2)

        def complete(held: runs.HeldRun = held, start: threading.Barrier = start) -> None:
            start.wait()
            with suppress(LeaseLostError), database.write() as session:
                runs.complete(runs.check_fence(session, run_pk=held.pk, fence=held.fence), RunStatus.NOTIFIED)

        def end(pk: int = pk, start: threading.Barrier = start) -> None:
            start.wait()
            with suppress(RunStateError), database.write() as session:
                overrides.mark_failed(session, pk, by="ann")

        threads = [threading.Thread(target=each) for each in (complete, end)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        with database.read() as session:
            run = session.scalars(select(PipelineRun).where(PipelineRun.id == pk)).one()
            is_ended_by_ann = run.fence == held.fence + 1
            assert run.status is (RunStatus.FAILED if is_ended_by_ann else RunStatus.NOTIFIED)
            assert bool(run.last_error_type) is is_ended_by_ann
