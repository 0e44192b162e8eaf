"""An attempt at a node: what it does with its place in the worker, and how its time limit ends it."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy.orm import Session

from flows.slots import Slots
from storage import runs, stages
from storage.database import Database
from storage.records import IngestResult
from storage.runs import HeldRun
from storage.tables import StageExecution
from storage.vocabulary import RunStatus, Stage, StageStatus
from tasks.attempt import NodeOrder, StageContext, StageKind, attempt_node, current_slot, run_attempt
from tasks.errors import PermanentError, TransientError


class NoConfig(BaseModel):
    """A stage without settings."""


def kind_that_raises(error: Exception) -> StageKind[None]:
    def work(_context: StageContext) -> None:
        raise error

    def store(_session: Session, _context: StageContext, _work: None) -> IngestResult:
        raise AssertionError("nothing is stored of work that failed")

    return StageKind(stage=Stage.INGEST, reached=None, config=NoConfig, work=work, store=store)


@pytest.mark.parametrize(
    ("error", "attempt", "free"),
    [
        (TransientError("again"), 1, 1),  # it waits out a backoff: another run may have the place
        (TransientError("again"), 2, 0),  # the last attempt: the run goes on to its end
        (PermanentError("never"), 1, 0),
    ],
)
def test_place_is_given_back_only_while_the_node_waits_for_another_attempt(
    database: Database, error: Exception, attempt: int, free: int
) -> None:
    with database.write() as session:
        run = runs.create_run(session, definition_name="direct", definition_version=1)
        held = runs.lease_run(session, run.run_id, owner="one", lease_seconds=60)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=2, timeout_seconds=60)

    async def fail_once() -> int:
        slots = Slots(1)
        current_slot.set(slots.place("direct"))
        kind: StageKind[Any] = kind_that_raises(error)
        with pytest.raises(type(error)):
            await attempt_node(kind, order, attempt=attempt)
        return slots.free("direct")

    assert asyncio.run(fail_once()) == free


def test_place_is_free_for_another_run_while_a_stage_only_waits(database: Database) -> None:
    with database.write() as session:
        run = runs.create_run(session, definition_name="direct", definition_version=1)
        held = runs.lease_run(session, run.run_id, owner="one", lease_seconds=60)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=1, timeout_seconds=60)
    slots = Slots(1)
    free: list[int] = []

    def kind(*, is_waiting: bool) -> StageKind[None]:
        def work(_context: StageContext) -> None:
            free.append(slots.free("direct"))
            raise PermanentError("enough")

        return replace(kind_that_raises(PermanentError("")), work=work, is_waiting=is_waiting)

    async def attempt(kind: StageKind[None]) -> None:
        place = slots.place("direct")
        current_slot.set(place)
        with pytest.raises(PermanentError, match="enough"):
            await attempt_node(kind, order, attempt=1)
        place.give_back()

    for is_waiting in (False, True):
        asyncio.run(attempt(kind(is_waiting=is_waiting)))

    assert free == [0, 1]


def hold(database: Database) -> HeldRun:
    with database.write() as session:
        run = runs.create_run(session, definition_name="direct", definition_version=1)
        return runs.lease_run(session, run.run_id, owner="one", lease_seconds=60)


def attempts(database: Database, held: HeldRun) -> list[StageExecution]:
    with database.read() as session:
        return stages.list_attempts(session, held.pk)


@pytest.mark.parametrize(
    ("attempt", "status", "run_status", "free"),
    [(1, StageStatus.RETRYING, RunStatus.RETRYING, 1), (2, StageStatus.FAILED, RunStatus.PENDING, 0)],
)
def test_an_attempt_that_outlasts_its_time_limit_has_failed_and_counts(
    database: Database, attempt: int, status: StageStatus, run_status: RunStatus, free: int
) -> None:
    held = hold(database)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=2, timeout_seconds=0.3)
    is_over = threading.Event()

    def work(_context: StageContext) -> None:
        is_over.wait(30)

    async def time_out() -> int:
        slots = Slots(1)
        current_slot.set(slots.place("direct"))
        kind: StageKind[Any] = replace(kind_that_raises(PermanentError("")), work=work)
        try:
            with pytest.raises(TimeoutError, match=r"node node: not done within 0\.3 s"):
                await attempt_node(kind, order, attempt=attempt)
        finally:
            is_over.set()
        return slots.free("direct")

    assert asyncio.run(time_out()) == free

    [row] = attempts(database, held)
    assert (row.status, row.error_type, row.error_retryable) == (status, "TimeoutError", True)
    assert row.error_message == "node node: not done within 0.3 s"
    with database.read() as session:
        assert stages.count_attempts(session, held.pk, "node") == 1
        run = runs.find_run(session, held.run_id)
    assert run
    assert (run.status, run.last_error_type) == (run_status, "TimeoutError")


def test_an_attempt_that_did_not_even_begin_in_time_counts_too(database: Database) -> None:
    held = hold(database)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=2, timeout_seconds=1e-9)

    async def time_out() -> None:
        with pytest.raises(TimeoutError):
            await attempt_node(kind_that_raises(PermanentError("")), order, attempt=1)

    asyncio.run(time_out())

    with database.read() as session:
        assert stages.count_attempts(session, held.pk, "node") >= 1


def test_what_was_stored_just_as_the_time_limit_came_counts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = hold(database)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=1, timeout_seconds=0.5)
    is_stored = threading.Event()

    def store(_session: Session, _context: StageContext, _work: None) -> IngestResult:
        return IngestResult(alerts_seen=7)

    def attempt_that_answers_late(*arguments: Any, **words: Any) -> dict[str, Any]:
        output = run_attempt(*arguments, **words)
        is_stored.wait(30)  # the loop hears of it only after the limit
        return output

    kind = replace(kind_that_raises(PermanentError("")), work=lambda _: None, store=store)
    monkeypatch.setattr("tasks.attempt.run_attempt", attempt_that_answers_late)

    async def attempt() -> dict[str, Any]:
        try:
            return await attempt_node(kind, order, attempt=1)
        finally:
            is_stored.set()

    assert asyncio.run(attempt())["alerts_seen"] == 7
    assert [row.status for row in attempts(database, held)] == [StageStatus.SUCCEEDED]


def test_time_spent_waiting_for_a_place_is_not_the_nodes(database: Database) -> None:
    held = hold(database)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=1, timeout_seconds=0.5)

    async def wait_and_attempt() -> None:
        slots = Slots(1)
        other, own = slots.place("direct"), slots.place("direct")
        await other.take()
        current_slot.set(own)
        asyncio.get_running_loop().call_later(1, other.give_back)
        with pytest.raises(PermanentError, match="its own"):
            await attempt_node(kind_that_raises(PermanentError("its own")), order, attempt=1)

    asyncio.run(wait_and_attempt())


def test_a_stage_knows_its_time_limit(database: Database) -> None:
    held = hold(database)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=1, timeout_seconds=12.5)
    known: list[float] = []

    def work(context: StageContext) -> None:
        known.append(context.timeout_seconds)
        raise PermanentError("enough")

    with pytest.raises(PermanentError, match="enough"):
        run_attempt(replace(kind_that_raises(PermanentError("")), work=work), order, is_last_attempt=True)

    assert known == [12.5]


@pytest.mark.parametrize("said", ["no\x00pe", "no\ud800pe"])
def test_no_word_from_outside_keeps_a_failure_from_being_stored(database: Database, said: str) -> None:
    held = hold(database)
    order = NodeOrder(run=held, node_id="node", config={}, max_attempts=1, timeout_seconds=60)

    with pytest.raises(PermanentError):
        run_attempt(kind_that_raises(PermanentError(said)), order, is_last_attempt=True)

    [row] = attempts(database, held)
    assert (row.status, row.error_message, row.error_retryable) == (StageStatus.FAILED, "no\ufffdpe", False)
    assert row.error_stack.endswith("PermanentError: no\ufffdpe\n")
