"""How many of the file systems' inodes are used: with none left, no file can be made, however much is free."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, FiniteFloat

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import Checker, NotApplicableError, RisingConfig, conclude, state
from tasks.check.readings.mounts import MAX_PATHS, AbsolutePath, Inodes, inodes, summary, survey


@dataclass(frozen=True)
class DiskInodes(Checker):
    """The file system that has used most of its inodes. Those without a fixed number of them are passed over."""

    kind: ClassVar[str] = "disk_inodes"
    measures: ClassVar[str] = "inodes of the mounted file systems, or of given paths"

    class Config(RisingConfig):
        """`paths`: any path stands for the file system that holds it; None means every local mount."""

        paths: list[AbsolutePath] | None = Field(default=None, min_length=1, max_length=MAX_PATHS)
        warning_threshold: FiniteFloat = 80.0
        critical_threshold: FiniteFloat = 95.0

    config: Config

    def measure(self) -> CheckResult:
        """Read every path, side by side."""
        config = self.config
        found = survey(inodes, config.paths, timeout_seconds=config.timeout)
        known = [(path, count) for path, count in found.answers.items() if count]
        if not known and not found.faults:
            raise NotApplicableError("no file system here has a fixed number of inodes")
        counts = dict(sorted(known, key=lambda each: -each[1].percent))
        readings = [
            config.read(count.percent, _sentence(path, count), target=path) for path, count in counts.items()
        ]
        readings += [state(CheckStatus.UNKNOWN, fault, target=path) for path, fault in found.faults.items()]
        disks = {path: _metrics(count) for path, count in counts.items()}
        return conclude(self.kind, readings, metrics=summary(disks, percent_key="inodes_percent"))


def _sentence(path: str, count: Inodes) -> str:
    return f"{path} {count.percent:.1f} % of inodes used, {count.free:,} free"


def _metrics(count: Inodes) -> dict[str, float]:
    return {
        "inodes_percent": count.percent,
        "inodes_total": count.total,
        "inodes_used": count.used,
        "inodes_free": count.free,
    }
