"""Going through everything that is kept for a time only, in batches that hold nobody up.

Several at once do not wait for each other: a batch passes over what another one holds.
"""

import asyncio
import logging
import time
from datetime import datetime, timedelta

from storage import database, retention
from storage.kept import kept_days
from storage.pages import Place
from storage.retention import Kept
from storage.settings import Settings
from storage.tables.base import utc_now

log = logging.getLogger("watchkeeper.worker")

# It ends before the next hour's begins, which does what is left then.
AT_MOST = timedelta(minutes=50)
LOOK = 1000
# One transaction each: while one lasts, SQLite takes no webhook. Where so many take longer than HOLD_SECONDS, the
# next ones are fewer.
BATCH = 50
BATCH_MIN = 5
HOLD_SECONDS = 0.02
# After a batch the database is left to others for so many times as long as it took, and for no less than this.
PAUSE_FACTOR = 8.0
PAUSE_SECONDS = 0.01


async def prune(current: Settings) -> dict[str, int]:
    """Let go of everything whose time is over; 0 days are for ever. Returns how much of each kind went.

    Raises SQLAlchemyError: the database is away. What was let go of until then stays gone, and nothing else.
    """
    give_up_at = time.monotonic() + AT_MOST.total_seconds()
    pruned = {
        kept.name: await _prune(kept, before=utc_now() - timedelta(days=days), give_up_at=give_up_at)
        for kept, days in kept_days(current)
        if days
    }
    if current.retain_runs_days:
        before = utc_now() - timedelta(days=current.retain_runs_days)
        pruned["versions of definitions"] = await asyncio.to_thread(_forget_superseded, before)
    return pruned


def told(pruned: dict[str, int]) -> str:
    """What went, in words."""
    went = ", ".join(f"{count} {name}" for name, count in pruned.items() if count)
    return f"pruned {went}" if went else "nothing was due"


async def _prune(kept: Kept, *, before: datetime, give_up_at: float) -> int:
    count = 0
    size = BATCH
    after: Place | None = None
    while due := await asyncio.to_thread(_find_due, kept, before, after):
        after = due[-1]
        while due:
            if time.monotonic() > give_up_at:
                log.warning("pruning goes on later", extra={"what": kept.name, "count": count})
                return count
            batch, due = due[:size], due[size:]
            began_at = time.monotonic()
            count += await asyncio.to_thread(_forget, kept, batch, before)
            took = time.monotonic() - began_at
            size = _next_size(len(batch), took)
            await asyncio.sleep(max(PAUSE_SECONDS, took * PAUSE_FACTOR))
    await asyncio.to_thread(_record, kept.name, count)
    if count:
        log.info("pruned", extra={"what": kept.name, "count": count})
    return count


def _next_size(size: int, took_seconds: float) -> int:
    """How many would have taken HOLD_SECONDS, within the bounds."""
    return min(BATCH, max(BATCH_MIN, int(size * HOLD_SECONDS / max(took_seconds, 0.001))))


def _find_due(kept: Kept, before: datetime, after: Place | None) -> list[Place]:
    with database.get().read() as session:
        return retention.find_due(session, kept, before=before, limit=LOOK, after=after)


def _forget(kept: Kept, due: list[Place], before: datetime) -> int:
    with database.get().write() as session:
        return retention.forget(session, kept, due, before=before)


def _forget_superseded(before: datetime) -> int:
    with database.get().write() as session:
        return retention.forget_superseded(session, before=before)


def _record(name: str, count: int) -> None:
    with database.get().write() as session:
        retention.record(session, name, count)
