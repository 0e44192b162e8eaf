"""What could be deleted from logs, caches and temporary folders."""

import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import stat_result
from pathlib import PurePath
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from storage.records import CheckResult
from tasks.check.checkers.base import Checker
from tasks.check.checkers.recoverable import (
    Place,
    RecoverableConfig,
    anything,
    expanded,
    old_before,
    scan_places,
    unchanged_since,
)
from tasks.check.readings.scan import Rule

PATHS = ("/var/log", "~/.cache", "/tmp", "/var/tmp")  # noqa: S108  (looked at, never written to)
LOG_NAMES = {"log", "logs"}
CACHE_NAMES = {".cache", "Caches"}
VAR_CACHE = PurePath("/var/cache")  # elsewhere a folder called cache may be anything
# What logrotate leaves (messages.1, messages-20250101.gz), newsyslog (system.log.0.gz) and savelog (x.old). A
# number after a number is none of these, but the end of an address or a version (log.10.0.0.5).
ROTATED = re.compile(r"\.(gz|bz2|xz|zst|lz4|Z|old)$|(?<!\d)\.\d{1,3}$|-\d{8,10}$")
# Some programs go on writing to a log that was just rotated, and some write to one that is named by the day.
QUIET = timedelta(days=1)
# journald keeps its files within a limit of their own, and disk_linux counts them.
JOURNAL = (".journal", ".journal~")
# Absolute or in the home of the user that the process runs as; without NUL, which no database column takes.
TreePath = Annotated[str, StringConstraints(pattern=r"^(/|~(/|$))[^\x00]*$", max_length=400)]


@dataclass(frozen=True)
class DiskCommon(Checker):
    """What could be deleted of what gathers on every Unix.

    Of a cache (.cache, Caches, /var/cache and what is below them) that is all files. Of logs (log, logs and what
    is below them) it is what was rotated (by its name, and not written for a day) and what has not been written
    for `old_days`: neither a log in use nor the journal. Of any other folder, as /tmp, it is what has not been
    written for `old_days`. `space_hogs` (the largest folders directly below a path), `old_files` and
    `large_files` are views of the same files, not added to the sum.
    """

    kind: ClassVar[str] = "disk_common"
    measures: ClassVar[str] = "what could be deleted from logs, caches and temporary folders"

    class Config(RecoverableConfig):
        """`paths`: directory trees; those that do not exist are left out. `~` is the process's user's home."""

        paths: list[TreePath] = Field(default=list(PATHS), min_length=1, max_length=20)

    config: Config

    def measure(self) -> CheckResult:
        """Scan all paths."""
        return scan_places(self.kind, _places(self.config), self.config)


def _places(config: DiskCommon.Config) -> list[Place]:
    return [_place(path, config) for path in expanded(config.paths)]


def _place(path: str, config: DiskCommon.Config) -> Place:
    is_old = unchanged_since(old_before(config))
    quoted = shlex.quote(f"{path.rstrip('/')}/")  # with a slash, that a link is followed
    see_largest = f"to see the largest: du -xah {quoted} | sort -h | tail -n 20"
    names = set(PurePath(path).parts)
    if names & CACHE_NAMES or PurePath(path).is_relative_to(VAR_CACHE):
        return Place(path, anything, f"programs make their caches anew, {see_largest}")
    if names & LOG_NAMES:
        return Place(path, _past_logs(is_old), f"rotated and old logs, {see_largest}")
    # -mtime counts whole days: more than 29 of them is 30 or more.
    see_old = f"to see them: find {quoted} -xdev -type f -mtime +{config.old_days - 1} -ls"
    return Place(path, is_old, f"files unchanged for {config.old_days} days, {see_old}")


def _past_logs(is_old: Rule) -> Rule:
    is_quiet = unchanged_since(datetime.now(UTC) - QUIET)

    def can_go(path: str, status: stat_result) -> bool:
        if path.endswith(JOURNAL):
            return False
        return is_old(path, status) or (ROTATED.search(path) is not None and is_quiet(path, status))

    return can_go
