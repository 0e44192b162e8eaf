"""One attempt at one node: look for a stored result, work, store the result with its effects.

It knows nothing of Prefect, so that a Prefect task and the relay's direct run share it. A node's stage is
two functions: `work` does what takes time and touches the world outside our database; `store` writes what
came of it, in the same transaction that marks the attempt as succeeded. So a crash leaves either both or
neither, and a stage that finished is never run again.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from storage import database, runs, stages
from storage.records import ChecksResult, IncidentChange, IngestResult, Record
from storage.runs import HeldRun, LeaseLostError
from storage.stages import StaleAttemptError
from storage.tables import PipelineRun, StageExecution
from storage.vocabulary import RunStatus, Stage
from tasks import signals
from tasks.errors import PermanentError, is_retryable

Work = TypeVar("Work")
Output = TypeVar("Output", bound=Record)

log = logging.getLogger("watchkeeper.stage")


@dataclass(frozen=True)
class StageContext:
    """What a stage gets. `config` is the node's; `previous` holds the stored outputs by node id.

    After `timeout_seconds` nobody waits for its work any more.
    """

    run: HeldRun
    node_id: str
    config: Any
    attempt: int
    is_last_attempt: bool
    previous: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    timeout_seconds: float = 300.0

    def outputs(self, kind: type[Output]) -> list[Output]:
        """The stored outputs of earlier nodes that are of this kind, in order."""
        stage = kind.model_fields["stage"].default
        return [kind.model_validate(output) for output in self.previous.values() if output.get("stage") == stage]

    def changes(self) -> list[IncidentChange]:
        """What earlier nodes found that people should be told."""
        results: list[IngestResult | ChecksResult] = [
            *self.outputs(IngestResult),
            *self.outputs(ChecksResult),
        ]
        return [change for result in results for change in result.changes]


@dataclass(frozen=True)
class StageKind(Generic[Work]):
    """A type of node: its two functions, the model of its config, and the run status that it reaches.

    `is_waiting` says that its work waits rather than works, so that no place is held for it meanwhile.
    """

    stage: Stage
    reached: RunStatus | None
    config: type[BaseModel]
    work: Callable[[StageContext], Work]
    store: Callable[[Session, StageContext, Work], Record]
    is_waiting: bool = False


@dataclass(frozen=True)
class NodeOrder:
    """A node of a run, to be attempted by the run's holder. `max_attempts` counts from this order on."""

    run: HeldRun
    node_id: str
    config: Mapping[str, Any]
    max_attempts: int
    timeout_seconds: float


class Slot(Protocol):
    """A place in the worker. It is given back while a node waits for its next attempt."""

    async def take(self) -> None:
        """Wait for the place, unless it is held."""

    def rest(self) -> None:
        """Let another run have it, while this one waits."""

    def give_back(self) -> None:
        """Let another run have it."""


current_slot: ContextVar[Slot | None] = ContextVar("current_slot", default=None)


async def attempt_node(kind: StageKind[Any], order: NodeOrder, *, attempt: int) -> dict[str, Any]:
    """Attempt a node in a thread and return its stored output. `attempt` counts from 1 within this order.

    Raises what the stage raised, or TimeoutError; is_retryable() says whether another attempt may help. The time
    limit begins when the place is taken. It cannot stop the thread, whose result is then not stored.
    """
    slot = current_slot.get()
    if slot:
        await slot.take()
        if kind.is_waiting:
            slot.rest()
    is_last = attempt >= order.max_attempts
    try:
        try:
            async with asyncio.timeout(order.timeout_seconds) as limit:
                return await asyncio.to_thread(run_attempt, kind, order, is_last_attempt=is_last)
        except TimeoutError:
            if not limit.expired():
                raise  # the stage's own, and recorded as that
            return await asyncio.to_thread(_end_late, kind, order, is_last=is_last)
    except Exception as error:
        if slot and is_retryable(error) and not is_last:
            slot.give_back()  # no slot sleeps through a backoff
        raise


def run_attempt(kind: StageKind[Any], order: NodeOrder, *, is_last_attempt: bool) -> dict[str, Any]:
    """The same, in the calling thread."""
    results = database.get()
    with results.write() as session:
        run = runs.check_fence(session, run_pk=order.run.pk, fence=order.run.fence)
        run.current_stage = order.node_id
        previous = stages.outputs_of(session, order.run.pk)
        if order.node_id in previous:
            return previous[order.node_id]
        if cut_off := stages.end_cut_off(session, run_pk=run.id, node_id=order.node_id):
            signals.stage_ended(session, run, cut_off)
        row = stages.begin_attempt(
            session, run_pk=order.run.pk, run_id=order.run.run_id, stage=kind.stage, node_id=order.node_id
        )
        row.input_ref = ",".join(f"stage:{node_id}" for node_id in previous)[:256] or f"run:{order.run.run_id}"
        signals.stage_started(session, run, row)
    fields = {"trace_id": order.run.trace_id, "run_id": order.run.run_id, "node_id": order.node_id}
    log.info("stage started", extra={**fields, "attempt": row.attempt})
    try:
        context = _context(kind, order, row.attempt, previous, is_last_attempt=is_last_attempt)
        output = _store(kind, context, row.id, kind.work(context))
    except (LeaseLostError, StaleAttemptError):
        raise  # the run is somebody else's now, and so is its history
    except Exception as error:
        log.warning("stage failed", extra={**fields, "attempt": row.attempt, "error": type(error).__name__})
        _record_failure(order, row.id, error, is_last=is_last_attempt)
        raise
    log.info("stage succeeded", extra={**fields, "attempt": row.attempt})
    return output


def _context(
    kind: StageKind[Any],
    order: NodeOrder,
    attempt: int,
    previous: Mapping[str, dict[str, Any]],
    *,
    is_last_attempt: bool,
) -> StageContext:
    try:
        config = kind.config.model_validate(dict(order.config))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PermanentError(f"node {order.node_id}: {faults}") from None
    return StageContext(
        run=order.run,
        node_id=order.node_id,
        config=config,
        attempt=attempt,
        is_last_attempt=is_last_attempt,
        previous=previous,
        timeout_seconds=order.timeout_seconds,
    )


def _store(kind: StageKind[Any], context: StageContext, attempt_pk: int, work: Any) -> dict[str, Any]:
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=context.run.pk, fence=context.run.fence)
        row = stages.find_running(session, attempt_pk)
        output = kind.store(session, context, work).model_dump(mode="json")
        stages.succeed(row, output)
        if kind.reached:
            run.status = kind.reached
        session.flush()
        signals.stage_ended(session, run, row)
        return row.output_snapshot or {}


def _end_late(kind: StageKind[Any], order: NodeOrder, *, is_last: bool) -> dict[str, Any]:
    """Fail the attempt that outlasted its time limit, or return what it stored at the last moment."""
    error = TimeoutError(f"node {order.node_id}: not done within {order.timeout_seconds:g} s")
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=order.run.pk, fence=order.run.fence)
        outputs = stages.outputs_of(session, order.run.pk)
        if order.node_id in outputs:
            return outputs[order.node_id]
        # One that had not even begun counts too, or the run might be tried for ever.
        row = stages.find_begun(session, run_pk=run.id, node_id=order.node_id) or stages.begin_attempt(
            session, run_pk=run.id, run_id=run.run_id, stage=kind.stage, node_id=order.node_id
        )
        _fail(session, run, row, error, is_last=is_last)
    log.warning(
        "stage timed out", extra={"trace_id": run.trace_id, "run_id": run.run_id, "node_id": order.node_id}
    )
    raise error


def _record_failure(order: NodeOrder, attempt_pk: int, error: Exception, *, is_last: bool) -> None:
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=order.run.pk, fence=order.run.fence)
        _fail(session, run, stages.find_running(session, attempt_pk), error, is_last=is_last)


def _fail(session: Session, run: PipelineRun, row: StageExecution, error: Exception, *, is_last: bool) -> None:
    retryable = is_retryable(error)
    stack = "".join(traceback.format_exception(error))
    stages.fail(row, error=error, stack=stack, retryable=retryable, is_last=is_last)
    run.last_error_type, run.last_error_message = row.error_type, row.error_message
    run.last_error_retryable = retryable
    if retryable and not is_last:
        run.status = RunStatus.RETRYING
    session.flush()
    signals.stage_ended(session, run, row)
