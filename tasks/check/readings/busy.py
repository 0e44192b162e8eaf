"""The processes that use the most of this host: memory now, and processor time between two looks."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import psutil

from tasks.check.calls import side_by_side

TOP_PROCESSES = 5
MIB = 1024**2
# A host may run tens of thousands of processes; one look at them must not take longer for it.
LOOK_SECONDS = 0.25
# A user's name may come from a directory server that is down.
NAMES_SECONDS = 0.2
# What a kernel keeps of a name. psutil completes a longer one from the command line, which may hold secrets.
NAME_CHARS = 15


class Usage(NamedTuple):
    """What a process has used so far. Its pid and start together are its identity: pids are used again."""

    pid: int
    started: float
    name: str
    rss_bytes: int
    cpu_seconds: float
    read_at: float  # time.monotonic


class Look(NamedTuple):
    """The processes by identity; not complete where there were too many for the time allowed."""

    usages: dict[tuple[int, float], Usage]
    is_complete: bool


def watch_processes() -> Callable[[], dict[str, Any]]:
    """Look at the processes. To be called some time later: a second look, and the busiest and largest by then."""
    before = look()
    return lambda: top(before, look())


def look() -> Look:
    """All processes but the one that looks, whose work at this is no news of the host."""
    deadline, own_pid = time.monotonic() + LOOK_SECONDS, os.getpid()
    usages: dict[tuple[int, float], Usage] = {}
    for usage in linux_usages() if psutil.LINUX else psutil_usages():
        if usage.pid != own_pid:
            usages[usage.pid, usage.started] = usage
        if usage.read_at > deadline:
            return Look(usages, is_complete=False)
    return Look(usages, is_complete=True)


def linux_usages() -> Iterator[Usage]:
    """From /proc/<pid>/stat, which a process stuck in the kernel cannot block, as it can its command line."""
    ticks_per_second, page_bytes = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for pid in psutil.pids():
        try:
            # No Path: making tens of thousands of them would take longer than to read the files.
            with open(f"{psutil.PROCFS_PATH}/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                stat = file.read(4096)
        except OSError:  # it has ended meanwhile
            continue
        # Anything may stand in a name, brackets and spaces too. See proc(5) for the fields, here from the third.
        name, _, rest = stat[stat.index(b"(") + 1 :].rpartition(b")")
        fields = rest.split()
        yield Usage(
            pid=pid,
            started=int(fields[19]),
            name=name.decode("utf-8", "replace"),
            rss_bytes=int(fields[21]) * page_bytes,
            cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks_per_second,
            read_at=time.monotonic(),
        )


def psutil_usages() -> Iterator[Usage]:
    """From psutil, on other systems; what may not be seen of a process counts as nothing."""
    attributes = ["pid", "name", "memory_info", "cpu_times", "create_time"]
    for process in psutil.process_iter(attributes):
        info = process.info
        memory, times = info["memory_info"], info["cpu_times"]
        yield Usage(
            pid=info["pid"],
            started=info["create_time"] or 0.0,
            name=(info["name"] or "?")[:NAME_CHARS],
            rss_bytes=memory.rss if memory else 0,
            cpu_seconds=times.user + times.system if times else 0.0,
            read_at=time.monotonic(),
        )


def top(before: Look, after: Look) -> dict[str, Any]:
    """The first few `by_cpu` and `by_memory`, of how many `seen`. `cpu_percent` is None where not known."""
    percents = {
        identity: cpu_percent(before.usages[identity], usage)
        for identity, usage in after.usages.items()
        if identity in before.usages
    }
    by_cpu = sorted(percents, key=lambda each: (percents[each], after.usages[each].cpu_seconds), reverse=True)
    by_memory = sorted(after.usages, key=lambda each: after.usages[each].rss_bytes, reverse=True)
    chosen = {"by_cpu": by_cpu[:TOP_PROCESSES], "by_memory": by_memory[:TOP_PROCESSES]}
    users = _users({pid for identities in chosen.values() for pid, _ in identities})
    total_bytes = psutil.virtual_memory().total
    told = {
        key: [_told(after.usages[each], percents.get(each), users, total_bytes) for each in identities]
        for key, identities in chosen.items()
    }
    return {**told, "seen": len(after.usages), "is_complete": before.is_complete and after.is_complete}


def cpu_percent(before: Usage, after: Usage) -> int:
    """The use of one core between two looks. The kernel counts in hundredths of a second: no fraction is known."""
    seconds = max(after.read_at - before.read_at, 0.001)
    return max(0, round(100 * (after.cpu_seconds - before.cpu_seconds) / seconds))


def _told(usage: Usage, percent: int | None, users: Mapping[int, str | None], total_bytes: int) -> dict[str, Any]:
    return {
        "pid": usage.pid,
        "name": usage.name,
        "user": users[usage.pid],
        "cpu_percent": percent,
        "cpu_seconds": round(usage.cpu_seconds, 1),
        "rss_mb": round(usage.rss_bytes / MIB, 1),
        "memory_percent": round(100 * usage.rss_bytes / total_bytes, 1),
    }


def _users(pids: Iterable[int]) -> dict[int, str | None]:
    asked = {pid: partial(_user, pid) for pid in pids}
    found = side_by_side(asked, timeout_seconds=NAMES_SECONDS)
    return {pid: user if isinstance(user, str) else None for pid, user in found.items()}


def _user(pid: int) -> str:
    return str(psutil.Process(pid).username())
