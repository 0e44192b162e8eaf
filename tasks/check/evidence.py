"""A bounded snapshot of this host, for whoever has to find out what is wrong with it."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import psutil

from tasks.check.checkers.base import gib
from tasks.check.fit import fit
from tasks.check.readings.busy import watch_processes
from tasks.check.readings.mounts import inodes, local_mounts, survey
from tasks.check.readings.traffic import watch_interfaces

WINDOW_SECONDS = 0.3  # what rates and per cents of processor time are of
DISKS_SECONDS = 1.0
MAX_DISKS = 10
MAX_ERRORS = 10
MAX_BYTES = 8_000

Watch = Callable[[], Callable[[], Any]]


def snapshot() -> dict[str, Any]:
    """What the host looks like now, as JSON; sizes in GiB, `disks` the fullest first.

    A part that cannot be read is left out, and `errors` says why. Nothing that may hold a secret is read: no
    command lines, no environments.
    """
    errors: list[str] = []
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    watched = _read(_WATCHES, errors)
    time.sleep(WINDOW_SECONDS)
    changes = _read(watched, errors)
    state = _read(_PARTS, errors)
    if "disks" in state:
        state["disks"], faults = state["disks"]
        errors += faults
    evidence = {"hostname": socket.gethostname(), "measured_at": measured_at, **state, **changes}
    evidence |= {"errors": errors[:MAX_ERRORS]} if errors else {}
    return fit(evidence, MAX_BYTES) | {"measured_at": measured_at}


def _read(parts: Mapping[str, Callable[[], Any]], errors: list[str]) -> dict[str, Any]:
    found = {}
    for name, read in parts.items():
        try:
            found[name] = read()
        # Platforms and containers lack sources in many ways. The other parts are told all the same.
        except Exception as error:  # noqa: BLE001
            errors.append(f"{name}: {type(error).__name__}: {error}")
    return found


def _load_averages() -> list[float]:
    return [round(load, 2) for load in psutil.getloadavg()]


def _uptime_seconds() -> int:
    return int(time.time() - psutil.boot_time())


def _memory() -> dict[str, float]:
    memory = psutil.virtual_memory()
    return {
        "used_percent": memory.percent,
        "total_gb": gib(memory.total),
        "used_gb": gib(memory.used),
        "available_gb": gib(memory.available),
    }


def _swap() -> dict[str, float]:
    swap = psutil.swap_memory()
    return {"used_percent": swap.percent, "total_gb": gib(swap.total), "used_gb": gib(swap.used)}


def _watch_cpu() -> Callable[[], dict[str, float]]:
    """Shares of all processors' time. What this process did itself counts in none of them."""
    before, own_before = psutil.cpu_times(), time.process_time()

    def shares() -> dict[str, float]:
        after, own_seconds = psutil.cpu_times(), time.process_time() - own_before
        spent = {key: max(0.0, getattr(after, key) - getattr(before, key)) for key in after._fields}
        # Linux counts the time of guests as user time as well.
        total = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
        waiting, stolen = spent.get("iowait", 0.0), spent.get("steal", 0.0)
        seconds = {
            "busy_percent": total - spent["idle"] - waiting - stolen - own_seconds,
            "iowait_percent": waiting,
            "steal_percent": stolen,
        }
        return {key: round(max(0.0, 100 * value / max(total, 0.001)), 1) for key, value in seconds.items()}

    return shares


def _disks() -> tuple[list[dict[str, Any]], list[str]]:
    """The worst of them by space or inodes, and a sentence of each that does not answer."""
    file_systems = local_mounts()
    found = survey(_disk, None, timeout_seconds=DISKS_SECONDS)
    readings = [
        {"path": path, "file_system": file_systems.get(path, ""), **reading}
        for path, reading in found.answers.items()
    ]
    worst_first = sorted(readings, key=lambda disk: -max(disk["used_percent"], disk["inodes_percent"] or 0))
    return worst_first[:MAX_DISKS], list(found.faults.values())


def _disk(path: str) -> dict[str, Any]:
    usage, count = psutil.disk_usage(path), inodes(path)
    return {
        "used_percent": usage.percent,
        "inodes_percent": count.percent if count else None,
        "total_gb": gib(usage.total),
        "free_gb": gib(usage.free),
    }


_WATCHES: dict[str, Watch] = {
    "cpu": _watch_cpu,
    "network": watch_interfaces,
    "processes": watch_processes,
}
_PARTS: dict[str, Callable[[], Any]] = {
    "load_averages": _load_averages,
    "cpu_count": os.cpu_count,
    "uptime_seconds": _uptime_seconds,
    "memory": _memory,
    "swap": _swap,
    "disks": _disks,
}
