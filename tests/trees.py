"""Files of a given size and age for tests that scan directories, and what another user sees of them.

allocate(tmp_path / "log" / "messages.1", 3 * MIB, days_old=40)
"""

import os
import pickle
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MIB = 1024**2
DAY_SECONDS = 86400
NOBODY = 65534


def allocate(path: Path, size_bytes: int = 4096, *, days_old: float = 0) -> Path:
    """A file that takes up that much of the disk, last written so long ago; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate") and size_bytes:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        else:
            file.write(b"x" * size_bytes)
    written_at = time.time() - days_old * DAY_SECONDS
    os.utime(path, (written_at, written_at))
    return path


def du_bytes(path: Path | str, *arguments: str) -> dict[str, int]:
    """What du says of a path, and of those below it if its arguments ask for them."""
    command = ["du", "-x", "--block-size=1", *arguments, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "option" in done.stderr or not done.stdout:
        pytest.skip("needs GNU du")
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return {where: int(size_bytes) for size_bytes, where in lines}


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own; trees of any depth in it are removed in the end."""
    folder = tempfile.mkdtemp(prefix="trees-")
    os.chmod(folder, 0o755)  # noqa: PTH101
    try:
        yield Path(folder)
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def as_nobody(function: Callable[[], Any], *, user_id: int = NOBODY) -> Any:
    """What a function returns in a process of an ordinary user: nobody, where this one is root."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user_id)
                os.setuid(user_id)
            answer = pickle.dumps(function())
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
        except BaseException:  # noqa: BLE001  (the child must never become a second test run)
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(answer)
