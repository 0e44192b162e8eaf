"""The credentials of sources that are kept under the home: what `watchkeeper apply` writes and receivers read.

`webhook-auth.json` holds the same object as WATCHKEEPER_WEBHOOK_AUTH, with references in place of all secrets. It
counts where neither that variable nor WATCHKEEPER_WEBHOOK_AUTH_FILE is set.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.settings import Settings, SettingsError

NAME = "webhook-auth.json"
MAX_BYTES = 1024 * 1024

# What differs once the file was written anew; None where it is not there.
Stamp = tuple[int, int, int, int] | None


def path_of(settings: Settings) -> Path:
    """Where it lies."""
    return settings.home / NAME


def read_text(settings: Settings) -> str:
    """What stands in it; "{}" where it is not there. Raises SettingsError for a file that says nothing."""
    path = path_of(settings)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except FileNotFoundError:
        if not path.is_symlink():
            return "{}"
        raise SettingsError(f"{path}: leads nowhere") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise SettingsError(f"{path}: cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{path}: larger than {MAX_BYTES} bytes")
    if not text.strip():
        # Cut off, or emptied by mistake: nobody is let in for that. No credentials at all is {}.
        raise SettingsError(f"{path}: is empty; {{}} is no credentials at all")
    return text


def stamp(path: Path) -> Stamp:
    """See Stamp. Where nobody can tell, it differs from every other."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError:
        return (-1, -1, -1, -1)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@dataclass(frozen=True)
class Prepared:
    """A file that is written whole beside the one that it is to replace."""

    temporary: Path
    path: Path

    def put(self) -> None:
        """Let it take the other's place, at once for all who read."""
        self.temporary.replace(self.path)

    def drop(self) -> None:
        """Take it away."""
        self.temporary.unlink(missing_ok=True)


def prepare(settings: Settings, entries: Mapping[str, Any]) -> Prepared:
    """Write the entries, readable by this user only. Raises SettingsError where that cannot be done."""
    path = path_of(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(entries, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None
    return Prepared(Path(name), path)
