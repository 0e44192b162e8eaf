"""What takes up the space of a directory tree."""

import heapq
import os
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.check.readings.text import printable_path
from tasks.check.readings.walk import Bound, Bounds, Directory, Walk, allocated

FIRST_LEVEL = 2  # the root is level 1
EARLIEST = datetime(1, 1, 2, tzinfo=UTC).timestamp()
LATEST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()

# Says of a file, by its path below the root and its status, whether it could be deleted.
Rule = Callable[[str, os.stat_result], bool]
Identity = tuple[int, int]


@dataclass(frozen=True)
class FoundFile:
    """A regular file; the path is storable text and may be shortened."""

    path: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class FoundDirectory:
    """A directory directly below the root, with all that is in it."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class Scan:
    """What was found in a tree. Sizes are what is allocated on the disk, as `du` has them.

    The tuples hold the largest, first the largest of all. `old_bytes` and `old_files_seen` are of all old files,
    `recoverable_bytes` of all that the rule lets go. `denied` counts what could not be looked at, mostly for lack
    of the right, `vanished` what went away meanwhile, and `cut_by` says what the scan was cut short by.
    """

    path: str
    device: int
    total_bytes: int
    recoverable_bytes: int
    entries_seen: int
    directories: tuple[FoundDirectory, ...]
    large_files: tuple[FoundFile, ...]
    old_files: tuple[FoundFile, ...]
    old_bytes: int
    old_files_seen: int
    denied: int
    vanished: int
    cut_by: tuple[Bound, ...]


def nothing(_path: str, _status: os.stat_result) -> bool:
    """The rule that lets no file go."""
    return False


def scan(
    root: str, bounds: Bounds, *, old_before: datetime, rule: Rule = nothing, top: int = 10, large_bytes: int = 0
) -> Scan:
    """Look at every entry of the tree, without opening anything but directories, and stop at the bounds.

    The root may be a link; no other link is followed, and nothing entered that is mounted there. A file with
    several names counts once. It counts as recoverable only if all of its names were found and the rule lets each
    of them go: before that, deleting it frees nothing. What was last written before `old_before` is old. Raises
    OSError for a root that cannot be read.
    """
    real_root = os.path.realpath(root)
    with closing(Walk(real_root, bounds)) as walk:
        tally = _Tally(real_root, old_before, rule, top, large_bytes)
        for directory, name, status in walk:
            tally.add(directory, name, status)
        return tally.result(walk)


class _Tally:
    """What the entries come to."""

    def __init__(self, root: str, old_before: datetime, rule: Rule, top: int, large_bytes: int) -> None:
        self._root = root.rstrip("/")
        self._old_before = old_before.timestamp()
        self._rule = rule
        self._large_bytes = large_bytes
        self._large, self._old, self._directories = _Largest(top), _Largest(top), _Largest(top)
        # How many names of a file were let go, for files with several.
        self._let_go: dict[Identity, int] = {}
        # The first-level directory that is being read, and what was found in it.
        self._branch: Directory | None = None
        self._branch_bytes = 0
        self._total_bytes = self._recoverable_bytes = self._old_bytes = 0
        self._old_files_seen = 0

    def add(self, directory: Directory, name: str, status: os.stat_result) -> None:
        """Count an entry of that directory."""
        if directory.depth == FIRST_LEVEL and directory is not self._branch:
            self._turn_to(directory)
        size_bytes = allocated(status)
        if not stat.S_ISDIR(status.st_mode):
            is_new = self._judge(directory.prefix + name, size_bytes, status)
            if not is_new:
                return
        self._total_bytes += size_bytes
        self._branch_bytes += size_bytes

    def result(self, walk: Walk) -> Scan:
        self._turn_to(None)
        return Scan(
            path=printable_path(self._root or "/"),
            device=walk.device,
            total_bytes=self._total_bytes + walk.root.size_bytes,
            recoverable_bytes=self._recoverable_bytes,
            entries_seen=walk.entries_seen,
            directories=tuple(
                FoundDirectory(self._path(name), size_bytes) for size_bytes, name, _ in self._directories.items()
            ),
            large_files=tuple(self._file(*item) for item in self._large.items()),
            old_files=tuple(self._file(*item) for item in self._old.items()),
            old_bytes=self._old_bytes,
            old_files_seen=self._old_files_seen,
            denied=walk.denied,
            vanished=walk.vanished,
            cut_by=tuple(bound for bound in Bound if bound in walk.cut_by),
        )

    def _turn_to(self, directory: Directory | None) -> None:
        """One first-level directory is done, and another begins."""
        if self._branch is not None:
            self._directories.offer(self._branch_bytes, self._branch.name, 0.0)
        self._branch = directory
        self._branch_bytes = directory.size_bytes if directory else 0

    def _judge(self, path: str, size_bytes: int, status: os.stat_result) -> bool:
        """Whether this is the file's first name; see what kind of file it is."""
        can_go = self._rule(path, status)
        is_first = True
        if status.st_nlink > 1:
            identity = status.st_dev, status.st_ino
            is_first = identity not in self._let_go
            self._let_go[identity] = self._let_go.get(identity, 0) + can_go
            can_go = self._let_go[identity] == status.st_nlink
        if can_go:
            self._recoverable_bytes += size_bytes
        if is_first and stat.S_ISREG(status.st_mode):
            self._rank(path, size_bytes, status.st_mtime)
        return is_first

    def _rank(self, path: str, size_bytes: int, modified: float) -> None:
        if size_bytes >= self._large_bytes:
            self._large.offer(size_bytes, path, modified)
        if modified < self._old_before:
            self._old.offer(size_bytes, path, modified)
            self._old_bytes += size_bytes
            self._old_files_seen += 1

    def _file(self, size_bytes: int, path: str, modified: float) -> FoundFile:
        return FoundFile(self._path(path), size_bytes, _moment(modified))

    def _path(self, path: str) -> str:
        return printable_path(f"{self._root}/{path}")


class _Largest:
    """The largest of what is offered, so and so many of it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[int, str, float]] = []

    def offer(self, size_bytes: int, path: str, modified: float) -> None:
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, (size_bytes, path, modified))
        elif size_bytes > self._heap[0][0]:
            heapq.heapreplace(self._heap, (size_bytes, path, modified))

    def items(self) -> list[tuple[int, str, float]]:
        """The largest first."""
        return sorted(self._heap, reverse=True)


def _moment(seconds: float) -> datetime:
    """A file's time, or the nearest there is: file systems know years that datetime does not."""
    return datetime.fromtimestamp(min(max(seconds, EARLIEST), LATEST), UTC)
