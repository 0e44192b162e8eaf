"""Whether redundant storage is still redundant."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.calls import HungError, side_by_side
from tasks.check.checkers.base import Checker, CheckerConfig, NotApplicableError, conclude, state
from tasks.check.readings import btrfs, mdstat, zpool

MDSTAT = Path("/proc/mdstat")
SYS_BLOCK = Path("/sys/block")
ZFS_KSTATS = Path("/proc/spl/kstat/zfs")
BTRFS = Path("/sys/fs/btrfs")
# Of the timeout: each kind of storage answers, or is given up, before the whole checker counts as hung.
SHARE_FOR_EACH = 0.9
SHARE_FOR_ZPOOL = 0.8
MAX_LISTED = 50
MAX_TEXT_CHARS = 200

Found = list[tuple[Reading, dict[str, Any]]]


@dataclass(frozen=True)
class Raid(Checker):
    """Linux software RAID, ZFS pools and mounted btrfs file systems, a reading for each.

    Targets are `md0`, `zpool tank`, `btrfs <label>` (the UUID where a label is missing or not unique); a kind of
    storage that cannot be read at all is UNKNOWN as `mdstat`, `zpool` or `btrfs`, and the others still count.

    ======== ============================================ =========================================
    verdict  md                                           ZFS, btrfs
    ======== ============================================ =========================================
    critical degraded; inactive; failed (raid0, linear    any state but ONLINE; damaged files;
             have no more to lose)                        btrfs device missing
    warning  degraded and being rebuilt; resync; complete DEGRADED and resilvering; ONLINE with
             but with a failed device                     errors; btrfs replacing a missing device,
                                                          or with counted errors
    ok       complete, also during check, repair,         ONLINE, also during a scrub
             reshape and `mdadm --replace`, or with a
             resync that waits for the first write
    ======== ============================================ =========================================

    Containers of firmware RAID are always inactive, and no arrays. Counted errors stay until somebody resets them
    (`zpool clear`, `btrfs device stats --reset`).
    """

    kind: ClassVar[str] = "raid"
    measures: ClassVar[str] = "software RAID, ZFS pools and btrfs file systems"

    class Config(CheckerConfig):
        """There is nothing to set: redundancy is there or it is not."""

    config: Config

    def measure(self) -> CheckResult:
        """Read all kinds of storage side by side."""
        timeout_seconds = SHARE_FOR_EACH * self.config.timeout
        zpool_seconds = SHARE_FOR_ZPOOL * self.config.timeout
        sources: dict[str, Callable[[], Found]] = {
            "mdstat": partial(mdstat.read, MDSTAT, SYS_BLOCK),
            "zpool": partial(zpool.read, ZFS_KSTATS, timeout_seconds=zpool_seconds),
            "btrfs": partial(btrfs.read, BTRFS),
        }
        answers = side_by_side(sources, timeout_seconds=timeout_seconds)
        found = {kind: answer if isinstance(answer, list) else [] for kind, answer in answers.items()}
        readings = [reading for each in found.values() for reading, _ in each]
        readings += [_unread(kind, fault) for kind, fault in answers.items() if isinstance(fault, BaseException)]
        if not readings:
            raise NotApplicableError("no software RAID, ZFS pool or mounted btrfs file system")
        names = {"arrays": "mdstat", "pools": "zpool", "file_systems": "btrfs"}
        metrics = {name: [each for _, each in found[kind][:MAX_LISTED]] for name, kind in names.items()}
        return conclude(self.kind, readings, metrics=metrics)


def _unread(kind: str, fault: BaseException) -> Reading:
    is_hung = isinstance(fault, HungError)
    reason = "no answer in time" if is_hung else f"{type(fault).__name__}: {str(fault)[:MAX_TEXT_CHARS]}"
    return state(CheckStatus.UNKNOWN, f"{kind} cannot be read: {reason}", target=kind)
