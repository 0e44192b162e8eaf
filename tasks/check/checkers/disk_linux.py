"""What could be deleted of the packages, journals, container logs and snaps that a Linux host gathers."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from os import stat_result
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from storage.records import CheckResult
from tasks.check.checkers.base import Checker
from tasks.check.checkers.recoverable import (
    MIB,
    Place,
    RecoverableConfig,
    anything,
    old_before,
    only_on,
    scan_places,
    unchanged_since,
)
from tasks.check.readings.scan import Rule

APT_ARCHIVES = Path("/var/cache/apt/archives")
JOURNAL = Path("/var/log/journal")
DOCKER = Path("/var/lib/docker")
SNAPD = Path("/var/lib/snapd")
JOURNAL_KEPT_MB = 200
# What journald no longer writes to: rotated files have their first entry in the name, broken ones a tilde.
ARCHIVED_JOURNAL = re.compile(r"@[^/]*\.journal$|\.journal~$")
# Of Docker's two own log drivers.
ROTATED_CONTAINER_LOG = re.compile(r"^containers/[^/]+/([^/]+-json|local-logs/container)\.log\.\d+(\.gz)?$")
# name_revision.snap; revisions of what was installed from a file have an x.
SNAP = re.compile(r"^(?P<snap>.+_x?)(?P<revision>\d+)\.snap$")


@dataclass(frozen=True)
class DiskLinux(Checker):
    """What could be deleted of what package managers, journald, Docker and snapd gather on a Linux host.

    Of apt that is every downloaded package. Of the journal it is what `journalctl --vacuum-size=200M` removes: no
    file that is written to, and nothing of the last 200 MB. Of snapd it is every revision of a snap but the
    highest, and what is left of downloads. Of Docker it is rotated container logs, and what has lain in its tmp
    folder for `old_days`: which images, containers and volumes nobody needs, only Docker knows.
    """

    kind: ClassVar[str] = "disk_linux"
    measures: ClassVar[str] = "what could be deleted of packages, journals, container logs and snaps"

    class Config(RecoverableConfig):
        """`places`: where to look; one that does not exist is left out."""

        places: list[Literal["apt", "journal", "docker", "snapd"]] = Field(
            default=["apt", "journal", "docker", "snapd"], min_length=1, max_length=4
        )

    config: Config

    def measure(self) -> CheckResult:
        """Scan all places."""
        only_on("linux", "Linux")
        return scan_places(self.kind, [PLACES[name](self.config) for name in self.config.places], self.config)


def _apt(_config: RecoverableConfig) -> Place:
    return Place(
        str(APT_ARCHIVES), anything, "downloaded packages, which apt fetches again if need be: apt-get clean"
    )


def _journal(_config: RecoverableConfig) -> Place:
    return Place(
        str(JOURNAL),
        lambda path, _status: ARCHIVED_JOURNAL.search(path) is not None,
        f"journal beyond its last {JOURNAL_KEPT_MB} MB: journalctl --vacuum-size={JOURNAL_KEPT_MB}M",
        kept_bytes=JOURNAL_KEPT_MB * MIB,
    )


def _docker(config: RecoverableConfig) -> Place:
    return Place(
        str(DOCKER),
        _docker_leftovers(config),
        "rotated container logs and old temporary files, to see the largest: "
        f"du -xah --exclude=overlay2 {DOCKER}/ | sort -h | tail -n 20",
        "docker system df shows what of it nobody uses; docker system prune removes stopped containers, unused "
        "networks, dangling images and unused build cache",
    )


def _docker_leftovers(config: RecoverableConfig) -> Rule:
    is_old = unchanged_since(old_before(config))

    def can_go(path: str, status: stat_result) -> bool:
        if path.startswith("tmp/"):
            return is_old(path, status)
        return ROTATED_CONTAINER_LOG.search(path) is not None

    return can_go


def _snapd(_config: RecoverableConfig) -> Place:
    return Place(
        str(SNAPD),
        _OldRevisions(SNAPD / "snaps"),
        "old revisions of snaps; snap list --all shows them as disabled, snap remove NAME --revision=N removes "
        "one, and fewer are kept after: snap set system refresh.retain=2",
    )


class _OldRevisions:
    """The rule for snapd. A snap in use has a second name among the downloads, so those alone free nothing."""

    def __init__(self, snaps: Path) -> None:
        self._snaps = snaps

    def __call__(self, path: str, _status: stat_result) -> bool:
        return path.startswith("cache/") or path in self._paths

    @cached_property
    def _paths(self) -> set[str]:
        """Read when the scan asks, which is not waited for too long."""
        try:
            found = [match for entry in self._snaps.iterdir() if (match := SNAP.match(entry.name))]
        except FileNotFoundError:
            return set()
        highest: dict[str, int] = {}
        for match in found:
            highest[match["snap"]] = max(int(match["revision"]), highest.get(match["snap"], 0))
        return {f"snaps/{match[0]}" for match in found if int(match["revision"]) < highest[match["snap"]]}


PLACES: dict[str, Callable[[RecoverableConfig], Place]] = {
    "apt": _apt,
    "journal": _journal,
    "docker": _docker,
    "snapd": _snapd,
}
