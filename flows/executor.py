"""The runs in flight in this process: each an asyncio task, in a bounded number of places."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort
from prefect.flow_engine import run_flow_async

from flows.direct import run_directly
from flows.execution import PostponedError
from flows.pipeline import PipelineFlow
from flows.shared_client import SharedClient
from flows.slots import RunSlot, Slots
from storage.log_fields import run_fields
from storage.runs import LeaseLostError, RunHeldError, RunOverError
from storage.stages import StaleAttemptError
from tasks.attempt import current_slot

log = logging.getLogger("watchkeeper.worker")


class Executor:
    """Runs flows and direct runs side by side. A crash in one never reaches the others."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.client = SharedClient()
        self._in_flight: dict[str, asyncio.Task[None]] = {}

    @property
    def in_flight(self) -> int:
        """How many runs have begun and not ended."""
        return len(self._in_flight)

    def is_running(self, run_id: str) -> bool:
        """Whether the run is in flight in this process."""
        return run_id in self._in_flight

    def spawn(self, run_id: str, slot: RunSlot, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start `work` in a task of its own, holding the slot until it ends."""
        guarded = self._guarded(run_id, slot, work)
        task = asyncio.create_task(guarded, name=f"run {run_id}", context=self.client.context())
        self._in_flight[run_id] = task
        task.add_done_callback(lambda _: self._in_flight.pop(run_id, None))
        return task

    async def drain(self, timeout_seconds: float) -> None:
        """Wait for the runs in flight; those that take longer are cut off and resumed by the next worker."""
        tasks = list(self._in_flight.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _guarded(self, run_id: str, slot: RunSlot, work: Coroutine[Any, Any, None]) -> None:
        current_slot.set(slot)
        run_fields.set({"run_id": run_id})  # with its trace_id once it is read
        try:
            await slot.take()
            await work
        except (Abort, RunHeldError, RunOverError, LeaseLostError, StaleAttemptError, PostponedError) as error:
            log.info("run left", extra={"run_id": run_id, "reason": str(error)})
        except Exception:
            log.exception("run crashed; it will be resumed", extra={"run_id": run_id})
        finally:
            work.close()
            slot.give_back()


async def run_in_prefect(flow: PipelineFlow, flow_run: FlowRun) -> None:
    """Execute a flow run in this event loop, under Prefect's engine."""
    await run_flow_async(flow, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")


async def run_without_prefect(run_id: str) -> None:
    """Execute a run directly."""
    await run_directly(run_id)
