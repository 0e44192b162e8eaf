"""The life of one run: held under a lease, walked node by node, ended by policy (design.md, section 6).

Prefect is not imported here: the flow passes in how a node is called, and so does the relay when Prefect's
server is away.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from flows.definition import Definition, Node
from flows.library import find_definition
from flows.owner import this_process
from storage import database, runs, settings, stages
from storage.records import ChecksResult, IngestResult
from storage.redaction import redact_text
from storage.runs import HeldRun, LeaseLostError
from storage.stages import StaleAttemptError
from storage.vocabulary import RunStatus, RunVia, Stage
from tasks.attempt import NodeOrder, StageKind
from tasks.errors import PermanentError, is_retryable

log = logging.getLogger("watchkeeper.run")

# Not a stage's fault, and not to be held against the run.
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)

CallNode = Callable[[Node, NodeOrder], Awaitable[dict[str, Any]]]


class CancelledRunError(PermanentError):
    """Somebody cancelled the run in Prefect."""


class PostponedError(Exception):
    """The run is to go on later, from where it stands; raised by a direct run's node that may be retried."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(f"to be tried again in {delay_seconds:.0f} s")
        self.delay_seconds = delay_seconds


class InterruptedRunError(Exception):
    """Something under the run broke, not one of its stages; the run is left to be resumed."""


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

    Raises RunHeldError when somebody else executes the run, LeaseLostError when somebody took it over,
    PostponedError when it is to go on later, and InterruptedRunError as `call_node` does.
    """
    held = await asyncio.to_thread(_begin, run_id, via, flow_run_id)
    async with _kept(held):
        try:
            definition = await asyncio.to_thread(_definition_of, held)
            reached = await _walk(held, definition, kinds, call_node)
        except PostponedError as postponed:
            await asyncio.to_thread(_put_down, held, postponed.delay_seconds)
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
        runs.start(session, held, via=via, flow_run_id=flow_run_id)
    log.info("run started", extra={"trace_id": held.trace_id, "run_id": run_id, "via": via})
    return held


def _definition_of(held: HeldRun) -> Definition:
    with database.get().read() as session:
        return find_definition(session, held.definition_name).definition


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


def _put_down(held: HeldRun, delay_seconds: float) -> None:
    with database.get().write() as session:
        runs.put_down(session, held.run_id, owner=this_process(), delay_seconds=delay_seconds)


async def _walk(
    held: HeldRun,
    definition: Definition,
    kinds: Callable[[Node], StageKind[Any]],
    call_node: CallNode,
) -> RunStatus:
    """Run every node in order. Returns the status reached by the last one that ran."""
    reached = RunStatus.SKIPPED
    for node in definition.path():
        stage = kinds(node).stage
        reason = await asyncio.to_thread(_reason_to_skip, held, stage)
        if reason:
            await asyncio.to_thread(_skip, held, node, stage, reason)
            continue
        await call_node(node, _order(held, definition, node))
        reached = kinds(node).reached or reached
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


def _reason_to_skip(held: HeldRun, stage: Stage) -> str:
    """Why a node of this stage has nothing to do; empty when it has.

    Raises CancelledRunError at a stage boundary after a cancel, and PermanentError when no delivery of the
    run could be read and people know that already.
    """
    with database.get().read() as session:
        run = runs.see_fence(session, held)
        if run.cancel_requested_at:
            raise CancelledRunError("cancelled in Prefect")
        outputs = stages.outputs_of(session, held.pk).values()
    ingested = [IngestResult.model_validate(each) for each in outputs if each.get("stage") == Stage.INGEST]
    if ingested:
        return next(filter(None, map(_no_news_of_deliveries, ingested)), "")
    checked = [ChecksResult.model_validate(each) for each in outputs if each.get("stage") == Stage.CHECK]
    # What one check node does not find the next may, so all of them run.
    return "" if stage is Stage.CHECK else _no_news_of_checks(checked)


def _no_news_of_deliveries(result: IngestResult) -> str:
    if result.errors and not result.alerts_seen and not result.changes:
        raise PermanentError(f"no delivery could be read: {'; '.join(result.errors[:5])}")
    if result.changes:
        return ""
    return f"nothing new to tell: {result.alerts_seen} alerts seen, {result.alerts_created} new"


def _no_news_of_checks(results: list[ChecksResult]) -> str:
    if not results or any(result.changes for result in results):
        return ""
    passed, failed, skipped = (
        sum(counts)
        for counts in zip(
            *((each.checks_passed, each.checks_failed, each.checks_skipped) for each in results), strict=True
        )
    )
    return f"nothing new to tell: {passed} checks passed, {failed} did not, {skipped} do not apply"


def _skip(held: HeldRun, node: Node, stage: Stage, reason: str) -> None:
    with database.get().write() as session:
        runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        if node.id not in stages.outputs_of(session, held.pk):
            stages.skip(session, run_pk=held.pk, run_id=held.run_id, stage=stage, node_id=node.id, reason=reason)


def _complete(held: HeldRun, reached: RunStatus) -> Outcome:
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        runs.complete(run, reached)
    log.info("run completed", extra={"trace_id": held.trace_id, "run_id": held.run_id, "status": reached})
    return Outcome(held.run_id, reached, reached)


def _fail(held: HeldRun, error: Exception) -> Outcome:
    message = redact_text(str(error)) or type(error).__name__
    with database.get().write() as session:
        run = runs.check_fence(session, run_pk=held.pk, fence=held.fence)
        stages.abandon_running(session, held.pk, error)
        runs.fail(run, error_type=type(error).__name__, message=message, retryable=is_retryable(error))
    log.error("run failed", extra={"trace_id": held.trace_id, "run_id": held.run_id, "error": message})
    return Outcome(held.run_id, RunStatus.FAILED, message, is_cancelled=isinstance(error, CancelledRunError))
