"""This worker's sign of life in the database, for those who want to know whether anybody works the inbox."""

import asyncio
import logging
import os
import socket

from flows.executor import Executor
from flows.owner import this_process
from flows.prefect_link import PrefectLink
from storage import database, workers

log = logging.getLogger("watchkeeper.relay")


async def keep_beating(link: PrefectLink, executor: Executor) -> None:
    """Say every few seconds how the worker fares, until cancelled; then take the leave."""
    try:
        while True:
            try:
                await asyncio.to_thread(_beat, executor, has_prefect=link.is_reached)
            except Exception as error:  # noqa: BLE001  (the database may be away; the next beat is soon)
                log.debug("no beat", extra={"error": type(error).__name__})
            await asyncio.sleep(workers.BEAT_SECONDS)
    finally:
        # A beat may be under way in its thread: one that comes after this is outlived in ALIVE_SECONDS.
        await asyncio.to_thread(_leave)


def _beat(executor: Executor, *, has_prefect: bool) -> None:
    with database.get().write() as session:
        workers.beat(
            session,
            owner=this_process(),
            hostname=socket.gethostname(),
            pid=os.getpid(),
            slots=executor.slots.per_pipeline,
            in_flight=executor.in_flight,
            has_prefect=has_prefect,
        )


def _leave() -> None:
    try:
        with database.get().write() as session:
            workers.leave(session, this_process())
    except Exception as error:  # noqa: BLE001  (the worker ends, with the database or without)
        log.debug("no leave taken", extra={"error": type(error).__name__})
