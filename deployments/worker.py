"""The warm worker's process."""

import asyncio
import logging
import os
import signal
import threading
from pathlib import Path

from deployments import logs
from deployments.engine_lines import is_news
from deployments.ready import READY_FILE
from deployments.work_pool import WORK_POOL
from deployments.worker_type import WarmWorker

START_SECONDS = 60
GOODBYE_SECONDS = 5


async def serve() -> None:
    """Work until SIGTERM or SIGINT, then finish the runs in flight."""
    worker = WarmWorker(work_pool_name=WORK_POOL, name=f"warm-{os.getpid()}")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    polling = asyncio.create_task(worker.start(printer=lambda _: None))
    stopping = asyncio.create_task(stop.wait())
    if READY_FILE in os.environ:
        threading.Thread(target=_tell_ready, args=(worker, Path(os.environ[READY_FILE])), daemon=True).start()
    await asyncio.wait([polling, stopping], return_when=asyncio.FIRST_COMPLETED)
    if polling.done():
        polling.result()
        return
    # While Prefect still answers, so that the runs in flight can report their end.
    await asyncio.to_thread(worker.run_loop.drain, worker.drain_seconds)
    polling.cancel()
    _, hanging = await asyncio.wait([polling], timeout=GOODBYE_SECONDS)
    if hanging:
        # Prefect's client tries for a minute to reach a server that is away. Nothing of ours is left to do.
        os._exit(0)


def _tell_ready(worker: WarmWorker, ready_file: Path) -> None:
    if worker.run_loop.started.wait(START_SECONDS):
        ready_file.write_text(str(os.getpid()))


def main() -> None:
    """Run the worker's process."""
    logs.set_up()
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_news)
    asyncio.run(serve())


if __name__ == "__main__":
    main()
