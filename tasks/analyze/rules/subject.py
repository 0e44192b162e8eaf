"""Something that goes wrong in its own way: the kind of problem, the words for it, and where to look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage.records import CheckResult
from storage.vocabulary import CheckStatus, RecommendationType
from tasks.analyze.rules.naming import Namer, nothing

BAD = (CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.CRITICAL)
# Checkers whose readings are of space that could be had back, and no sign of trouble by themselves.
RECOVERABLE = ("disk_common", "disk_linux", "disk_macos")


def no_commands(_name: str) -> list[str]:
    """Of a subject without things that have names."""
    return []


def bad_targets(check: CheckResult) -> list[str]:
    """The things that a checker found to be bad, the worst first."""
    bad = [reading for reading in check.readings if reading.status in BAD and reading.target]
    return [reading.target for reading in sorted(bad, key=lambda reading: -reading.status.rank)]


def lost_hosts(check: CheckResult) -> list[str]:
    """The hosts that did not answer the network checker."""
    hosts = check.metrics.get("hosts", {})
    return [host for host, found in hosts.items() if not found.get("reachable", True)]


def scanned_folders(check: CheckResult) -> list[str]:
    """The folders where there is something to be had back, the most first."""
    places = [place for place in check.metrics.get("places", []) if place["recoverable_mb"]]
    return [place["path"] for place in sorted(places, key=lambda place: -place["recoverable_mb"])]


@dataclass(frozen=True)
class Subject:
    """Something that goes wrong in its own way.

    `terms` are words of an incident that mean this one of all of its kind; what `is_apart` is meant only then:
    a hot processor confirms nothing of a busy one. `happened`: what must have been, of something that is over
    by the time that it is told of, so that a normal reading says nothing against it. `has_names`: an alert about
    one (a unit, a URL) says nothing of the others. `look` are commands for it as a whole, `look_at` those for
    each thing: the `targets` that a reading found to be bad, and what the alert `names`. `is_outside`: such a
    thing is asked from anywhere.
    """

    topic: RecommendationType
    noun: str
    title: str
    look: Sequence[str]
    terms: str = ""
    is_apart: bool = False
    happened: str = ""
    has_names: bool = False
    look_at: Callable[[str], list[str]] = no_commands
    targets: Callable[[CheckResult], list[str]] = bad_targets
    names: Namer = nothing
    is_outside: bool = False
