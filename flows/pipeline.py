"""From a definition's name to a Prefect flow: nodes as tasks, the outcome as the flow's state."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import anyio.to_thread
import httpx
from prefect import Flow, flow, get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, PrefectHTTPStatusError
from prefect.states import Cancelled, Completed, Failed
from prefect.tasks import Task

from flows.execution import InterruptedRunError, Outcome, execute
from flows.intake import run_for_flow, skip_late_run
from flows.lateness import is_late
from flows.nodes import TASKS
from flows.report import markdown_report, tags_of
from storage import database, runs
from storage.runs import LeaseLostError, RunHeldError, RunNotFoundError, RunOverError
from storage.stages import StaleAttemptError
from storage.vocabulary import RunStatus, RunVia
from tasks.attempt import NodeOrder, StageKind, current_slot
from tasks.backoff import retry_delay_seconds
from tasks.definition.checking import DefinitionError
from tasks.definition.kinds import KINDS
from tasks.definition.library import UnknownPipelineError
from tasks.definition.model import Node
from tasks.errors import is_retryable

# The run goes on elsewhere or later; this execution of it has nothing to say about its outcome.
LEFT = (RunHeldError, RunOverError, LeaseLostError, StaleAttemptError, InterruptedRunError)

PipelineFlow = Flow[..., Coroutine[Any, Any, State[Any]]]


def build_flow(name: str, description: str = "") -> PipelineFlow:
    """The flow of a pipeline. Its definition is looked up when it runs, so that a new version needs no restart."""

    async def run_pipeline(
        run_id: str | None = None,
        payload: Any = None,
        source: str = "",
        environment: str = "",
        trace_id: str = "",
    ) -> State[Any]:
        flow_run = _flow_run()
        if run_id is None:
            try:
                run_id = await anyio.to_thread.run_sync(
                    lambda: run_for_flow(
                        pipeline=name,
                        flow_run_id=str(flow_run.id),
                        payload=payload,
                        source=source,
                        environment=environment,
                        trace_id=trace_id or str(uuid4()),
                    )
                )
            except (UnknownPipelineError, DefinitionError) as error:
                return Failed(message=f"the pipeline cannot be run: {error}")
            await _tag(run_id)
        try:
            standing = await anyio.to_thread.run_sync(_standing, run_id)
        except RunNotFoundError as error:
            return Failed(message=str(error))
        if standing.ended_well:
            return Completed(message=standing.ended_well)
        if standing.is_new and await _is_late(flow_run):
            return await anyio.to_thread.run_sync(_completed_late, run_id)
        try:
            outcome = await execute(
                run_id, kinds=_kind, call_node=_call_node, via=RunVia.PREFECT, flow_run_id=str(flow_run.id)
            )
        except LEFT as error:
            # Whatever state this execution reported would stand over the one of the execution that follows it.
            raise Abort(str(error)) from error
        if slot := current_slot.get():
            slot.give_back()  # telling Prefect is no work of the run's; the next one may begin
        return _state(outcome)

    run_pipeline.__doc__ = description or f"The pipeline {name}."
    made: PipelineFlow = flow(
        name=name,
        persist_result=False,
        validate_parameters=False,
        on_completion=[_report],
        on_failure=[_report],
        on_cancellation=[_report],
    )(run_pipeline)
    return made


def _flow_run() -> Any:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a pipeline runs inside a Prefect flow run")
    return context.flow_run


def _kind(node: Node) -> StageKind[Any]:
    return KINDS[node.type]


async def _call_node(node: Node, order: NodeOrder) -> dict[str, Any]:
    retries = order.max_attempts - 1
    task = TASKS[node.type].with_options(
        name=node.id,
        retries=retries,
        retry_delay_seconds=_delays(retries),
        retry_condition_fn=_may_retry,
        # No time limit of Prefect's: attempt_node has one, which begins with the place and records what it cuts.
    )
    try:
        output: dict[str, Any] = await task(order)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        # Stages raise errors of our own; these are the engine's, whose server went away.
        raise InterruptedRunError(f"prefect's server went away in node {node.id}") from error
    return output


def _delays(retries: int, error: BaseException | None = None) -> list[float]:
    return [retry_delay_seconds(attempt + 1, error) for attempt in range(retries)]


async def _may_retry(task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    try:
        await state.aresult()
    except Exception as error:  # noqa: BLE001  (whatever the node raised is what is judged)
        # Prefect looks for the delay only after this, in the task, which is this run's own copy.
        task.retry_delay_seconds = _delays(task.retries, error)
        return is_retryable(error) and not isinstance(error, LEFT)
    return False


@dataclass(frozen=True)
class _Standing:
    """How a run stands before an execution. `ended_well` is the status of one that is over and did not fail."""

    is_new: bool
    ended_well: str


def _standing(run_id: str) -> _Standing:
    """One that is over and did not fail is not begun again, whoever presses Retry. Raises RunNotFoundError."""
    with database.get().read() as session:
        run = runs.find_run(session, run_id)
        if run is None:
            raise RunNotFoundError(f"no pipeline run {run_id}")
        is_over = run.completed_at is not None and run.status is not RunStatus.FAILED
        return _Standing(is_new=run.total_attempts == 0, ended_well=str(run.status) if is_over else "")


async def _is_late(flow_run: FlowRun) -> bool:
    if not flow_run.auto_scheduled:
        return False
    async with get_client() as client:
        return await is_late(client, flow_run)


def _completed_late(run_id: str) -> State[Any]:
    skip_late_run(run_id)
    return Completed(name="Skipped", message="SKIPPED: due longer ago than one interval")


async def _tag(run_id: str) -> None:
    """Tag a flow run that the relay did not make, as the relay would have."""
    flow_run = _flow_run()
    tags = await anyio.to_thread.run_sync(_tags, run_id)
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, tags={*flow_run.tags, *tags})


def _tags(run_id: str) -> list[str]:
    with database.get().read() as session:
        run = runs.find_run(session, run_id)
        return tags_of(run) if run else []


async def _report(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """What happened, as an artifact; after the final state, which nobody should wait for longer than needed."""
    run_id = str(flow_run.parameters.get("run_id") or flow_run.id)
    try:
        report = await anyio.to_thread.run_sync(_render_report, run_id)
    except RunNotFoundError:
        return  # it could not even begin, and the state says why
    await acreate_markdown_artifact(markdown=report, key="what-happened", description=f"Run {run_id}")


def _render_report(run_id: str) -> str:
    with database.get().read() as session:
        return markdown_report(session, run_id)


def _state(outcome: Outcome) -> State[Any]:
    if outcome.is_cancelled:
        return Cancelled(message=outcome.message)
    if outcome.status is RunStatus.FAILED:
        return Failed(message=outcome.message)
    return Completed(message=outcome.message)
