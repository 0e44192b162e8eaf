"""The host's state in a few lines, from the check stage's snapshot: for messages and the run's report. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from storage.records import AlertView
from tasks.hosts import Origin, origin_of, unread_hosts

SHOWN_DISKS = 3
SHOWN_PROCESSES = 2
SHOWN_INTERFACES = 2
SHOWN_HOSTS = 3
SHOWN_ERRORS = 3
# Less of these is no news.
BUSY_PROCESS_PERCENT = 10
LOST_PROCESSOR_PERCENT = 5
SCARCE_INODES_PERCENT = 80
MIB_PER_GIB = 1024
# Rates count in thousands, as network cards are sold, sizes in 1024s.
RATE_STEP = 1000
SHORT_NUMBER = 10  # below it a digit after the point says something

Evidence = Mapping[str, Any]


def host_lines(evidence: Evidence, alerts: Sequence[AlertView], *, hostname: str) -> list[str]:
    """A heading that says whose state it is, and at most five facts; nothing where there are none.

    Where the incident is elsewhere, that alone is said, in one line.

    The readings are of Watchkeeper's own host, and would look like the cause of what happens on another one.
    `hostname` is what that host is called on the checks; its own name for itself is in the evidence.
    """
    facts = host_facts(evidence)
    if not facts:
        return []
    own_hosts = [name for name in (hostname, str(evidence.get("hostname") or "")) if name]
    is_elsewhere = origin_of(alerts, own_hosts) is Origin.OTHER_HOST
    told = [] if is_elsewhere else [f"- {fact}" for fact in facts]
    return [_heading(evidence, alerts, own_hosts), *told]


def host_facts(evidence: Evidence) -> list[str]:
    """Load and memory, disks, processes, network, and what could not be read; each a line if there is any."""
    first = "; ".join(filter(None, (_told(read, evidence) for read in (_load, _memory))))
    return [fact for fact in (first, *(_told(read, evidence) for read in _FACTS)) if fact]


def _told(read: Callable[[Evidence], str], evidence: Evidence) -> str:
    try:
        return read(evidence)
    # A snapshot stored by another version holds other things. The message must go out without them.
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""


def _heading(evidence: Evidence, alerts: Sequence[AlertView], own_hosts: Sequence[str]) -> str:
    host, at = next(iter(own_hosts), "an unnamed host"), _told(_moment, evidence)
    origin = origin_of(alerts, own_hosts)
    if origin is Origin.AFFECTED_HOST:
        return f"Host state of {host}, measured by Watchkeeper{at}:"
    unread = unread_hosts(alerts, own_hosts)
    others = ", ".join(unread[:SHOWN_HOSTS]) + (" and others" if len(unread) > SHOWN_HOSTS else "")
    if origin is Origin.OTHER_HOST:
        return f"Nothing was measured on {others}: the readings are of {host}, Watchkeeper's own host{at}."
    doubt = f"It may not be {others}" if others else "The alert names no host"
    return f"Host state of {host}, Watchkeeper's own host{at}. {doubt}:"


def _moment(evidence: Evidence) -> str:
    return f" at {datetime.fromisoformat(evidence['measured_at']):%Y-%m-%d %H:%M} UTC"


def _load(evidence: Evidence) -> str:
    averages = " ".join(f"{average:g}" for average in evidence["load_averages"])
    count = evidence["cpu_count"]
    cpu = evidence.get("cpu") or {}
    uses = {"busy": cpu.get("busy_percent")}
    for meaning, key in (("waiting for disks", "iowait_percent"), ("taken by other guests", "steal_percent")):
        if (cpu.get(key) or 0) >= LOST_PROCESSOR_PERCENT:
            uses[meaning] = cpu[key]
    told = [f"{percent:.0f} % {meaning}" for meaning, percent in uses.items() if percent is not None]
    return ", ".join([f"load {averages} on {count} core{'' if count == 1 else 's'}", *told])


def _memory(evidence: Evidence) -> str:
    memory, swap = evidence["memory"], evidence.get("swap") or {}
    sizes = {"memory": memory} | ({"swap": swap} if swap.get("total_gb") else {})
    return ", ".join(
        f"{name} {size['used_percent']:.0f} % of {size['total_gb']:.1f} GiB" for name, size in sizes.items()
    )


def _disks(evidence: Evidence) -> str:
    disks = ", ".join(_disk(disk) for disk in evidence["disks"][:SHOWN_DISKS])
    return f"disks {disks}" if disks else ""


def _disk(disk: Mapping[str, Any]) -> str:
    inodes_percent = disk.get("inodes_percent") or 0
    inodes = f", inodes {inodes_percent:.0f} %" if inodes_percent >= SCARCE_INODES_PERCENT else ""
    return f"{disk['path']} {disk['used_percent']:.0f} % ({disk['free_gb']:.1f} GiB free{inodes})"


def _processes(evidence: Evidence) -> str:
    processes = evidence["processes"]
    busy = [each for each in processes["by_cpu"] if each.get("cpu_percent", 0) >= BUSY_PROCESS_PERCENT]
    groups = {
        "busiest": [f"{_process(each)} {each['cpu_percent']:.0f} % of a core" for each in busy],
        "largest": [f"{_process(each)} {_size(each['rss_mb'])}" for each in processes["by_memory"]],
    }
    told = [f"{word} {', '.join(group[:SHOWN_PROCESSES])}" for word, group in groups.items() if group]
    if told and not processes.get("is_complete", True):
        told.append(f"of {processes['seen']:,} processes, there are more")
    return "; ".join(told)


def _process(process: Mapping[str, Any]) -> str:
    return f"{process['name']} (pid {process['pid']})"


def _size(mib: float) -> str:
    return f"{mib / MIB_PER_GIB:.1f} GiB" if mib >= MIB_PER_GIB else f"{mib:.0f} MiB"


def _network(evidence: Evidence) -> str:
    told = ", ".join(
        f"{each['name']} {_rate(each['received_bytes_per_second'])} in, {_rate(each['sent_bytes_per_second'])} out"
        for each in evidence["network"][:SHOWN_INTERFACES]
    )
    return f"network {told}" if told else ""


def _rate(bytes_per_second: float) -> str:
    number, unit = float(bytes_per_second), "B/s"
    for larger in ("kB/s", "MB/s", "GB/s"):
        if round(number) < RATE_STEP:
            break
        number, unit = number / RATE_STEP, larger
    is_short = unit != "B/s" and number < SHORT_NUMBER
    return f"{number:.1f} {unit}" if is_short else f"{number:.0f} {unit}"


def _errors(evidence: Evidence) -> str:
    told = "; ".join(str(error) for error in evidence.get("errors", [])[:SHOWN_ERRORS])
    return f"could not be read: {told}" if told else ""


_FACTS = (_disks, _processes, _network, _errors)
