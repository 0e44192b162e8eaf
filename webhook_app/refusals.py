"""Saying in the log that something was refused: senders rarely show what they were answered."""

import logging
import time

LOG_SECONDS = 60.0

log = logging.getLogger("watchkeeper.receiver")


class RefusalLog:
    """Logs refusals; of each kind at most one a minute, lest strangers fill the disk."""

    def __init__(self) -> None:
        self._logged_at: dict[tuple[int, str], float] = {}

    def note(self, status: int, source: str, reason: str) -> None:
        """Log that a webhook of this source was answered that. Both must be of a few values only."""
        key, now = (status, source), time.monotonic()
        if now - self._logged_at.get(key, float("-inf")) >= LOG_SECONDS:
            self._logged_at[key] = now
            log.warning("webhook refused", extra={"status": status, "source": source, "reason": reason})
