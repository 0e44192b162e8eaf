"""What could be deleted of the caches, builds and downloads that a Mac gathers."""

import shlex
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from storage.records import CheckResult
from tasks.check.checkers.base import Checker
from tasks.check.checkers.recoverable import (
    Place,
    RecoverableConfig,
    anything,
    expanded,
    old_before,
    only_on,
    scan_places,
    unchanged_since,
)

PATHS = {
    "caches": "~/Library/Caches",
    "derived_data": "~/Library/Developer/Xcode/DerivedData",
    "downloads": "~/Downloads",
}


@dataclass(frozen=True)
class DiskMacOS(Checker):
    """What could be deleted of what gathers in the home of the user that the process runs as, on macOS.

    Of the caches and of Xcode's derived data (builds, indexes) that is all files: both are made anew. Of the
    downloads it is what has not been written for `old_days`. macOS closes folders to programs that were not
    allowed in (Privacy & Security, Full Disk Access): such a place is UNKNOWN, or left out with `places`.
    """

    kind: ClassVar[str] = "disk_macos"
    measures: ClassVar[str] = "what could be deleted of caches, Xcode's builds and old downloads"

    class Config(RecoverableConfig):
        """`places`: where to look; one that does not exist is left out."""

        places: list[Literal["caches", "derived_data", "downloads"]] = Field(
            default=["caches", "derived_data", "downloads"], min_length=1, max_length=3
        )

    config: Config

    def measure(self) -> CheckResult:
        """Scan all places."""
        only_on("darwin", "macOS")
        return scan_places(self.kind, _places(self.config), self.config)


def _places(config: DiskMacOS.Config) -> list[Place]:
    return [_place(name, path, config) for name in config.places for path in expanded([PATHS[name]])]


def _place(name: str, path: str, config: RecoverableConfig) -> Place:
    to_see = f"to see the largest: du -xhd 1 {shlex.quote(f'{path}/')} | sort -h | tail -n 20"
    if name == "downloads":
        return Place(
            path, unchanged_since(old_before(config)), f"downloads unchanged for {config.old_days} days, {to_see}"
        )
    if name == "derived_data":
        return Place(path, anything, f"Xcode builds it anew; delete it in Xcode's Settings, Locations; {to_see}")
    return Place(path, anything, f"programs make their caches anew, {to_see}")
