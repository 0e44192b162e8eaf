"""The event loop in which this process executes runs, in a thread of its own.

Prefect's engine takes over SIGTERM when it runs in the main thread, and a worker's polls and heartbeats
should not wait behind runs; so the runs, the relay and the bell live here, apart from both.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings import get_current_settings

from flows.executor import Executor, run_in_prefect
from flows.pipeline import PipelineFlow
from flows.prefect_link import PrefectLink
from flows.relay import Relay
from flows.retention import RETENTION
from flows.slots import Slots
from storage import database
from storage.settings import Settings
from storage.wakeup import bell_of

log = logging.getLogger("watchkeeper.worker")

BELL_SECONDS = 2.0
THREADS = 64


class RunLoop:
    """Start it once; `submit` and `drain` may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        flow_of: Callable[[str], PipelineFlow],
        register: Callable[[PrefectClient], Awaitable[dict[str, UUID]]],
    ) -> None:
        self._settings = settings
        self._flow_of = flow_of
        self._register = register
        self._loop = asyncio.new_event_loop()
        # Stages are plain functions that wait on the network and on measurements, each in a thread.
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="stage"))
        self._thread = threading.Thread(target=self._loop.run_forever, name="runs", daemon=True)
        self._is_closing = threading.Event()
        self.slots = Slots(_slots(settings), on_free=self._ring)
        self.executor = Executor(self.slots)
        self.relay: Relay | None = None
        self._pruning: asyncio.Task[None] | None = None
        self.started = threading.Event()

    def start(self) -> None:
        """Begin to take deliveries from the inbox."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result()
        threading.Thread(target=self._listen, name="bell", daemon=True).start()
        self.started.set()

    def submit(self, flow_run: FlowRun, pipeline: str) -> Future[None]:
        """Execute a flow run that the worker took from the work pool. The future ends with it."""
        return asyncio.run_coroutine_threadsafe(self._execute(flow_run, pipeline), self._loop)

    def drain(self, timeout_seconds: float) -> None:
        """Take nothing more, and wait for the runs in flight. A second call does nothing."""
        if not self.started.is_set() or self._is_closing.is_set():
            return
        self._is_closing.set()
        asyncio.run_coroutine_threadsafe(self._finish(timeout_seconds), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    async def _begin(self) -> None:
        prefect = get_current_settings()
        auth = prefect.api.auth_string
        self.relay = Relay(
            self._settings,
            link=PrefectLink(
                api_url=prefect.api.url or "http://127.0.0.1:4200/api",
                headers={"Authorization": _basic(auth.get_secret_value())} if auth else {},
                register=self._register,
            ),
            executor=self.executor,
            flow_of=self._flow_of,
        )
        self._relaying = asyncio.create_task(self.relay.run())

    async def _execute(self, flow_run: FlowRun, pipeline: str) -> None:
        slot = self.slots.place(pipeline)
        run_id = str(flow_run.parameters.get("run_id") or flow_run.id)
        execution = self.executor.spawn(run_id, slot, run_in_prefect(self._flow_of(pipeline), flow_run))
        if pipeline == RETENTION:
            self._pruning = execution
        await execution

    async def _finish(self, timeout_seconds: float) -> None:
        if self.relay:
            self.relay.stop()
            await self._relaying
        if self._pruning:
            self._pruning.cancel()  # what is left over is the next one's; nobody need wait for it
        await self.executor.drain(timeout_seconds)
        await self.executor.client.close()

    def _ring(self) -> None:
        if self.relay:
            self.relay.ring()

    def _listen(self) -> None:
        """Wake the relay when the receiver has stored something. Without the database it just sleeps."""
        bell = None
        while not self._is_closing.is_set():
            try:
                bell = bell or bell_of(database.get().engine)
                bell.wait(BELL_SECONDS)
            except Exception as error:  # noqa: BLE001  (without the bell the relay still looks now and then)
                log.warning("bell lost", extra={"error": type(error).__name__})
                self._is_closing.wait(1)
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._ring)
        if bell:
            bell.close()


def _slots(settings: Settings) -> int:
    # Many writers at once on the server's SQLite collide: light mode keeps one run in flight.
    return 1 if settings.is_light_mode else settings.slots


def _basic(auth_string: str) -> str:
    import base64  # noqa: PLC0415  (only where an auth string is set)

    return "Basic " + base64.b64encode(auth_string.encode()).decode()
