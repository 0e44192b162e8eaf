"""Telling Prefect how runs ended whose end it did not hear of, because its server or the worker was down then.

Our tables are the truth. Without this such a flow run would stay Running in the UI for ever.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Completed, Failed, Scheduled

from storage import database, runs
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus

# A run that has just ended reports its end itself.
SETTLED_AFTER = timedelta(seconds=30)
LOST_AFTER = timedelta(seconds=60)
UNFINISHED = [StateType.PENDING, StateType.RUNNING]
BROKEN_OFF = [StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
# How far back it is looked for runs that were resumed without Prefect, after their flow run had failed.
RESUMED_WITHIN = timedelta(days=1)


async def close_finished(client: PrefectClient, *, tag: str) -> int:
    """Set the final state of flow runs whose runs are over, and put back those that were lost on the way.

    One that failed and whose run was resumed while Prefect was away is over too, and well. Returns how many.
    Raises the client's errors.
    """
    flow_runs = await _read(client, tag, UNFINISHED)
    ends = await asyncio.to_thread(_ends, _run_ids(flow_runs))
    if resumed := await asyncio.to_thread(_resumed):
        broken_off = await _read(client, tag, BROKEN_OFF, ids=resumed)
        ends |= await asyncio.to_thread(_ends, _run_ids(broken_off))
    for flow_run in flow_runs:
        # Taken by a worker that died before it wrote our row: no other would ever take it.
        if flow_run.state_type is StateType.PENDING and await asyncio.to_thread(_is_lost, flow_run):
            ends[flow_run.id] = Scheduled()
    for flow_run_id, state in ends.items():
        await client.set_flow_run_state(flow_run_id, state, force=True)
    return len(ends)


async def _read(
    client: PrefectClient, tag: str, types: list[StateType], *, ids: list[UUID] | None = None
) -> list[FlowRun]:
    wanted = FlowRunFilter(
        id=FlowRunFilterId(any_=ids) if ids else None,
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)),
        tags=FlowRunFilterTags(all_=[tag]),
    )
    return await client.read_flow_runs(flow_run_filter=wanted, limit=200)


def _run_ids(flow_runs: list[FlowRun]) -> dict[UUID, str]:
    return {flow_run.id: str(flow_run.parameters.get("run_id") or flow_run.id) for flow_run in flow_runs}


def _resumed() -> list[UUID]:
    with database.get().read() as session:
        found = runs.find_resumed(session, since=utc_now() - RESUMED_WITHIN, limit=200)
        return [UUID(flow_run_id) for flow_run_id in found]


def _ends(run_ids: dict[UUID, str]) -> dict[UUID, State[None]]:
    before = utc_now() - SETTLED_AFTER
    with database.get().read() as session:
        found = {flow_run_id: runs.find_run(session, run_id) for flow_run_id, run_id in run_ids.items()}
    return {
        flow_run_id: _state(run)
        for flow_run_id, run in found.items()
        if run and run.completed_at and run.completed_at < before
    }


def _is_lost(flow_run: FlowRun) -> bool:
    since = flow_run.state.timestamp if flow_run.state else utc_now()
    with database.get().read() as session:
        run_id = str(flow_run.parameters.get("run_id") or flow_run.id)
        return since < utc_now() - LOST_AFTER and runs.find_run(session, run_id) is None


def _state(run: PipelineRun) -> State[None]:
    if run.status is RunStatus.FAILED:
        return Failed(message=run.last_error_message)
    return Completed(message=run.status)
