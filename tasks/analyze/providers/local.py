"""The local rules: a probable cause and next steps from words and readings alone, without any AI."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from storage.records import Analysis, CheckResult, IncidentView, Recommendation
from storage.vocabulary import CheckStatus, IncidentStatus, RecommendationPriority, RecommendationType, Severity
from tasks.analyze.providers.base import AnalysisRequest, Origin, host_names

MEMORY, DISK, CPU = RecommendationType.MEMORY, RecommendationType.DISK, RecommendationType.CPU
PROCESS, NETWORK = RecommendationType.PROCESS, RecommendationType.NETWORK
GENERAL = RecommendationType.GENERAL

# Words and phrases that tell the kind of problem. The longest wins; under None stand those that would
# mislead by a word in them.
VOCABULARY: dict[RecommendationType | None, str] = {
    MEMORY: "memory, mem, ram, oom, oomkill, oomkilled, swap, heap, swap space, heap space, memory load",
    DISK: "disk, disks, storage, space, inode, inodes, filesystem, filesystems, file system, volume, volumes, "
    "mount, mountpoint, disk load, ram disk, network storage, network volume",
    CPU: "cpu, cpus, load, processor, processors",
    PROCESS: "process, processes, daemon, systemd, zombie, zombies, crashed, crashlooping, crash loop, "
    "crash looping, restarting, restarts, not running, service down, service is down, service failed, "
    "service stopped, unit failed",
    NETWORK: "network, networking, packet, packets, dns, interface, bandwidth, connectivity, unreachable, ping, "
    "icmp, tcp, load balancer, load balancers, network load, host down, host is down, node down, "
    "instance down, target down, connection refused, connection reset, connection timed out",
    None: "page load, load time, load times, load test, to load, to process, volume of, traffic volume, "
    "request volume, log volume, user interface, address space",
}
TOPICS = {term: topic for topic, terms in VOCABULARY.items() for term in terms.split(", ")}
# Where they tie with a word about a process or the network, these say more.
RESOURCES = {MEMORY, DISK, CPU}
# Labels that say where or whose, not what: a host called storage-01 has no storage problem for that.
PLACE_LABELS = set(
    "hostname host instance node pod container service job namespace cluster app team owner env".split()
)
TEXT_ANNOTATIONS = ("summary", "description", "message")

OVER = (CheckStatus.WARNING, CheckStatus.CRITICAL)
ENDED = (IncidentStatus.RESOLVED, IncidentStatus.CLOSED)
PRIORITY: dict[Severity | CheckStatus, RecommendationPriority] = {
    Severity.CRITICAL: RecommendationPriority.CRITICAL,
    Severity.WARNING: RecommendationPriority.HIGH,
    Severity.INFO: RecommendationPriority.MEDIUM,
    CheckStatus.CRITICAL: RecommendationPriority.CRITICAL,
    CheckStatus.WARNING: RecommendationPriority.HIGH,
    CheckStatus.UNKNOWN: RecommendationPriority.MEDIUM,
}
TITLES = {
    MEMORY: "Find what holds the memory",
    DISK: "Find what fills the disk",
    CPU: "Find what keeps the processors busy",
    PROCESS: "Find out which process stopped, and why",
    NETWORK: "Find out what can still be reached",
    GENERAL: "Look at the host as a whole",
}
# Commands that only look. `{path}` and `{host}` are filled in, quoted.
COMMANDS: dict[RecommendationType, tuple[str, ...]] = {
    MEMORY: (
        "free -h  # is it used up, and is swap in use",
        "ps -eo pid,user,rss,etime,comm --sort=-rss | head -n 11  # the largest processes",
        "journalctl -k --since '-1 hour' | grep -i 'out of memory'  # did the kernel kill something",
    ),
    DISK: (
        "df -h {path}; df -i {path}  # is it space or inodes",
        "du -xh --max-depth=2 {path} 2>/dev/null | sort -h | tail -n 15  # where it went",
        "lsof -nP +L1  # deleted files that a process still holds open",
    ),
    CPU: (
        "uptime  # load now, and is it rising or falling",
        "ps -eo pid,user,pcpu,etime,comm --sort=-pcpu | head -n 11  # the busiest processes",
        "vmstat 1 5  # is it work (us), the kernel (sy), waiting for disks (wa) or a busy hypervisor (st)",
    ),
    PROCESS: (
        "systemctl --failed  # units that have stopped",
        "journalctl -p err --since '-1 hour' | tail -n 50  # what they said last",
        "ps -eo pid,stat,etime,comm | awk '$2 ~ /^[ZD]/'  # zombies, and processes stuck on a disk",
    ),
    NETWORK: (
        "ping -c 3 {host}  # from another host: does it answer",
        "ip -br addr; ip -s link  # interfaces, errors and drops",
        "ss -s  # connections by state",
    ),
    GENERAL: (
        "uptime; free -h; df -h  # load, memory, disks",
        "systemctl --failed  # units that have stopped",
        "journalctl -p warning --since '-1 hour' | tail -n 50  # what changed",
    ),
}
MAX_HOSTS_NAMED = 3
MAX_PROCESSES_NAMED = 3
MAX_DISKS_NAMED = 5
MAX_TITLE_CHARS = 120

_URL = re.compile(r"\w+://\S+")
_LETTERS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_TERM = re.compile(rf"\b(?:{'|'.join(sorted(TOPICS, key=len, reverse=True))})\b")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")


class Support(Enum):
    """What an answer rests on; the value is its confidence."""

    CONFIRMED = 0.8  # the affected host itself is over a threshold in what the words are about
    READINGS_ONLY = 0.5  # the words say nothing, but the affected host is over a threshold
    UNMEASURED = 0.4  # the words, about a host that was measured, though not in this
    WORDS_ONLY = 0.3  # the words, without a reading of the affected host
    CONTRADICTED = 0.2  # the words, against what the affected host reads now
    NOTHING = 0.1


@dataclass(frozen=True)
class Finding:
    """The kind of problem, what that rests on, and the reading about it, if there is one."""

    topic: RecommendationType
    support: Support
    check: CheckResult | None = None


@dataclass(frozen=True)
class Local:
    """Answer by fixed rules: the words give the kind of problem, readings of the same host its cause.

    Readings of Watchkeeper's own host are never taken for another's. The same request gives the same answer.
    """

    kind: ClassVar[str] = "local"

    class Config(BaseModel, extra="forbid", frozen=True):
        """`top_n_processes`: how many processes, at most, a recommendation's details hold."""

        top_n_processes: int = Field(default=10, ge=1)

    config: Config

    def analyze(self, request: AnalysisRequest) -> Analysis:
        """Judge the incident, or the checks where there is none."""
        if request.incident is None:
            return self._of_checks(request)
        finding = _finding(request, request.incident)
        others = _over(request.checks) if request.origin is Origin.AFFECTED_HOST else []
        priority = (
            RecommendationPriority.LOW
            if request.incident.status in ENDED
            else PRIORITY[request.incident.severity]
        )
        return Analysis(
            summary=_summary(request, request.incident, finding),
            probable_cause=_cause(request, finding),
            confidence=finding.support.value,
            recommendations=[
                self._recommend(request, finding, priority),
                *(
                    self._recommend(request, Finding(topic_of_check(check), Support.CONFIRMED, check), priority)
                    for check in others
                    if topic_of_check(check) is not finding.topic
                ),
            ],
            model_name="rules",
        )
