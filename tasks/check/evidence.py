"""A bounded snapshot of this host, for whoever has to find out what is wrong with it."""

import socket
import time
from collections.abc import Callable
from typing import Any

import psutil

from tasks.check.checkers.base import gib

MAX_DISKS = 10
MAX_TEXT_CHARS = 120
MIB = 1024**2
# A host may run tens of thousands of processes; the snapshot must not take longer for it.
PROCESS_SCAN_SECONDS = 0.12
# Images that are always full, so their fullness is no news.
IMAGE_FILE_SYSTEMS = {"squashfs", "iso9660", "erofs", "cramfs", "udf"}


def snapshot() -> dict[str, Any]:
    """What the host looks like now, as JSON; sizes in GiB, `disks` the fullest first.

    A part that cannot be read is left out, and `errors` says why.
    """
    evidence: dict[str, Any] = {"hostname": socket.gethostname()}
    errors: list[str] = []
    for name, read in _PARTS.items():
        try:
            evidence[name] = read()
        # AttributeError and RuntimeError: how psutil says that a platform or a container lacks the source.
        except (OSError, psutil.Error, AttributeError, RuntimeError) as error:
            errors.append(f"{name}: {type(error).__name__}: {error}")
    if errors:
        evidence["errors"] = errors
    return evidence


def top_processes(count: int = 5) -> dict[str, Any]:
    """The processes that hold the most memory, and those that used the most processor time since their start.

    `is_complete` is false where there were too many to look at in the time allowed.
    """
    processes, is_complete = _processes()
    by_memory = sorted(processes, key=lambda process: process["rss_mb"], reverse=True)[:count]
    by_cpu = sorted(processes, key=lambda process: process["cpu_seconds"], reverse=True)[:count]
    return {
        "by_memory": [_only(process, "pid", "name", "rss_mb", "memory_percent") for process in by_memory],
        "by_cpu": [_only(process, "pid", "name", "cpu_seconds") for process in by_cpu],
        "seen": len(processes),
        "is_complete": is_complete,
    }


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


def _disks() -> list[dict[str, Any]]:
    readings: list[dict[str, Any]] = []
    for path, file_system in _mounts().items():
        try:
            usage = psutil.disk_usage(path)
        except OSError:
            continue  # unmounted since it was listed, or closed to us: nothing to say about it
        readings.append(
            {
                "path": _storable(path),
                "file_system": file_system,
                "used_percent": usage.percent,
                "total_gb": gib(usage.total),
                "free_gb": gib(usage.free),
            }
        )
    return sorted(readings, key=lambda reading: reading["used_percent"], reverse=True)[:MAX_DISKS]


def _mounts() -> dict[str, str]:
    """Mount points of local file systems with their type, one for each device; in a container at least `/`.

    Network file systems are left out by psutil's `all=False`: asking one whose server is gone never returns.
    """
    by_device = {
        mount.device: mount
        for mount in reversed(psutil.disk_partitions(all=False))
        if mount.fstype not in IMAGE_FILE_SYSTEMS
    }
    mounts = {mount.mountpoint: mount.fstype for mount in by_device.values()}
    return mounts if "/" in mounts else {"/": "", **mounts}


def _processes() -> tuple[list[dict[str, Any]], bool]:
    total_bytes = psutil.virtual_memory().total
    deadline = time.monotonic() + PROCESS_SCAN_SECONDS
    processes = []
    # process_iter passes over what vanishes while it is read; what it may not see is None.
    for process in psutil.process_iter(["pid", "name", "memory_info", "cpu_times"]):
        processes.append(_process(process.info, total_bytes))
        if time.monotonic() > deadline:
            return processes, False
    return processes, True


def _process(info: dict[str, Any], total_bytes: int) -> dict[str, Any]:
    rss_bytes = info["memory_info"].rss if info["memory_info"] else 0
    times = info["cpu_times"]
    return {
        "pid": info["pid"],
        "name": _storable(info["name"] or "?"),
        "rss_mb": round(rss_bytes / MIB, 1),
        "memory_percent": round(100 * rss_bytes / total_bytes, 1),
        "cpu_seconds": round(times.user + times.system, 1) if times else 0.0,
    }


def _only(process: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: process[key] for key in keys}


def _storable(name: str) -> str:
    """A name as valid text: any bytes may stand in one, and PostgreSQL refuses half a character."""
    return name.encode("utf-8", "replace").decode()[:MAX_TEXT_CHARS]


_PARTS: dict[str, Callable[[], Any]] = {
    "load_averages": _load_averages,
    "cpu_count": psutil.cpu_count,
    "uptime_seconds": _uptime_seconds,
    "memory": _memory,
    "swap": _swap,
    "disks": _disks,
    "processes": top_processes,
}
