"""The credentials as they are now: those kept under the home are read again when their file has changed."""

import logging
import threading
import time

from storage.settings import Settings, SettingsError
from webhook_app import exposure, kept_auth, keyring
from webhook_app.keyring import Keyring

# How long a change may take to be seen.
LOOK_SECONDS = 1.0

log = logging.getLogger("watchkeeper.receiver")


class LiveKeyring:
    """One per app. Never opens what was guarded because something went wrong: then the last good ones hold.

    Making one raises SettingsError for credentials that cannot be used, since there are no good ones yet.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = kept_auth.path_of(settings)
        self._is_kept = not (settings.webhook_auth or settings.webhook_auth_file)
        self._stamp = kept_auth.stamp(self._path)  # before it is read: what changes meanwhile is read again
        self._ring = keyring.load(settings)
        self._fault = ""
        self._looked_at = time.monotonic()
        self._looking = threading.Lock()

    def current(self) -> Keyring:
        """What holds now, at most a second old."""
        is_old = time.monotonic() - self._looked_at >= LOOK_SECONDS
        if self._is_kept and is_old and self._looking.acquire(blocking=False):
            try:
                self._looked_at = time.monotonic()
                self._look()
            finally:
                self._looking.release()
        return self._ring

    def _look(self) -> None:
        found = kept_auth.stamp(self._path)
        if found == self._stamp:
            self._fault = ""
            return
        try:
            self._ring = self._read(found)
        except SettingsError as error:
            # Looked at again each time: a secret that it names may come later. Said once.
            if str(error) != self._fault:
                self._fault = str(error)
                log.error("webhook credentials not read: %s", error)  # noqa: TRY400  (it says it all)
            return
        self._stamp, self._fault = found, ""
        log.info("webhook credentials read again", extra={"sources": sorted(self._ring.entries)})

    def _read(self, found: kept_auth.Stamp) -> Keyring:
        if found is None:
            raise SettingsError(f"{self._path}: is gone; an empty object {{}} is no credentials at all")
        ring = keyring.load(self._settings)
        if reason := exposure.why_not_bound(self._settings.host, ring):
            raise SettingsError(f"{self._path}: {reason}")
        return ring
