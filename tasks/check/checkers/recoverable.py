"""What could be deleted in places that are known to gather such things, and the verdict on that."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import Field, FiniteFloat, model_validator

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.calls import HungError, side_by_side
from tasks.check.checkers.base import BAD, NotApplicableError, RisingConfig, conclude, state
from tasks.check.readings.scan import FoundDirectory, FoundFile, Rule, Scan, scan
from tasks.check.readings.walk import Bound, Bounds

MIB = 1024**2  # the *_mb metrics count in these, as `du -m` and `journalctl --vacuum-size` do
WORTH_A_WORD_MB = 100  # less is no recommendation's business


class RecoverableConfig(RisingConfig):
    """The thresholds are megabytes that could be had back, of all places together.

    Files count as old after `old_days` and are listed as large from `large_file_mb` on, `top` of each.
    `max_seconds` is for all places together; `max_entries` and `max_depth` (levels of directories) are for each.
    """

    unit = "MB"

    old_days: int = Field(default=30, ge=1, le=36500)
    large_file_mb: FiniteFloat = Field(default=100.0, gt=0)
    top: int = Field(default=10, ge=1, le=50)
    max_seconds: FiniteFloat = Field(default=5.0, gt=0)
    max_entries: int = Field(default=500_000, ge=1, le=10_000_000)
    max_depth: int = Field(default=64, ge=1, le=1000)
    warning_threshold: FiniteFloat = 5000.0
    critical_threshold: FiniteFloat = 20000.0

    @model_validator(mode="after")
    def _scan_fits_the_timeout(self) -> Self:
        if self.max_seconds >= self.timeout:
            raise ValueError(f"max_seconds {self.max_seconds:g} must be less than timeout {self.timeout:g} s")
        return self

    @property
    def patience_seconds(self) -> float:
        """How long to wait for scans, which end by themselves if they do not hang: half of what is left over."""
        return (self.max_seconds + self.timeout) / 2


@dataclass(frozen=True)
class Place:
    """A directory tree, what of it could be deleted, and what a person could do about that.

    `kept_bytes` stay there whatever the rule says. `advice` is what to say when there is something to get, and
    `size_advice` when the whole place is as large as the warning threshold.
    """

    path: str
    rule: Rule
    advice: str = ""
    size_advice: str = ""
    kept_bytes: int = 0


@dataclass(frozen=True)
class Found:
    """A place that was scanned."""

    place: Place
    scan: Scan

    @property
    def recoverable_bytes(self) -> int:
        """What could be deleted."""
        return max(0, min(self.scan.recoverable_bytes, self.scan.total_bytes - self.place.kept_bytes))


def expanded(paths: Sequence[str]) -> list[str]:
    """The paths, `~` being the home of the user that the process runs as; for one without, they are left out."""
    expanded_paths = []
    for path in paths:
        with suppress(RuntimeError):
            expanded_paths.append(str(Path(path).expanduser()))
    return expanded_paths


def old_before(config: RecoverableConfig) -> datetime:
    """The moment before which files count as old."""
    return datetime.now(UTC) - timedelta(days=config.old_days)


def anything(_path: str, _status: os.stat_result) -> bool:
    """The rule that lets every file go."""
    return True


def unchanged_since(moment: datetime) -> Rule:
    """The rule that lets the files go whose content is older."""
    seconds = moment.timestamp()
    return lambda _path, status: status.st_mtime < seconds


def only_on(platform: str, name: str) -> None:
    """Raise NotApplicableError on other systems."""
    if sys.platform != platform:
        raise NotApplicableError(f"this host does not run {name}")


def scan_places(kind: str, places: Sequence[Place], config: RecoverableConfig) -> CheckResult:
    """Scan the places side by side. One that hangs or cannot be read is UNKNOWN by name, the others still count.

    Raises NotApplicableError where there is none of them.
    """
    if os.scandir not in os.supports_fd or os.open not in os.supports_dir_fd:
        raise NotApplicableError("this platform has no safe way to walk a directory tree")
    bounds = Bounds(time.monotonic() + config.max_seconds, config.max_entries, config.max_depth)
    outcomes = side_by_side(
        {place.path: partial(_scan, place, bounds, config) for place in places},
        timeout_seconds=config.patience_seconds,
    )
    outcomes = {path: each for path, each in outcomes.items() if not isinstance(each, FileNotFoundError)}
    if not outcomes:
        raise NotApplicableError(f"none of {', '.join(place.path for place in places)} exists")
    faults = {path: each for path, each in outcomes.items() if isinstance(each, BaseException)}
    found = _once([each for each in outcomes.values() if isinstance(each, Found)])
    readings = [_whole(found, faults, config), *_faults(faults, config)]
    return conclude(kind, readings, metrics=_metrics(found, config))


def _scan(place: Place, bounds: Bounds, config: RecoverableConfig) -> Found:
    large_bytes = int(config.large_file_mb * MIB)
    return Found(
        place,
        scan(
            place.path,
            bounds,
            old_before=old_before(config),
            rule=place.rule,
            top=config.top,
            large_bytes=large_bytes,
        ),
    )


def _once(found: Sequence[Found]) -> list[Found]:
    """Without what lies within another one: by a link, two paths may be one place, and nothing counts twice."""
    kept: list[Found] = []
    for each in sorted(found, key=lambda each: len(each.scan.path)):
        if not any(_holds(outer.scan, each.scan) for outer in kept):
            kept.append(each)
    return [each for each in found if each in kept]


def _holds(outer: Scan, inner: Scan) -> bool:
    is_below = f"{inner.path}/".startswith(f"{outer.path.rstrip('/')}/")
    return is_below and inner.device == outer.device


def _whole(found: Sequence[Found], faults: Mapping[str, BaseException], config: RecoverableConfig) -> Reading:
    """The verdict on all places together. Less than a threshold is no news while a place hangs."""
    if not found:
        return state(CheckStatus.UNKNOWN, "no place could be scanned")
    total_mb = _mb(sum(each.recoverable_bytes for each in found))
    reading = config.read(total_mb, _sentence(total_mb, found, faults, config))
    is_hung = any(isinstance(error, HungError) for error in faults.values())
    return state(CheckStatus.UNKNOWN, reading.message) if is_hung and reading.status not in BAD else reading


def _sentence(
    total_mb: float, found: Sequence[Found], faults: Mapping[str, BaseException], config: RecoverableConfig
) -> str:
    cuts = [text for bound, text in _cuts(config).items() if any(bound in each.scan.cut_by for each in found)]
    amount = f"{total_mb:,.0f} MB recoverable"
    sentence = f"At least {amount}" if cuts or faults else amount
    most = max(found, key=lambda each: each.recoverable_bytes)
    if most.recoverable_bytes:
        part_mb = _mb(most.recoverable_bytes)
        sentence += f"{f', {part_mb:,.0f} MB of it' if part_mb < total_mb else ''} in {most.scan.path}"
    return ", ".join([sentence, *cuts])


def _cuts(config: RecoverableConfig) -> dict[Bound, str]:
    return {
        Bound.SECONDS: f"scan stopped after {config.max_seconds:g} s",
        Bound.ENTRIES: f"scan stopped after {config.max_entries:,} entries",
        Bound.DEPTH: f"not scanned below {config.max_depth} levels of directories",
    }


def _faults(faults: Mapping[str, BaseException], config: RecoverableConfig) -> list[Reading]:
    return [
        state(CheckStatus.UNKNOWN, f"{path} {_fault(error, config)}", target=path)
        for path, error in faults.items()
    ]


def _fault(error: BaseException, config: RecoverableConfig) -> str:
    if isinstance(error, HungError):
        return f"did not answer within {config.patience_seconds:g} s"
    reason = error.strerror if isinstance(error, OSError) else None
    return f"cannot be read: {reason or f'{type(error).__name__}: {error}'}"


def _metrics(found: Sequence[Found], config: RecoverableConfig) -> dict[str, Any]:
    # Lists of records rather than paths as keys: a path may contain the name of a secret, whose value is hidden.
    scans = [each.scan for each in found]
    cut_by = {bound for each in scans for bound in each.cut_by}
    return {
        "total_recoverable_mb": _mb(sum(each.recoverable_bytes for each in found)),
        "scanned_mb": _mb(sum(each.total_bytes for each in scans)),
        "places": [_shown_place(each) for each in found],
        "space_hogs": _shown([hog for each in scans for hog in each.directories], config),
        "old_files": _shown([file for each in scans for file in each.old_files], config),
        "old_files_count": sum(each.old_files_seen for each in scans),
        "old_files_mb": _mb(sum(each.old_bytes for each in scans)),
        "large_files": _shown([file for each in scans for file in each.large_files], config),
        "recommendations": [text for each in found for text in _recommendations(each, config)],
        "scan_complete": not cut_by,
        "scan_cut_by": sorted(bound.value for bound in cut_by),
        "entries_seen": sum(each.entries_seen for each in scans),
        "denied": sum(each.denied for each in scans),
        "vanished": sum(each.vanished for each in scans),
    }


def _shown_place(found: Found) -> dict[str, Any]:
    return {
        "path": found.scan.path,
        "size_mb": _mb(found.scan.total_bytes),
        "recoverable_mb": _mb(found.recoverable_bytes),
    }


def _shown(items: Sequence[FoundDirectory | FoundFile], config: RecoverableConfig) -> list[dict[str, Any]]:
    """The largest of all places, without those too small to be seen in the unit."""
    largest = sorted(items, key=lambda item: -item.size_bytes)[: config.top]
    return [_shown_item(item) for item in largest if _mb(item.size_bytes)]


def _shown_item(item: FoundDirectory | FoundFile) -> dict[str, Any]:
    shown = {"path": item.path, "size_mb": _mb(item.size_bytes)}
    return shown | {"modified_at": item.modified_at.isoformat()} if isinstance(item, FoundFile) else shown


def _recommendations(found: Found, config: RecoverableConfig) -> Iterator[str]:
    recoverable_mb, size_mb = _mb(found.recoverable_bytes), _mb(found.scan.total_bytes)
    if found.place.advice and recoverable_mb >= WORTH_A_WORD_MB:
        yield f"{found.scan.path}, {recoverable_mb:,.0f} MB: {found.place.advice}"
    if found.place.size_advice and size_mb >= config.warning_threshold:
        yield f"{found.scan.path}, {size_mb:,.0f} MB: {found.place.size_advice}"


def _mb(size_bytes: int) -> float:
    return round(size_bytes / MIB, 1)
