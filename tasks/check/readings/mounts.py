"""The mounted file systems that hold data, and how to ask file systems things without hanging on one of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

import psutil
from pydantic import StringConstraints

from tasks.check.calls import HungError, side_by_side
from tasks.check.readings.text import MAX_PATH_CHARS, printable_path

MAX_PATHS = 50
# What of a checker's timeout the file systems have, so that it speaks before the runner calls all of it hung.
ANSWER_SHARE = 0.9
# Images, which are always full, so that their fullness is no news.
IMAGE_TYPES = {"squashfs", "iso9660", "erofs", "cramfs", "udf"}

Answer = TypeVar("Answer")
# Absolute, since a worker's working folder is nobody's choice; without NUL, which no database column takes.
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=MAX_PATH_CHARS)]


@dataclass(frozen=True)
class Survey(Generic[Answer]):
    """What was answered of each path, and a sentence of each that could not be read. Paths as storable text."""

    answers: dict[str, Answer]
    faults: dict[str, str]


@dataclass(frozen=True)
class Inodes:
    """How many files a file system can hold, and how many more it takes."""

    total: int
    free: int

    @property
    def used(self) -> int:
        """How many it holds."""
        return self.total - self.free

    @property
    def percent(self) -> float:
        """The used ones, `df -i`'s IUse%."""
        return round(100 * self.used / self.total, 1)


def local_mounts() -> dict[str, str]:
    """Mount points of local file systems that hold data, with their type; one for each device.

    Left out are pseudo file systems and network ones (both by psutil's `all=False`: asking one whose server is
    gone never returns), and images. `/` counts whatever it is on, in a container an overlay, if not an image.
    """
    # What was mounted last at a path hides what was there before.
    at_path = {mount.mountpoint: mount for mount in psutil.disk_partitions(all=False)}
    on_device: dict[str, list[str]] = {}
    for path, mount in at_path.items():
        if not _is_image(mount):
            on_device.setdefault(mount.device, []).append(path)
    mounts = {path: at_path[path].fstype for paths in on_device.values() for path in _first(paths)}
    return mounts if "/" in mounts else _root() | mounts


def survey(
    read: Callable[[str], Answer], paths: Sequence[str] | None, *, timeout_seconds: float
) -> Survey[Answer]:
    """What a function reads of each path, or of each local mount where there are none, all side by side.

    A path whose file system hangs costs the others nothing but time, and less than `timeout_seconds` of it.
    """
    patience_seconds = timeout_seconds * ANSWER_SHARE
    asked = local_mounts() if paths is None else paths
    outcomes = side_by_side({path: partial(read, path) for path in asked}, timeout_seconds=patience_seconds)
    if paths is None:
        outcomes = _still_mounted(outcomes)
    faults = {path: error for path, error in outcomes.items() if isinstance(error, BaseException)}
    return Survey(
        answers={
            printable_path(path): each for path, each in outcomes.items() if not isinstance(each, BaseException)
        },
        faults={
            printable_path(path): _fault(printable_path(path), error, patience_seconds)
            for path, error in faults.items()
        },
    )


def inodes(path: str) -> Inodes | None:
    """The inodes of the file system that holds a path; None where it has no fixed number of them (btrfs, vfat)."""
    status = os.statvfs(path)
    return Inodes(status.f_files, status.f_ffree) if status.f_files >= max(1, status.f_ffree) else None


def summary(disks: Mapping[str, Mapping[str, Any]], *, percent_key: str) -> dict[str, Any]:
    """The metrics of file systems by path, the fullest first: so many of them, and which is the worst."""
    worst_path = next(iter(disks), None)
    return {
        "disks": dict(list(disks.items())[:MAX_PATHS]),
        "worst_percent": disks[worst_path][percent_key] if worst_path is not None else None,
        "worst_path": worst_path,
    }


def _is_image(mount: Any) -> bool:
    """Whether nothing can be written there. Mount options do not tell: a sandbox has the whole host read-only."""
    if mount.fstype == "overlay":
        return "upperdir=" not in mount.opts
    is_snapshot = mount.fstype == "zfs" and "@" in mount.device
    return is_snapshot or mount.fstype in IMAGE_TYPES


def _first(paths: Sequence[str]) -> Sequence[str]:
    """The path that stands for a device: `/`, else the first that is not a single file; none if all of them are.

    Containers have files of the host's disk mounted (/etc/hosts). What is mounted once is not asked: it may hang.
    """
    if len(paths) == 1:
        return paths
    root_first = sorted(paths, key=lambda path: path != "/")
    # pathlib's is_file raises for what is closed to us.
    return [path for path in root_first if not os.path.isfile(path)][:1]  # noqa: PTH113


def _root() -> dict[str, str]:
    at_root = [mount for mount in psutil.disk_partitions(all=True) if mount.mountpoint == "/"]
    if not at_root:
        return {"/": ""}
    return {} if _is_image(at_root[-1]) else {"/": at_root[-1].fstype}


def _still_mounted(outcomes: Mapping[str, Answer]) -> dict[str, Answer]:
    """Without what was unmounted meanwhile: its folder, if there still is one, answers for what holds that."""
    mounts = local_mounts()
    return {path: outcome for path, outcome in outcomes.items() if path in mounts}


def _fault(name: str, error: BaseException, patience_seconds: float) -> str:
    if isinstance(error, HungError):
        return f"{name} did not answer within {patience_seconds:g} s"
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{name} cannot be read: {reason or f'{type(error).__name__}: {error}'}"
