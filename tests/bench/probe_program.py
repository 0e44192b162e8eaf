"""The program behind probe.py: what can be asked of a Prefect server, and of flows run in this process."""

import asyncio
import json
import sys
import time
from typing import Any
from uuid import UUID

from prefect import flow, get_client, task
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow_async, run_flow_sync
from prefect.states import Pending

from flows.catalog import direct, entrypoint_of
from flows.executor import Executor, run_in_prefect
from flows.slots import Slots


@task
async def empty() -> None:
    """Nothing."""


@task
def empty_sync() -> None:
    """Nothing, the way most people write it."""


@flow
async def bare_two_tasks() -> None:
    await empty()
    await empty()


@flow
def stock_two_tasks() -> None:
    empty_sync()
    empty_sync()


@flow
async def plain_four_tasks() -> None:
    for _ in range(4):
        await empty()


deployments: dict[str, UUID] = {}
executors: list[Executor] = []
freed_at: list[float] = []


async def pending_run(name: str, a_flow: Any, parameters: dict[str, Any]) -> FlowRun:
    async with get_client() as client:
        if name not in deployments:
            flow_id = await client.create_flow(a_flow)
            deployments[name] = await client.create_deployment(flow_id, name=f"bench-{name}")
        return await client.create_flow_run_from_deployment(
            deployments[name], state=Pending(), parameters=parameters
        )


async def read(flow_run_id: UUID) -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(flow_run_id)


async def times(began_at: float, flow_run: FlowRun, ended_at: float) -> dict[str, float]:
    """Seconds from the request for a run to its final state on the server, and from there to its end here."""
    final = await read(flow_run.id)
    assert final.state is not None
    assert final.state.is_completed(), final.state
    final_at = final.state.timestamp.timestamp()
    return {"to_final_seconds": final_at - began_at, "beyond_seconds": ended_at - final_at}


async def bare() -> dict[str, float]:
    began_at = time.time()
    flow_run = await pending_run("bare", bare_two_tasks, {})
    await run_flow_async(bare_two_tasks, flow_run=flow_run, return_type="state")
    return await times(began_at, flow_run, time.time())


async def stock() -> dict[str, float]:
    began_at = time.time()
    flow_run = await pending_run("stock", stock_two_tasks, {})
    await asyncio.to_thread(run_flow_sync, stock_two_tasks, flow_run=flow_run, return_type="state")
    return await times(began_at, flow_run, time.time())


async def ours(payload: Any) -> dict[str, float]:
    """As RunLoop does it. The end is when the run's slot is free again."""
    executor = await our_executor()
    began_at = time.time()
    flow_run = await pending_run("ours", direct, {"payload": payload, "source": "alertmanager"})
    await executor.spawn(str(flow_run.id), executor.slots.place("direct"), run_in_prefect(direct, flow_run))
    assert executor.slots.free("direct") == 1
    return await times(began_at, flow_run, freed_at[-1])


async def our_executor() -> Executor:
    """The one of this process, with the worker's shared client open."""
    if not executors:
        executors.append(Executor(Slots(1, on_free=lambda: freed_at.append(time.time()))))
        await executors[0].client.open()
    return executors[0]


async def four_tasks() -> dict[str, float]:
    """A flow of four tasks, called as in a script: seconds until it returns, and by Prefect's own clock."""
    began_at = time.time()
    state = await plain_four_tasks(return_state=True)
    wall_seconds = time.time() - began_at
    flow_run = await read(state.state_details.flow_run_id)
    return {"wall_seconds": wall_seconds, "run_seconds": flow_run.total_run_time.total_seconds()}


async def start_run(deployment: str, parameters: dict[str, Any]) -> str:
    """A scheduled run of a deployment, due at once."""
    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        flow_run = await client.create_flow_run_from_deployment(found.id, parameters=parameters)
    return str(flow_run.id)


async def deploy_direct(work_pool: str) -> None:
    """The `direct` flow in a stock work pool, by its module path, as `prefect deploy` would leave it."""

    async with get_client() as client:
        await client.create_deployment(
            await client.create_flow(direct),
            name="stock",
            entrypoint=entrypoint_of("direct"),
            work_pool_name=work_pool,
        )


async def state_of(flow_run_id: str) -> dict[str, Any]:
    """Where a flow run stands, and when it began and ended on the server's clock."""
    flow_run = await read(UUID(flow_run_id))
    assert flow_run.state is not None
    return {
        "state": flow_run.state.name,
        "is_final": flow_run.state.is_final(),
        "final_at": flow_run.state.timestamp.timestamp(),
        "started_at": flow_run.start_time.timestamp() if flow_run.start_time else None,
    }


async def count_runs() -> int:
    """How many flow runs the server knows."""
    async with get_client() as client:
        response = await client._client.post("/flow_runs/count", json={})
        return response.json()


FUNCTIONS = {
    function.__name__: function
    for function in (bare, stock, ours, four_tasks, start_run, deploy_direct, state_of, count_runs)
}


async def answer() -> None:
    lines, sys.stdout = sys.stdout, sys.stderr  # Prefect's own output must not come between the answers
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, arguments = json.loads(line)
        lines.write(json.dumps(await FUNCTIONS[name](**arguments)) + "\n")
        lines.flush()


if __name__ == "__main__":
    asyncio.run(answer())
