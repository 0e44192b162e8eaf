"""A real relay over a real inbox for tests, without Prefect's server."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from sqlalchemy import func, select

from flows.catalog import flow_of
from flows.executor import Executor
from flows.prefect_link import PrefectLink
from flows.relay import Relay
from flows.slots import Slots
from storage import inbox, settings
from storage.database import Database
from storage.inbox import NewDelivery

NOBODY_THERE = "http://127.0.0.1:9/api"


def accept(database: Database, *names: str) -> None:
    """A delivery to `direct` for each name, of one alert about a host of that name."""
    new = [
        NewDelivery(
            delivery_id=str(uuid4()),
            trace_id=f"trace-{name}",
            source="generic",
            pipeline="direct",
            environment="test",
            body=json.dumps({"name": name, "labels": {"host": name}}).encode(),
            sha256="0" * 64,
        )
        for name in names
    ]
    with database.write() as session:
        inbox.accept(session, new)


def count(database: Database, table: type, **fields: object) -> int:
    """How many rows of a table have these values."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table).filter_by(**fields)) or 0


def relay_until(done: Callable[[], bool], *, slots: int, timeout_seconds: float = 60) -> float:
    """Run a relay until `done`. Returns the seconds that took."""

    async def never(_client: object) -> dict[str, object]:
        raise AssertionError("nothing is registered while the server is away")

    async def work() -> float:
        executor = Executor(Slots(slots, on_free=lambda: relay.ring()))  # noqa: PLW0108  (it is made below)
        link = PrefectLink(api_url=NOBODY_THERE, headers={}, register=never)  # type: ignore[arg-type]
        relay = Relay(settings.load(), link=link, executor=executor, flow_of=flow_of)
        relaying: Awaitable[None] = asyncio.create_task(relay.run())
        began = time.monotonic()
        while not await asyncio.to_thread(done) and time.monotonic() - began < timeout_seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        took = time.monotonic() - began
        relay.stop()
        await relaying
        await executor.drain(20)
        return took

    return asyncio.run(work())
