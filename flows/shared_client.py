"""One client of Prefect's API for all runs of a loop.

Prefect makes a client, with its own connections and its own CSRF token, for every flow run and every call
outside of one, unless a context holds one. Here one is held for as long as the loop lives.
"""

import asyncio
from contextvars import Context, copy_context

from prefect.context import AsyncClientContext


class SharedClient:
    """Opened once the server answers; `context()` is then what runs are started in."""

    def __init__(self) -> None:
        self._client: AsyncClientContext | None = None
        self._context: Context | None = None

    def context(self) -> Context:
        """A context with the shared client, or the present one as long as it is not open."""
        return (self._context or copy_context()).copy()

    async def open(self) -> None:
        """Open the client, in a task of its own so that its context is nobody else's. Raises httpx errors."""
        if self._context is None:
            self._context = await asyncio.create_task(self._open())

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None and self._context is not None:
            self._context = None
            await self._client.client.__aexit__(None, None, None)

    async def _open(self) -> Context:
        self._client = AsyncClientContext()
        await self._client.__aenter__()
        return copy_context()
