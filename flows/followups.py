"""Looking now and then whether people are to be told again of what goes on.

Every worker looks; what one has reserved the others find reserved.
"""

import asyncio
import logging

from tasks.notify.followups import follow_up

log = logging.getLogger("watchkeeper.notify")

EVERY_SECONDS = 15.0


async def keep_following_up() -> None:
    """Look now, and then every few seconds."""
    while True:
        try:
            if count := await asyncio.to_thread(follow_up):
                log.info("follow-ups reserved", extra={"count": count})
        except Exception as error:  # noqa: BLE001  (it is tried again in a moment)
            log.warning("no follow-ups", extra={"error": type(error).__name__})
        await asyncio.sleep(EVERY_SECONDS)
