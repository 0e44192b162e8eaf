"""An attempt at a node: what it does with its place in the worker."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy.orm import Session

from flows.slots import Slots
from storage import runs
from storage.database import Database
from storage.records import IngestResult
from storage.vocabulary import Stage
from tasks.attempt import NodeOrder, StageContext, StageKind, attempt_node, current_slot
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
