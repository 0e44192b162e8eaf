"""The warm worker: a Prefect worker that runs flow runs inside its own process.

Also known to `prefect worker start --type watchkeeper` through the entry point group `prefect.collections`.
The private methods it overrides are those of the pinned Prefect version.
"""

import asyncio
import os
from typing import Any
from uuid import UUID

import anyio.abc
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from deployments.work_pool import WORKER_TYPE
from storage import database, settings
from storage.runs import request_cancel


class WarmWorkerResult(BaseWorkerResult):
    """A run that ended, well or not; its state says which."""


class WarmWorker(BaseWorker[BaseJobConfiguration, BaseVariables, WarmWorkerResult]):
    """Takes flow runs from the work pool, and with them the deliveries of the inbox through its relay."""

    type = WORKER_TYPE
    job_configuration = BaseJobConfiguration
    job_configuration_variables = BaseVariables
    _description = "Run watchkeeper pipelines in the worker's own process."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A run taken ahead of its time would begin ahead of its time.
        super().__init__(*args, **{"prefetch_seconds": 0, **kwargs})
        # Imported here: Prefect's server loads this module only to learn the worker type.
        from deployments.register import register  # noqa: PLC0415
        from deployments.run_loop import RunLoop  # noqa: PLC0415
        from flows.catalog import flow_of  # noqa: PLC0415

        self._current = settings.load()
        self._flow_names: dict[UUID, str] = {}
        self.run_loop = RunLoop(self._current, flow_of=flow_of, register=register)
        self._register = register
        self.drain_seconds = self._current.drain_seconds

    async def setup(self) -> None:
        """Begin to work the inbox at once; Prefect's server may come later."""
        await asyncio.to_thread(self.run_loop.start)
        await super().setup()

    async def teardown(self, *exc_info: Any) -> None:
        """Finish the runs in flight first."""
        await asyncio.to_thread(self.run_loop.drain, self.drain_seconds)
        await super().teardown(*exc_info)

    async def _initialize_after_sync(self) -> None:
        is_first = not self._has_successfully_synced
        await super()._initialize_after_sync()
        if is_first and self._has_successfully_synced:
            await self._register(self.client)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,  # noqa: ARG002  (this worker needs none)
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> WarmWorkerResult:
        """Execute a flow run in the run loop and wait for its end."""
        if task_status is not None:
            task_status.started(os.getpid())
        pipeline = await self._flow_name(self.client, flow_run.flow_id)
        await asyncio.wrap_future(self.run_loop.submit(flow_run, pipeline))
        return WarmWorkerResult(identifier=str(flow_run.id), status_code=0)

    async def _flow_name(self, client: PrefectClient, flow_id: UUID) -> str:
        if flow_id not in self._flow_names:
            self._flow_names[flow_id] = (await client.read_flow(flow_id)).name
        return self._flow_names[flow_id]

    async def _cancel_run(self, flow_run_id: UUID) -> None:
        """A run in flight stops at its next stage boundary; one that waits is cancelled as usual."""
        if not await asyncio.to_thread(_request_cancel, str(flow_run_id)):
            await super()._cancel_run(flow_run_id)


def _request_cancel(flow_run_id: str) -> bool:
    with database.get().write() as session:
        return request_cancel(session, flow_run_id=flow_run_id)
