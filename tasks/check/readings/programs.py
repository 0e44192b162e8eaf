"""Running a program of this host, for what it says."""

import errno
import os
import shutil
import subprocess
from typing import NamedTuple

from tasks.check.readings.text import decoded

# Where a service account's PATH does not lead.
ADMIN_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
MAX_OUTPUT_CHARS = 200_000
MAX_WORDS_CHARS = 200


class Ended(NamedTuple):
    """What a program printed, and the code that it ended with: 0 where all was well."""

    code: int
    output: str
    errors: str

    @property
    def complaint(self) -> str:
        """Its errors in one line."""
        return " ".join(self.errors.split())[:MAX_WORDS_CHARS]


def find(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=_path())


def run(name: str, *arguments: str, timeout_seconds: float) -> Ended:
    """Run a program to its end, in English, without anything of our environment but where programs are.

    Raises FileNotFoundError where there is none, and subprocess.TimeoutExpired when it was ended.
    """
    program = find(name)
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    done = subprocess.run(
        [name, *arguments],
        executable=program,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"PATH": _path(), "LC_ALL": "C"},
        timeout=timeout_seconds,
        check=False,
    )
    return Ended(done.returncode, *(decoded(each)[:MAX_OUTPUT_CHARS] for each in (done.stdout, done.stderr)))


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{ADMIN_FOLDERS}"
