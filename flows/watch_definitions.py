"""Deployments that follow the saved definitions, without a restart."""

import asyncio
import logging
import time
from typing import Any

from prefect.client.orchestration import get_client

from flows.prefect_link import PrefectLink
from storage import database, definitions

log = logging.getLogger("watchkeeper.relay")

LOOK_SECONDS = 2.0
# A storm rings for each delivery; definitions change seldom.
REST_SECONDS = 0.5
# Then all are gone through once more: what somebody did to a deployment by hand is put right.
AGAIN_SECONDS = 300.0


class DefinitionWatch:
    """Has the deployments registered whenever a definition has changed. `ring` says that one may have."""

    def __init__(self, link: PrefectLink) -> None:
        self._link = link
        self._bell = asyncio.Event()
        self._seen: tuple[Any, ...] | None = None
        self._registered_at = 0.0

    def ring(self) -> None:
        """Look soon."""
        self._bell.set()

    async def keep(self) -> None:
        """Watch for ever. The server or the database being away is waited out."""
        while True:
            self._bell.clear()
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001  (it is tried again in a moment)
                log.warning("definitions not registered", extra={"error": type(error).__name__})
            await asyncio.sleep(REST_SECONDS)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._bell.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        if not self._link.is_reached:
            self._seen = None  # the server that comes back may be another one
            return
        stamp = await asyncio.to_thread(_stamp)
        if stamp == self._seen and time.monotonic() - self._registered_at < AGAIN_SECONDS:
            return
        async with get_client() as client:
            await self._link.deployments(client)
        self._seen, self._registered_at = stamp, time.monotonic()


def _stamp() -> tuple[Any, ...]:
    with database.get().read() as session:
        return definitions.stamp(session)
