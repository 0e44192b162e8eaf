"""A file system that really hangs, as one does whose server is gone.

with hung_mount() as path:
    os.statvfs(path)  # does not return before the block ends

It is FUSE without anybody who answers: whatever asks it something (statvfs, stat of what is on it, listdir,
open) waits in the kernel. When the block ends, all of them get an error. Ask it from a daemon thread or another
process, since the asking thread cannot end the block that frees it. `df` without a path asks it too.

with taken_mount(tmp_path / "taken") as path: ...

is worse, as a dead sshfs is: its server takes every request and answers none. Then the kernel lets nothing end
the thread that asks, and no process that has such a thread: neither os._exit nor SIGKILL. Only ask it from
another process.
"""

import ctypes
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
MNT_FORCE_DETACH = 1 | 2
FUSE_INIT = 26
MAX_REQUEST_BYTES = 1 << 20
# struct fuse_init_out of protocol 7.31: version, readahead, flags, background, congestion, max write, and zeros.
INIT_ANSWER = struct.pack("<4I2H2I2H7I", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, *[0] * 7)
MOUNTED = "mounted"
END_SECONDS = 10.0


@contextmanager
def hung_mount(place: Path | None = None) -> Iterator[Path]:
    """The mount point, an empty folder that is made if need be; without one, somewhere temporary.

    Skips the test where the host has no FUSE or forbids mounting.
    """
    if place is None:
        with TemporaryDirectory(prefix="hung-mount-") as folder, _mounted(Path(folder)):
            yield Path(folder)
    else:
        place.mkdir(exist_ok=True)
        with _mounted(place):
            yield place


@contextmanager
def taken_mount(path: Path) -> Iterator[Path]:
    """The mount point, a folder that is made. Skips the test where nobody may mount that."""
    path.mkdir()
    with _mounted(path, "take"):
        yield path


@contextmanager
def _mounted(path: Path, *taking: str) -> Iterator[None]:
    """Mounted by a process of its own, which takes it away when this one ends, however it ends."""
    command = [sys.executable, "-I", __file__, str(path), *taking]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # whoever ends the tests with all their processes leaves it time to unmount
    ) as helper:
        assert helper.stdin
        assert helper.stdout
        answer = helper.stdout.readline().strip()
        if answer != MOUNTED:
            pytest.skip(f"no FUSE file system can be mounted here: {answer}")
        try:
            yield
        finally:
            helper.stdin.close()
            assert helper.wait(END_SECONDS) == 0, f"{path} could not be unmounted"


def _hold(path: str, *, is_taking: bool) -> None:
    """Mount, say so, and unmount when standard input ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    # The kernel's requests come here. The first one asks for the version, and nothing else is answered before
    # that is: so it is enough for a hang not to read.
    with Path("/dev/fuse").open("r+b", buffering=0) as requests:
        options = f"fd={requests.fileno()},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        _check(libc.mount(b"hung", path.encode(), b"fuse.hung", MS_NOSUID_NODEV_NOEXEC, options.encode()))
        if is_taking:
            threading.Thread(target=_take, args=(requests.fileno(),), daemon=True).start()
        try:
            print(MOUNTED, flush=True)
            sys.stdin.read()
        finally:
            _check(libc.umount2(path.encode(), MNT_FORCE_DETACH))


def _take(requests: int) -> None:
    while True:
        request = os.read(requests, MAX_REQUEST_BYTES)
        _, operation, number = struct.unpack_from("<2IQ", request)
        if operation == FUSE_INIT:
            os.write(requests, struct.pack("<IiQ", 16 + len(INIT_ANSWER), 0, number) + INIT_ANSWER)


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


if __name__ == "__main__":
    try:
        _hold(sys.argv[1], is_taking="take" in sys.argv[2:])
    except (OSError, AttributeError) as error:  # no /dev/fuse, no right to mount, or no such call on this system
        print(error)
        sys.exit(1)
