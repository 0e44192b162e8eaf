"""The life of one run: held under a lease, walked node by node, ended by policy (design.md, section 6).

Prefect is not imported here: the flow passes in how a node is called, and so does the relay when Prefect's
server is away.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from flows.owner import this_process
from flows.verdict import CancelledRunError, judge
from storage import database, runs, settings, stages
from storage.log_fields import speak_of_run
from storage.redaction import redact_text
from storage.runs import HeldRun, LeaseLostError, RunOverError
from storage.stages import StaleAttemptError
from storage.tables import PipelineRun
from storage.vocabulary import RunStatus, RunVia, Stage
from tasks import signals
from tasks.attempt import NodeOrder, StageKind
from tasks.definition.library import definition_of_run
from tasks.definition.model import Definition, Node
from tasks.errors import is_retryable

log = logging.getLogger("watchkeeper.run")

# Not a stage's fault, and not to be held against the run.
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)

# Whether only a run that is not over is to be begun. The relay sets it: by the time that there is a place for what
# it found lying, another worker may have ended it, and a failed run would be tried once more unasked.
only_unended: ContextVar[bool] = ContextVar("only_unended", default=False)

CallNode = Callable[[Node, NodeOrder], Awaitable[dict[str, Any]]]


class PostponedError(Exception):
    """The run is to go on later, from where it stands; raised by a direct run's node that may be retried."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(f"to be tried again in {delay_seconds:.0f} s")
        self.delay_seconds = delay_seconds


class InterruptedRunError(Exception):
    """Something under the run broke, not one of its stages; the run is left to be resumed."""


# What the failure of a node that need not succeed is not: the run itself ends, goes on later, or elsewhere.
NOT_A_NODES = (
    PostponedError,
    InterruptedRunError,
    CancelledRunError,
    LeaseLostError,
    StaleAttemptError,
    *DATABASE_AWAY,
)


@dataclass(frozen=True)
class Outcome:
    """How an execution ended."""

    run_id: str
    status: RunStatus
    message: str
    is_cancelled: bool = False


async def execute(
    run_id: str,
    *,
    kinds: Callable[[Node], StageKind[Any]],
    call_node: CallNode,
    via: RunVia,
    flow_run_id: str | None = None,
) -> Outcome:
    """Run a definition's nodes, leaving out those that have a stored result.

    Raises RunHeldError when somebody else executes the run, RunOverError when somebody else has ended one that was
    only to go on, LeaseLostError when somebody took it over, PostponedError when it is to go on later, and
    InterruptedRunError as `call_node` does.
    """
    held = await asyncio.to_thread(_begin, run_id, via, flow_run_id)
    speak_of_run(trace_id=held.trace_id, run_id=run_id)
    async with _kept(held):
        try:
            definition = await asyncio.to_thread(_definition_of, held)
            reached = await _walk(held, definition, kinds, call_node)
        except PostponedError as postponed:
            await asyncio.to_thread(_postpone, held, postponed.delay_seconds)
            raise
        except (LeaseLostError, StaleAttemptError, InterruptedRunError):
            raise
        except DATABASE_AWAY as error:
            raise InterruptedRunError("the database went away") from error
        except Exception as error:  # noqa: BLE001  (the edge that records why a run failed)
            return await asyncio.to_thread(_fail, held, error)
        return await asyncio.to_thread(_complete, held, reached)


def _begin(run_id: str, via: RunVia, flow_run_id: str | None) -> HeldRun:
    lease_seconds = settings.load().lease_seconds
    with database.get().write() as session:
        held = runs.lease_run(session, run_id, owner=this_process(), lease_seconds=lease_seconds)
        if only_unended.get() and session.get_one(PipelineRun, held.pk).completed_at:
            raise RunOverError(f"run {run_id} is over")
        runs.start(session, held, via=via, flow_run_id=flow_run_id)
        signals.run_started(session, session.get_one(PipelineRun, held.pk))
    log.info("run started", extra={"trace_id": held.trace_id, "run_id": run_id, "via": via})
    return held


def _definition_of(held: HeldRun) -> Definition:
    with database.get().read() as session:
        return definition_of_run(session, held)


@asynccontextmanager
async def _kept(held: HeldRun) -> AsyncIterator[None]:
    """Renew the lease while the block runs.

    A run that ended has let go of it by that; one that broke off does so here, so that another may go on.
    """
    renewal = asyncio.create_task(_renew(held))
    try:
        yield
    except BaseException:
        await asyncio.to_thread(_release, held)
        raise
    finally:
        renewal.cancel()


async def _renew(held: HeldRun) -> None:
    lease_seconds = settings.load().lease_seconds
    while True:
        await asyncio.sleep(lease_seconds / 3)
        try:
            await asyncio.to_thread(_renew_once, held, lease_seconds)
        except LeaseLostError:
            return
        except Exception:  # noqa: BLE001  (the database may be away for a moment; the lease outlasts two tries)
            log.warning("lease not renewed", extra={"run_id": held.run_id, "trace_id": held.trace_id})


def _renew_once(held: HeldRun, lease_seconds: float) -> None:
    with database.get().write() as session:
        runs.renew_lease(session, held, lease_seconds=lease_seconds)


def _release(held: HeldRun) -> None:
    # With the database away the lease simply runs out.
    with suppress(Exception), database.get().write() as session:
        runs.release_lease(session, held)


def _postpone(held: HeldRun, delay_seconds: float) -> None:
    with database.get().write() as session:
        runs.postpone(session, held, delay_seconds=delay_seconds)


async def _walk(
    held: HeldRun,
    definition: Definition,
    kinds: Callable[[Node], StageKind[Any]],
    call_node: CallNode,
) -> RunStatus:
    """Run every node in order. Returns the status reached by the last one that succeeded."""
    reached = RunStatus.SKIPPED
    path = definition.path()
    for node in path:
        kind = kinds(node)
        verdict = await asyncio.to_thread(judge, held, path, node)
        if verdict.is_overtaken:
            await asyncio.to_thread(_take_back_skip, held, node)
        if verdict.reason:
            await asyncio.to_thread(_skip, held, node, kind.stage, verdict.reason)
        if not verdict.is_run:
            continue
        try:
            await call_node(node, _order(held, definition, node))
        except Exception as error:
            if node.is_required or isinstance(error, NOT_A_NODES):
                raise
            if not await asyncio.to_thread(_let_fail, held, node, error):
                raise
            continue
        reached = kind.reached or reached
    return reached


def _order(held: HeldRun, definition: Definition, node: Node) -> NodeOrder:
    retries = next(
        value
        for value in (
            node.max_retries,
            definition.defaults.max_retries,
            settings.load().max_retries_per_stage,
        )
        if value is not None
    )
    return NodeOrder(
        run=held,
        node_id=node.id,
        config={**node.config, **held.node_configs.get(node.type, {})},
        max_attempts=retries + 1,
        timeout_seconds=definition.timeout_seconds_of(node),
    )


def _skip(held: HeldRun, node: Node, stage: Stage, reason: str) -> None:
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        if node.id not in stages.outputs_of(session, held.pk):
            row = stages.skip(
                session, run_pk=held.pk, run_id=held.run_id, stage=stage, node_id=node.id, reason=reason
            )
            signals.stage_ended(session, run, row)


def _take_back_skip(held: HeldRun, node: Node) -> None:
    with database.get().write() as session:
        runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        stages.take_back_skip(session, run_pk=held.pk, node_id=node.id)


def _let_fail(held: HeldRun, node: Node, error: Exception) -> bool:
    """Leave a node behind that failed and need not succeed. False where it is none of its attempts that failed."""
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        for row in stages.abandon_running(session, held.pk, error):
            signals.stage_ended(session, run, row)
        session.flush()
        has_failed = node.id in stages.failed_of(session, held.pk)
    if has_failed:
        fields = {"trace_id": held.trace_id, "run_id": held.run_id, "node_id": node.id}
        log.warning("the run goes on without a node", extra={**fields, "error": type(error).__name__})
    return has_failed


def _complete(held: HeldRun, reached: RunStatus) -> Outcome:
    """End a run as what it reached. One that came to nothing but failures has failed."""
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        failed = list(stages.failed_of(session, held.pk).values()) if reached is RunStatus.SKIPPED else []
        if failed:
            reached, message = RunStatus.FAILED, failed[-1].error_message
            is_retryable_still = bool(failed[-1].error_retryable)
            runs.fail(run, error_type=failed[-1].error_type, message=message, retryable=is_retryable_still)
        else:
            message = str(reached)
            runs.complete(run, reached)
        session.flush()
        signals.run_ended(session, run)
    log.info("run completed", extra={"trace_id": held.trace_id, "run_id": held.run_id, "status": reached})
    return Outcome(held.run_id, reached, message)


def _fail(held: HeldRun, error: Exception) -> Outcome:
    message = redact_text(str(error)) or type(error).__name__
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        abandoned = stages.abandon_running(session, held.pk, error)
        runs.fail(run, error_type=type(error).__name__, message=message, retryable=is_retryable(error))
        session.flush()
        for row in abandoned:
            signals.stage_ended(session, run, row)
        signals.run_ended(session, run)
    log.error("run failed", extra={"trace_id": held.trace_id, "run_id": held.run_id, "error": message})
    return Outcome(held.run_id, RunStatus.FAILED, message, is_cancelled=isinstance(error, CancelledRunError))
