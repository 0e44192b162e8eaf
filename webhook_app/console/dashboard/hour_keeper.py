"""Has the hours that are over counted (storage/hours.py) when somebody looks, without making them wait for it."""

import logging
import threading
import time
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from storage import hours
from storage.database import Database

# A page waits so long for the hours that are missing: for one it is enough, for a week's it says what is missing.
WAIT_SECONDS = 0.2
RETRY_SECONDS = 30.0

log = logging.getLogger("watchkeeper.console")


class HourKeeper:
    """One per app; counts in a thread of its own, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._filled_until: datetime | None = None
        self._rests_until = float("-inf")

    def look_after(self, database: Database, now: datetime) -> None:
        """See that what is over gets counted."""
        until = hours.open_since(now)
        with self._lock:
            if self._filled_until == until or time.monotonic() < self._rests_until:
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._fill, args=(database, now), name="hours", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(WAIT_SECONDS)

    def wait(self) -> None:
        """Until the counting under way is over."""
        if self._thread:
            self._thread.join()

    def _fill(self, database: Database, now: datetime) -> None:
        try:
            hours.fill(database, now)
        except SQLAlchemyError as error:
            log.warning("hours not counted", extra={"error": type(error).__name__})
            self._rests_until = time.monotonic() + RETRY_SECONDS
        else:
            self._filled_until = hours.open_since(now)
