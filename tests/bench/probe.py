"""A process beside the benchmark that works with one Prefect server: it reads requests, and answers with times.

Prefect takes its settings from the environment when it is imported, so each server needs a process of its own.
Each request is a line of JSON, the name of a function below and its arguments; so is each answer.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import processes


class Probe:
    """The benchmark's end of the line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, function: str, **arguments: Any) -> Any:
        """Call one of the functions below over there."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([function, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the probe ended in {function}; its reason is above")
        return json.loads(line)


@contextmanager
def probing(env: Mapping[str, str], cwd: Path) -> Iterator[Probe]:
    """A started probe. `cwd` decides which prefect.toml it reads, if any."""
    command = [sys.executable, str(Path(__file__))]
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield Probe(process)
    finally:
        processes.stop(process)


def main() -> None:
    from prefect import flow, get_client, task  # noqa: PLC0415  (in the probe's process only)
    from prefect.client.schemas.objects import FlowRun  # noqa: PLC0415
    from prefect.flow_engine import run_flow_async, run_flow_sync  # noqa: PLC0415
    from prefect.states import Pending  # noqa: PLC0415

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
    def plain_four_tasks() -> None:
        for _ in range(4):
            empty_sync()

    deployments: dict[str, UUID] = {}

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
        """As RunLoop does it. The end is when the executor's task ends, which has given its slot back."""
        from flows.catalog import flow_of  # noqa: PLC0415
        from flows.executor import Executor, run_in_prefect  # noqa: PLC0415
        from flows.slots import Slots  # noqa: PLC0415

        began_at = time.time()
        parameters = {"payload": payload, "source": "alertmanager"}
        flow_run = await pending_run("ours", flow_of("direct"), parameters)
        slots = Slots(1)
        executor = Executor(slots)
        await executor.spawn(str(flow_run.id), slots.place("direct"), run_in_prefect(flow_of("direct"), flow_run))
        ended_at = time.time()
        assert slots.free("direct") == 1
        return await times(began_at, flow_run, ended_at)

    async def four_tasks() -> dict[str, float]:
        """A flow of four tasks, called as in a script: seconds by Prefect's clock, and until the call returned."""
        began_at = time.time()
        state = await asyncio.to_thread(plain_four_tasks, return_state=True)
        wall_seconds = time.time() - began_at
        flow_run = await read(state.state_details.flow_run_id)
        return {"run_seconds": flow_run.total_run_time.total_seconds(), "wall_seconds": wall_seconds}

    async def start_run(deployment: str, parameters: dict[str, Any]) -> str:
        """A scheduled run of a deployment, due at once."""
        async with get_client() as client:
            found = await client.read_deployment_by_name(deployment)
            flow_run = await client.create_flow_run_from_deployment(found.id, parameters=parameters)
        return str(flow_run.id)

    async def deploy_direct(work_pool: str) -> None:
        """The `direct` flow in a stock work pool, by its module path, as `prefect deploy` would leave it."""
        from flows.catalog import direct, entrypoint_of  # noqa: PLC0415

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

    async def answer() -> None:
        functions = [bare, stock, ours, four_tasks, start_run, deploy_direct, state_of, count_runs]
        by_name = {function.__name__: function for function in functions}
        lines, sys.stdout = sys.stdout, sys.stderr  # Prefect's own output must not come between the answers
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, arguments = json.loads(line)
            lines.write(json.dumps(await by_name[name](**arguments)) + "\n")
            lines.flush()

    asyncio.run(answer())


if __name__ == "__main__":
    main()
