"""Forgetting what was kept long enough: the bodies of deliveries, and the ids that their senders gave them.

Every worker does this for itself. None waits for another: a batch passes over what somebody else holds.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from storage import database, retention
from storage.retention import BODIES, SENDER_IDS, Perishable
from storage.settings import Settings
from storage.tables.base import utc_now

log = logging.getLogger("watchkeeper.worker")

EVERY_SECONDS = 3600.0
LOOK = 5000
# One transaction each: while one lasts, SQLite takes no webhook.
BATCH = 100


async def keep_pruning(settings: Settings) -> None:
    """Prune now, and then every hour."""
    while True:
        try:
            await prune(settings)
        except Exception as error:  # noqa: BLE001  (it is tried again in an hour)
            log.warning("not pruned", extra={"error": type(error).__name__})
        await asyncio.sleep(EVERY_SECONDS)


async def prune(settings: Settings) -> None:
    """Forget everything whose time is over; 0 days are for ever. Raises SQLAlchemyError: the database is away."""
    for part, days in ((BODIES, settings.retain_bodies_days), (SENDER_IDS, settings.retain_delivery_ids_days)):
        if days:
            count = await _forget_all(part, before=utc_now() - timedelta(days=days))
            if count:
                log.info("pruned", extra={"what": part.name, "count": count})


async def _forget_all(part: Perishable, *, before: datetime) -> int:
    total = 0
    while due := await asyncio.to_thread(_find_due, part, before):
        forgotten = 0
        for start in range(0, len(due), BATCH):
            forgotten += await asyncio.to_thread(_forget, part, due[start : start + BATCH], before)
        if not forgotten:  # somebody else is at all of them
            break
        total += forgotten
    return total


def _find_due(part: Perishable, before: datetime) -> list[int]:
    with database.get().read() as session:
        return retention.find_due(session, part, before=before, limit=LOOK)


def _forget(part: Perishable, pks: Sequence[int], before: datetime) -> int:
    with database.get().write() as session:
        return retention.forget(session, part, pks, before=before)
