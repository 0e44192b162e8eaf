"""A bounded walk through a directory tree, which nobody can lead out of the tree."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import psutil

BLOCK_BYTES = 512  # what st_blocks counts in, whatever the file system's own blocks are
# Neither through a link, nor waiting for whoever has the other end of a pipe that stands there by now. By name,
# since what is no Unix has none of them, and is to say so only when asked to scan.
OPEN_DIRECTORY = sum(getattr(os, name, 0) for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK"))
# No fact about the tree, but this process or the host at its end.
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
# That it is no longer what it was, or where.
REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}


class Bound(StrEnum):
    """What a walk ran into."""

    SECONDS = "seconds"
    ENTRIES = "entries"
    DEPTH = "depth"


@dataclass(frozen=True)
class Bounds:
    """What a walk may cost.

    `until` is a moment of time.monotonic(), so that several walks can share it; the others are for each walk.
    `max_depth` levels of directories are read, the root being the first.
    """

    until: float
    max_entries: int = 500_000
    max_depth: int = 64


@dataclass(eq=False, slots=True)
class Directory:
    """One that was seen. It knows only its own name until it is read: a great many may wait, and far down."""

    name: str
    inode: int
    size_bytes: int
    parent: "Directory | None" = None
    depth: int = 1
    # The path below the root, with a slash at its end.
    prefix: str = ""


Entry = tuple[Directory, str, os.stat_result]


class Walk:
    """The entries of a tree, each with its directory and its status; one first-level directory after the other.

    It holds three descriptors at most, whatever the depth. Directories are opened name by name from one that is
    held, never through a link, and each is compared with what was seen before: what was exchanged is vanished.
    What is mounted in the tree is passed over by the mount table, since even to ask what it is can hang, and a
    directory of another device in any case. Raises OSError for a root that cannot be read.
    """

    def __init__(self, root: str, bounds: Bounds) -> None:
        """The root is an absolute path without links."""
        self._bounds = bounds
        self._mounts = _mounts_below(root)
        self._root_fd = self._held_fd = os.open(root, OPEN_DIRECTORY)
        status = os.fstat(self._root_fd)
        self.device = status.st_dev
        self.root = self._held = Directory("", status.st_ino, allocated(status))
        self._pending = [self.root]
        self.entries_seen = self.denied = self.vanished = 0
        self.cut_by: set[Bound] = set()

    def close(self) -> None:
        """Let go of the directories."""
        for descriptor in {self._root_fd, self._held_fd}:
            os.close(descriptor)

    def __iter__(self) -> Iterator[Entry]:
        while self._pending and not self._is_over():
            directory = self._pending.pop()
            try:
                descriptor = self._open(directory)
            except OSError as error:
                self._count(error)
                continue
            try:
                yield from self._entries(directory, descriptor)
            except OSError as error:  # the directory itself can no longer be read
                self._count(error)
            finally:
                os.close(descriptor)

    def _entries(self, directory: Directory, descriptor: int) -> Iterator[Entry]:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if self._is_over():
                    return
                self.entries_seen += 1
                if self._mounts and directory.prefix + entry.name in self._mounts:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError as error:
                    self._count(error)
                    continue
                if stat.S_ISDIR(status.st_mode):
                    if status.st_dev != self.device:
                        continue
                    self._pend(entry.name, status, directory)
                # A file's device is not compared: on some overlays it is another one than its directory's.
                yield directory, entry.name, status

    def _pend(self, name: str, status: os.stat_result, parent: Directory) -> None:
        if parent.depth >= self._bounds.max_depth:
            self.cut_by.add(Bound.DEPTH)
        else:
            self._pending.append(Directory(name, status.st_ino, allocated(status), parent, parent.depth + 1))

    def _open(self, directory: Directory) -> int:
        if directory.parent is None:
            return os.dup(self._root_fd)
        if directory.parent is not self._held:
            self._hold(directory.parent)
        directory.prefix = f"{directory.parent.prefix}{directory.name}/"
        return self._step(directory, self._held_fd)

    def _hold(self, directory: Directory) -> None:
        """Have that directory open, by way of the one that was, or else from the root."""
        way = []
        reached: Directory = directory
        while reached.parent is not None and reached is not self._held:
            way.append(reached)
            reached = reached.parent
        descriptor = os.dup(self._held_fd if reached is self._held else self._root_fd)
        try:
            for each in reversed(way):
                below = self._step(each, descriptor)
                os.close(descriptor)
                descriptor = below
        except OSError:
            os.close(descriptor)
            raise
        if self._held_fd != self._root_fd:
            os.close(self._held_fd)
        self._held, self._held_fd = directory, descriptor

    def _step(self, directory: Directory, parent_fd: int) -> int:
        descriptor = os.open(directory.name, OPEN_DIRECTORY, dir_fd=parent_fd)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (self.device, directory.inode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "another one stands in its place", directory.name)
        return descriptor

    def _count(self, error: OSError) -> None:
        if error.errno in EXHAUSTED:
            raise error
        if error.errno in REPLACED:
            self.vanished += 1
        else:
            self.denied += 1

    def _is_over(self) -> bool:
        if self.entries_seen >= self._bounds.max_entries:
            self.cut_by.add(Bound.ENTRIES)
        elif time.monotonic() >= self._bounds.until:
            self.cut_by.add(Bound.SECONDS)
        else:
            return False
        return True


def allocated(status: os.stat_result) -> int:
    """The bytes that are taken up on the disk: fewer than a file's length where it has holes."""
    return status.st_blocks * BLOCK_BYTES


def _mounts_below(root: str) -> frozenset[str]:
    """The mount points in the tree, by their path below the root; none where the mount table cannot be read."""
    prefix = f"{root.rstrip('/')}/"
    try:
        points = [mount.mountpoint for mount in psutil.disk_partitions(all=True)]
    except (OSError, psutil.Error):
        return frozenset()
    return frozenset(
        point.removeprefix(prefix) for point in points if point.startswith(prefix) and point != prefix
    )
