"""The flow that lets go of what was kept long enough, every hour, in batches that hold nobody up.

It is no pipeline: it takes no delivery and has no row among the runs. Prefect keeps its time, so while Prefect is
away nothing is pruned.
"""

from datetime import timedelta
from typing import Any

from prefect import flow, get_client
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.states import Completed, Crashed

from flows.pruning import prune, told
from storage import settings
from storage.tables.base import utc_now
from tasks.definition import naming

RETENTION = naming.RETENTION
EVERY = timedelta(hours=1)


@flow(name=RETENTION, persist_result=False, validate_parameters=False, retries=3, retry_delay_seconds=60)
async def prune_flow() -> State[Any]:
    """Let go of runs, deliveries, check results, history and messages older than their settings say."""
    if _is_late():
        return Completed(name="Skipped", message="SKIPPED: due longer ago than one interval; the next one does it")
    await _close_cut_off()
    pruned = await prune(settings.load())
    if rows := [{"what": name, "pruned": count} for name, count in pruned.items() if count]:
        await acreate_table_artifact(table=rows, key=RETENTION, description="What was kept long enough")
    return Completed(message=told(pruned))


def _is_late() -> bool:
    """Whether this is one of the runs that all fire after an outage: the newest of them does for all."""
    context = FlowRunContext.get()
    flow_run = context.flow_run if context else None
    if flow_run is None or not getattr(flow_run, "auto_scheduled", False) or flow_run.expected_start_time is None:
        return False
    return utc_now() - flow_run.expected_start_time > EVERY


async def _close_cut_off() -> None:
    """End flow runs of this flow whose worker died: they have no run of ours by which that would be found."""
    going = FlowRunFilterStateType(any_=[StateType.RUNNING])
    async with get_client() as client:
        left = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[RETENTION])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=going),
                start_time=FlowRunFilterStartTime(before_=utc_now() - EVERY),
            ),
        )
        for flow_run in left:
            await client.set_flow_run_state(flow_run.id, Crashed(message="its worker died"), force=True)
