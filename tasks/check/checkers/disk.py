"""How full the file systems are."""

import errno
from dataclasses import dataclass
from typing import Any, ClassVar

import psutil
from pydantic import Field, FiniteFloat

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import GIB, Checker, NotApplicableError, RisingConfig, conclude, gib, state
from tasks.check.readings.mounts import MAX_PATHS, AbsolutePath, Inodes, inodes, summary, survey

MIB = 1024**2


@dataclass(frozen=True)
class Space:
    """How full a file system is. `percent` and `free_bytes` are df's Use% and Avail, for ordinary users."""

    percent: float
    total_bytes: int
    used_bytes: int
    free_bytes: int
    inodes: Inodes | None = None


@dataclass(frozen=True)
class Disk(Checker):
    """The fullest of some file systems, each named by a path on it.

    The worst path that can be read decides; one that cannot be read makes an otherwise good result UNKNOWN.
    """

    kind: ClassVar[str] = "disk"
    measures: ClassVar[str] = "space of the mounted file systems, or of given paths"

    class Config(RisingConfig):
        """`paths`: any path stands for the file system that holds it; None means every local mount.

        `critical_free_gb`: critical needs less than this free as well; None means that the percentage is enough.
        """

        paths: list[AbsolutePath] | None = Field(default=None, min_length=1, max_length=MAX_PATHS)
        warning_threshold: FiniteFloat = 80.0
        critical_threshold: FiniteFloat = 95.0
        critical_free_gb: FiniteFloat | None = Field(default=None, gt=0)

        def read_space(self, path: str, space: Space) -> Reading:
            """The reading of a file system, judged by its percentage and by what is free."""
            status = self._judge_space(space, margin=0.0)
            sentence = f"{path} {space.percent:.1f} % full, {_size(space.free_bytes)} free"
            return Reading(
                target=path,
                value=space.percent,
                status=status,
                held=self._judge_space(space, margin=self.clear),
                message=f"{sentence}{self._crossed(status)}",
            )

        def _judge_space(self, space: Space, *, margin: float) -> CheckStatus:
            status = self.judge(space.percent, margin=margin)
            is_roomy = (
                self.critical_free_gb is not None and _free_gb_beyond(space, margin) >= self.critical_free_gb
            )
            return CheckStatus.WARNING if status is CheckStatus.CRITICAL and is_roomy else status

    config: Config

    def measure(self) -> CheckResult:
        """Read every path, side by side."""
        config = self.config
        found = survey(_space, config.paths, timeout_seconds=config.timeout)
        if not found.answers and not found.faults:
            raise NotApplicableError("no mounted file system here takes data")
        spaces = dict(sorted(found.answers.items(), key=lambda each: -each[1].percent))
        readings = [config.read_space(path, space) for path, space in spaces.items()]
        readings += [state(CheckStatus.UNKNOWN, fault, target=path) for path, fault in found.faults.items()]
        disks = {path: _metrics(space) for path, space in spaces.items()}
        return conclude(self.kind, readings, metrics=summary(disks, percent_key="percent"))


def _space(path: str) -> Space:
    usage = psutil.disk_usage(path)
    if not usage.total:  # of a kind that has no size (/proc), or one that does not tell everybody (FUSE)
        raise OSError(errno.ENODATA, "it tells no size")
    return Space(usage.percent, usage.total, usage.used, usage.free, inodes(path))


def _metrics(space: Space) -> dict[str, Any]:
    return {
        "percent": space.percent,
        "total_gb": gib(space.total_bytes),
        "used_gb": gib(space.used_bytes),
        "free_gb": gib(space.free_bytes),
        "inodes_percent": space.inodes.percent if space.inodes else None,
        "inodes_free": space.inodes.free if space.inodes else None,
    }


def _free_gb_beyond(space: Space, margin_percent: float) -> float:
    """What is free besides the margin, which is the same piece of the disk as in the percentage."""
    return (space.free_bytes - margin_percent / 100 * (space.used_bytes + space.free_bytes)) / GIB


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:,.1f} GB" if size_bytes >= GIB else f"{size_bytes / MIB:,.0f} MB"
