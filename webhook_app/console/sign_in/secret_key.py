"""What signs the console's cookies: a setting, or a file under the home that all receivers of it share."""

import logging
import os
import secrets
import tempfile
from pathlib import Path

from storage.settings import SECRET_KEY_MIN_CHARS, Settings

NAME = "console-key"
MAX_BYTES = 4096

log = logging.getLogger("watchkeeper.receiver")


def load(settings: Settings) -> str:
    """The key; made where there is none yet. Where it cannot be kept, one that lasts as long as this process."""
    if settings.secret_key:
        return settings.secret_key
    path = settings.home / NAME
    try:
        if not path.exists():
            _make(path)
        key = _read(path)
    except (OSError, ValueError) as error:
        # The receiver goes on: webhooks need no key.
        log.error(  # noqa: TRY400  (it says it all)
            "%s: no key for the console's sign-ins (%s): they hold in this process only, and end with it. "
            "Mend the file or set WATCHKEEPER_SECRET_KEY",
            path,
            getattr(error, "strerror", None) or error,
        )
        return secrets.token_urlsafe(48)
    return key


def _read(path: Path) -> str:
    with path.open("rb") as file:
        key = file.read(MAX_BYTES).decode("ascii").strip()
    if len(key) < SECRET_KEY_MIN_CHARS:
        raise ValueError(f"it holds fewer than {SECRET_KEY_MIN_CHARS} characters")
    return key


def _make(path: Path) -> None:
    """Write it whole beside its place and link it there: of several that start at once one is the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(48)}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(path).hardlink_to(name)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink(missing_ok=True)
