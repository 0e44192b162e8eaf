"""How full the file systems are."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import psutil
from pydantic import Field, FiniteFloat, StringConstraints

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import Checker, RisingConfig, crossed, gib, judge_rising

Usage = dict[str, float]
# Absolute, since a worker's working folder is nobody's choice; without NUL, which no database column takes.
Path = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$")]


@dataclass(frozen=True)
class Disk(Checker):
    """The fullest of some file systems, each named by a path on it.

    `percent` is `df`'s Use%: what ordinary users have left counts, not what is reserved for root. The worst
    path that can be read decides; one that cannot be read makes an otherwise good result UNKNOWN.
    """

    kind: ClassVar[str] = "disk"

    class Config(RisingConfig):
        """`paths`: any path stands for the file system that holds it."""

        paths: list[Path] = Field(default=["/"], min_length=1)
        warning_threshold: FiniteFloat = 80.0
        critical_threshold: FiniteFloat = 95.0

    config: Config

    def measure(self) -> CheckResult:
        """Read every path."""
        disks: dict[str, Usage] = {}
        faults: dict[str, str] = {}
        for path in self.config.paths:
            try:
                disks[path] = _usage(path)
            except OSError as error:
                faults[path] = error.strerror or str(error)
        return _verdict(disks, faults, self.config)


def _usage(path: str) -> Usage:
    usage = psutil.disk_usage(path)
    return {
        "percent": usage.percent,
        "total_gb": gib(usage.total),
        "used_gb": gib(usage.used),
        "free_gb": gib(usage.free),
    }


def _verdict(disks: dict[str, Usage], faults: dict[str, str], config: Disk.Config) -> CheckResult:
    worst_path = max(disks, key=lambda path: disks[path]["percent"], default=None)
    worst_percent = disks[worst_path]["percent"] if worst_path is not None else None
    statuses = [CheckStatus.UNKNOWN] if faults else []
    sentences = [f"{path} cannot be read: {reason}" for path, reason in faults.items()]
    if worst_percent is not None:
        status = judge_rising(worst_percent, config)
        statuses.append(status)
        sentences.insert(0, f"{worst_path} {worst_percent:.1f} % full{crossed(status, config)}")
    return CheckResult(
        checker_name=Disk.kind,
        status=max(statuses, key=lambda status: status.rank),
        message="; ".join(sentences),
        metrics={"disks": disks, "worst_percent": worst_percent, "worst_path": worst_path},
        error="; ".join(f"{path}: {reason}" for path, reason in faults.items()) or None,
    )
