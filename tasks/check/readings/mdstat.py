"""Linux software RAID, as the kernel tells it in /proc/mdstat (drivers/md/md.c, md_seq_show).

md0 : active raid1 sdb1[1](F) sda1[0]
      1953382400 blocks super 1.2 [2/1] [U_]
      [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from storage.records import Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import state
from tasks.check.readings.text import decoded

ARRAYS = re.compile(r"^(?=md\S* : )", re.MULTILINE)
HEAD = re.compile(r"(md\S*) : (active|inactive|broken)((?: \([a-z-]+\))*)(?: ([a-z]\w*)(?!\S))?(.*)")
MEMBER = re.compile(r"(\S+?)\[\d+\]((?:\([A-Z]\))*)")
SLOTS = re.compile(r"\[(\d+)/(\d+)\]")
ACTION = re.compile(r"(resync|recovery|reshape|check)\s*=\s*(?:([\d.]+)%|([A-Z]+))")
# What holds the drives of firmware RAID together is never active itself; its arrays say "external:/md127/0".
CONTAINER = re.compile(r"super external:[^/\s]")
MAX_NAMES = 50


@dataclass(frozen=True)
class Array:
    """One array. `devices` and `active` count its slots and those in use; None for a level with none to lose.

    `action` is what it does to its devices: recovery, resync, check, repair, reshape, or pending resync, one that
    begins with the first write. `progress_percent` is how far that is; None while it waits for another array.
    """

    name: str
    state: str
    level: str
    is_read_only: bool
    members: tuple[str, ...]
    failed: tuple[str, ...]
    devices: int | None
    active: int | None
    action: str = ""
    progress_percent: float | None = None

    @property
    def missing(self) -> int:
        """How many slots are empty."""
        return (self.devices or 0) - (self.active or 0)


def read(mdstat: Path, sys_block: Path) -> list[tuple[Reading, dict[str, Any]]]:
    """Verdict and metrics of each array; none where the kernel has no software RAID."""
    try:
        text = decoded(mdstat.read_bytes())
    except FileNotFoundError:
        return []
    arrays = [_exactly(array, sys_block) for array in parse(text)]
    return [(state(*verdict(array), target=array.name), _metrics(array)) for array in arrays]


def parse(text: str) -> list[Array]:
    """The arrays in a /proc/mdstat. What has no members is no array, only a name that somebody opened."""
    blocks = [block for block in ARRAYS.split(text)[1:] if not CONTAINER.search(block)]
    return [array for array in map(_array, blocks) if array.members]


def verdict(array: Array) -> tuple[CheckStatus, str]:
    """How bad it is, by the table in checkers/raid.py."""
    name = f"{array.name} ({array.level})" if array.level else array.name
    failed = f", failed: {', '.join(array.failed[:MAX_NAMES])}" if array.failed else ""
    status, sentence = _condition(array)
    return status, f"{name} {sentence}{failed}"


def _condition(array: Array) -> tuple[CheckStatus, str]:
    if array.state == "inactive":
        return CheckStatus.CRITICAL, "is inactive: it was not started"
    if array.state == "broken" or (array.devices is None and array.failed):
        return CheckStatus.CRITICAL, "is broken"
    if array.missing > 0:
        return _degraded(array)
    if array.action == "resync":
        return CheckStatus.WARNING, f"is being resynchronised{_progress(array)}"
    if array.failed:
        return CheckStatus.WARNING, "is complete, but a device of it has failed"
    # A recovery of what is complete copies a device to its replacement (mdadm --replace).
    return CheckStatus.OK, f"is complete{f' ({array.action}{_progress(array)})' if array.action else ''}"


def _degraded(array: Array) -> tuple[CheckStatus, str]:
    count = f"{array.active} of {array.devices} devices active"
    if array.action == "recovery":
        return CheckStatus.WARNING, f"is degraded and being rebuilt{_progress(array)}, {count}"
    return CheckStatus.CRITICAL, f"is degraded, {count}"


def _array(block: str) -> Array:
    head = HEAD.match(block)
    name, condition, mode, level, rest = head.groups("") if head else ("", "", "", "", "")
    members = MEMBER.findall(rest)
    slots = SLOTS.search(block)
    array = Array(
        name=name,
        state=condition,
        level=level,
        is_read_only="read-only" in mode,
        members=tuple(member for member, _ in members),
        failed=tuple(member for member, flags in members if "(F)" in flags),
        devices=int(slots[1]) if slots else None,
        active=int(slots[2]) if slots else None,
    )
    found = ACTION.search(block)
    return _with_action(array, *found.groups()) if found else array


def _with_action(array: Array, action: str, percent: str | None, wait: str | None) -> Array:
    """The text calls whatever waits a resync."""
    if percent:
        return replace(array, action=action, progress_percent=float(percent))
    if wait == "PENDING" and array.is_read_only:
        return replace(array, action="pending resync")
    return replace(array, action="recovery" if array.missing > 0 and wait == "DELAYED" else action)


def _exactly(array: Array, sys_block: Path) -> Array:
    """The array with its action as sysfs has it: the text calls a repair a resync, and a check that waits too.

    A monthly check queues behind that of another array, and must alarm nobody.
    """
    if array.action not in {"resync", "recovery"}:
        return array
    try:
        action = (sys_block / array.name / "md" / "sync_action").read_text().strip()
    except (OSError, ValueError):
        return array
    action = {"recover": "recovery"}.get(action, action)
    return replace(array, action=action) if action in {"recovery", "resync", "check", "repair"} else array


def _progress(array: Array) -> str:
    return "" if array.progress_percent is None else f", {array.progress_percent:g} % done"


def _metrics(array: Array) -> dict[str, Any]:
    return {
        "name": array.name,
        "level": array.level,
        "state": array.state,
        "devices": array.devices if array.devices is not None else len(array.members),
        "active": array.active if array.devices is not None else len(array.members) - len(array.failed),
        "failed": list(array.failed[:MAX_NAMES]),
        "action": array.action,
        "progress_percent": array.progress_percent,
    }
