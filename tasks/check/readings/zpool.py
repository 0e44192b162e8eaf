"""ZFS pools, as the kernel and the program `zpool` tell of them.

The program says why, but waits for ever on a pool whose drives are gone (failmode=wait). The kernel's own word on
Linux never waits (OpenZFS, spa_state_init): /proc/spl/kstat/zfs/<pool>/state, ONLINE or what `zpool list` shows,
and SUSPENDED for such a pool. So that is asked first, and the program not at all where it would hang.
"""

import re
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from storage.records import Reading
from storage.vocabulary import CheckStatus
from tasks.check.calls import Call, HungError
from tasks.check.checkers.base import state
from tasks.check.readings import programs
from tasks.check.readings.zpool_status import Pool, parse

# What `zpool` says where ZFS is installed and not in use.
NOT_IN_USE = re.compile(r"modules|initialize (the )?libzfs|initialize ZFS library", re.IGNORECASE)
MAX_TEXT_CHARS = 200
MAX_NAMES = 50


def read(kstats: Path, *, timeout_seconds: float) -> list[tuple[Reading, dict[str, Any]]]:
    """Verdict and metrics of each pool; none where there is no ZFS.

    Raises OSError, TimeoutExpired or HungError where neither kernel nor program says which pools there are.
    """
    pools = _kernels_word(kstats)
    is_answered = True
    if not any(pool.health == "SUSPENDED" for pool in pools):
        try:
            pools = _ask_in_time(timeout_seconds)
        except FileNotFoundError:
            pass  # a container sees the host's pools, and has no program for them
        except (HungError, subprocess.TimeoutExpired, OSError):
            if not pools:
                raise
            is_answered = False
    return [(state(*verdict(pool, is_answered=is_answered), target=pool.target), _metrics(pool)) for pool in pools]


def verdict(pool: Pool, *, is_answered: bool) -> tuple[CheckStatus, str]:
    """How bad it is, by the table in checkers/raid.py. `is_answered`: whether the program said its word."""
    thing = f"{pool.target} is {pool.health}"
    why = _why(pool)
    if pool.health == "ONLINE":
        if not is_answered:
            return CheckStatus.UNKNOWN, f"{thing}, but the program zpool does not answer"
        if pool.has_data_errors:
            return CheckStatus.CRITICAL, f"{thing} with damaged files{why}"
        return (CheckStatus.WARNING, f"{thing} with errors{why}") if pool.is_news else (CheckStatus.OK, thing)
    if pool.health == "TRANSITIONING":
        return CheckStatus.UNKNOWN, f"{thing}: it is being imported or exported"
    if pool.health == "DEGRADED" and pool.is_resilvering and not pool.has_data_errors:
        return CheckStatus.WARNING, f"{thing} and being rebuilt{why}"
    return CheckStatus.CRITICAL, f"{thing}{why}"


def _kernels_word(kstats: Path) -> list[Pool]:
    pools = []
    for path in sorted(kstats.glob("*/state")):
        with suppress(OSError):  # exported meanwhile
            pools.append(Pool(path.parent.name, path.read_text(errors="replace").strip()[:MAX_TEXT_CHARS]))
    return pools


def _ask_in_time(timeout_seconds: float) -> list[Pool]:
    """Ask in a thread of its own: what waits for its pool in the kernel does not even die when killed."""
    call = Call(partial(_ask, timeout_seconds / 2), name="zpool")
    return call.result(until=time.monotonic() + timeout_seconds)


def _ask(timeout_seconds: float) -> list[Pool]:
    healths = _answer(timeout_seconds, "list", "-H", "-o", "name,health")
    return parse(healths, _answer(timeout_seconds, "status", "-x")) if healths else []


def _answer(timeout_seconds: float, *arguments: str) -> str:
    ended = programs.run("zpool", *arguments, timeout_seconds=timeout_seconds)
    if ended.code == 0:
        return ended.output
    if NOT_IN_USE.search(ended.errors):
        raise FileNotFoundError("ZFS is not in use")
    raise OSError(f"zpool {arguments[0]}: {ended.complaint}")


def _why(pool: Pool) -> str:
    """What the program says of it, in a few words."""
    done = f", {pool.progress_percent:g} % done" if pool.progress_percent is not None else ""
    failed = f", not in use: {', '.join(pool.failed[:MAX_NAMES])}" if pool.failed else ""
    faulty = f", errors on: {', '.join(pool.faulty[:MAX_NAMES])}" if pool.faulty else ""
    status = " ".join(pool.told.get("status", "").split())[:MAX_TEXT_CHARS]
    return f"{done}{failed}{faulty}{': ' + status if status else ''}"


def _metrics(pool: Pool) -> dict[str, Any]:
    return {
        "name": pool.name,
        "state": pool.health,
        "failed": list(pool.failed[:MAX_NAMES]),
        "faulty": list(pool.faulty[:MAX_NAMES]),
        "action": "resilver" if pool.is_resilvering else "",
        "progress_percent": pool.progress_percent,
    }
