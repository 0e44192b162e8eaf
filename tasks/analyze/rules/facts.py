"""What the snapshot of the affected host says about a kind of problem, in sentences."""

from collections.abc import Callable, Iterator
from typing import Any

from storage.vocabulary import RecommendationType
from tasks.analyze.rules.scene import Scene
from tasks.analyze.topic import CPU, DISK, MEMORY, NETWORK

MAX_PROCESSES_NAMED = 3
MAX_DISKS_NAMED = 3
MAX_INTERFACES_NAMED = 3
# Of all processors' time: as much of it is no matter of the programs that use them.
MUCH_IOWAIT_PERCENT = 20
MUCH_STEAL_PERCENT = 10
# Less of a core is no news; so much of all that is done explains it.
BUSY_PROCESS_PERCENT = 10
MOST_OF_IT = 0.5
# A file system below this is no news.
NOTABLE_PERCENT = 80

Evidence = dict[str, Any]


def facts(scene: Scene, topic: RecommendationType) -> str:
    """All that bears on it; empty where the snapshot is another host's, or says nothing."""
    tell = TELLERS.get(topic)
    if tell is None or not scene.is_own:
        return ""
    try:
        return " ".join(tell(scene.evidence))
    except (KeyError, TypeError, ValueError, AttributeError):  # a snapshot that another version stored
        return ""


def biggest_users(scene: Scene, topic: RecommendationType) -> list[dict[str, Any]]:
    """The processes that use most memory or processor time, if they run on the affected host."""
    key = {MEMORY: "by_memory", CPU: "by_cpu"}.get(topic)
    if key is None or not scene.is_own:
        return []
    return list(scene.evidence.get("processes", {}).get(key, []))


def _of_memory(evidence: Evidence) -> Iterator[str]:
    if memory := evidence.get("memory"):
        yield f"{memory['available_gb']:g} of {memory['total_gb']:g} GB are available."
    swap = evidence.get("swap", {})
    if swap.get("used_gb"):
        yield f"Swap is {swap['used_percent']:.0f} % used ({swap['used_gb']:g} of {swap['total_gb']:g} GB)."
    largest = evidence.get("processes", {}).get("by_memory", [])[:MAX_PROCESSES_NAMED]
    # The kernel's own have none.
    named = [f"{p['name']} (pid {p['pid']}, {p['rss_mb']:.0f} MB)" for p in largest if p["rss_mb"]]
    if named:
        yield f"The largest processes then: {', '.join(named)}."


def _of_processors(evidence: Evidence) -> Iterator[str]:
    averages, cores = evidence.get("load_averages", []), evidence.get("cpu_count")
    yield from _busy(evidence)
    load = ", ".join(f"{average:g}" for average in averages)
    on_cores = f" on {cores} {'core' if cores == 1 else 'cores'}" if cores else ""
    if averages:
        yield f"Load averages {load}{on_cores}."
    shares = evidence.get("cpu", {})
    if shares.get("iowait_percent", 0) >= MUCH_IOWAIT_PERCENT:
        yield f"{shares['iowait_percent']:.0f} % of the time the processors wait for disks."
    if shares.get("steal_percent", 0) >= MUCH_STEAL_PERCENT:
        yield f"{shares['steal_percent']:.0f} % of the time the hypervisor runs other machines."


def _busy(evidence: Evidence) -> Iterator[str]:
    """The processes that make the processors busy, or the busiest where they don't explain it."""
    # A snapshot that an older version stored has no percentages.
    processes = evidence.get("processes", {}).get("by_cpu", [])[:MAX_PROCESSES_NAMED]
    busy = [process for process in processes if process.get("cpu_percent", 0) >= BUSY_PROCESS_PERCENT]
    named = ", ".join(f"{p['name']} (pid {p['pid']}, {p['cpu_percent']:.0f} % of a core)" for p in busy)
    all_percent = evidence.get("cpu_count", 1) * evidence.get("cpu", {}).get("busy_percent", 100)
    is_most = sum(process["cpu_percent"] for process in busy) >= all_percent * MOST_OF_IT
    if busy:
        yield f"Most of the work is that of {named}." if is_most else f"The busiest processes then: {named}."


def _of_disks(evidence: Evidence) -> Iterator[str]:
    told = []
    for disk in evidence.get("disks", []):
        inodes = disk.get("inodes_percent") or 0
        if max(disk["used_percent"], inodes) >= NOTABLE_PERCENT:
            of_inodes = f", {inodes:.0f} % of inodes" if inodes >= NOTABLE_PERCENT else ""
            told.append(f"{disk['path']} {disk['used_percent']:.0f} % ({disk['free_gb']:g} GB free{of_inodes})")
    if told:
        yield f"The fullest file systems: {', '.join(told[:MAX_DISKS_NAMED])}."


def _of_network(evidence: Evidence) -> Iterator[str]:
    faulty = [
        f"{interface['name']} ({interface['error_count']:,} errors, {interface['drop_count']:,} drops)"
        for interface in evidence.get("network", [])
        if interface.get("error_count") or interface.get("drop_count")
    ]
    if faulty:
        yield f"Interfaces with faults so far: {', '.join(faulty[:MAX_INTERFACES_NAMED])}."


TELLERS: dict[RecommendationType, Callable[[Evidence], Iterator[str]]] = {
    MEMORY: _of_memory,
    CPU: _of_processors,
    DISK: _of_disks,
    NETWORK: _of_network,
}
