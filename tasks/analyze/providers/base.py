"""What every provider offers, what it is asked, and what can be told of the question by rule: whose the
readings are, and what kind of problem the words name.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, Field

from storage.records import AlertView, Analysis, CheckResult, IncidentView, Record
from storage.vocabulary import AlertStatus, RecommendationType

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
HOST_LABELS = ("hostname", "host", "instance")
PLACE_LABELS = {
    *HOST_LABELS,
    "node",
    "pod",
    "container",
    "service",
    "job",
    "namespace",
    "cluster",
    "app",
    "team",
    "env",
}
TEXT_ANNOTATIONS = ("summary", "description", "message")

# What a longer text says beyond this adds no new kind of problem.
MAX_TEXT_CHARS = 4_000

_NAME = re.compile(r"\w(?:[\w.-]*\w)?")
_URL = re.compile(r"\w+://\S+")
_LETTERS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_TERM = re.compile(rf"\b(?:{'|'.join(sorted(TOPICS, key=len, reverse=True))})\b")
_SCHEME = re.compile(r"^\w+://")


class Origin(Enum):
    """Whose the readings of a request are."""

    AFFECTED_HOST = auto()
    OTHER_HOST = auto()
    UNCLEAR = auto()
    NONE = auto()


class AnalysisRequest(Record):
    """The question what is wrong, and what to do next.

    `checks` and `evidence` are readings of Watchkeeper's own host, whatever host the incident is about; see
    `origin`. Without an incident the question is about the readings themselves.
    """

    incident: IncidentView | None
    checks: list[CheckResult] = Field(default_factory=list)
    evidence: dict[str, Any] = Field(default_factory=dict)

    @property
    def own_host(self) -> str:
        """The name of the host that the readings are of; empty where there are none."""
        return str(self.evidence.get("hostname") or "")

    @property
    def affected_hosts(self) -> list[str]:
        """The hosts that the incident's alerts name, each once."""
        named = (host_names(alert) for alert in self._live_alerts)
        return list(dict.fromkeys(names[0] for names in named if names))

    @property
    def unread_hosts(self) -> list[str]:
        """Those of the affected hosts that the readings are not of."""
        return [host for host in self.affected_hosts if not _is_same_host(host, self.own_host)]

    @property
    def origin(self) -> Origin:
        """AFFECTED_HOST only if every live alert is about Watchkeeper's own host.

        An address says nothing either way, since readings carry names only, and nor does `localhost`, which
        is whatever host the sender meant.
        """
        if self.incident is None:
            return Origin.AFFECTED_HOST
        if not self.own_host:
            return Origin.NONE
        origins = {self._origin_of(host_names(alert)) for alert in self._live_alerts}
        if Origin.OTHER_HOST in origins:
            return Origin.OTHER_HOST
        return Origin.AFFECTED_HOST if origins == {Origin.AFFECTED_HOST} else Origin.UNCLEAR

    @property
    def _live_alerts(self) -> list[AlertView]:
        alerts = self.incident.alerts if self.incident else []
        return [alert for alert in alerts if alert.status is AlertStatus.FIRING] or alerts

    def _origin_of(self, names: list[str]) -> Origin:
        if any(_is_same_host(name, self.own_host) for name in names):
            return Origin.AFFECTED_HOST
        is_named = any(not _is_address(name) and name.lower() != "localhost" for name in names)
        return Origin.OTHER_HOST if is_named else Origin.UNCLEAR


class Provider(Protocol):
    """Answers what is probably wrong. What it raises is permanent or transient as in tasks/errors.py.

    Named as a base by every provider: only so does mypy take a nested class for `Config`.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: Any) -> None:
        """A provider that will answer by this config."""

    def analyze(self, request: AnalysisRequest) -> Analysis:
        """The probable cause and next steps."""


def topic_of(incident: IncidentView) -> RecommendationType:
    """The kind of problem by title and alert names, else by descriptions, else by labels, else GENERAL."""
    names = [incident.title, *(alert.name for alert in incident.alerts)]
    texts = [incident.description]
    labels: list[str] = []
    for alert in incident.alerts:
        texts += [alert.description, *(alert.annotations.get(key, "") for key in TEXT_ANNOTATIONS)]
        labels += [f"{key} {value}" for key, value in alert.labels.items() if key not in PLACE_LABELS]
    places = _places(incident)
    topics = (_topic_in(_without(places, text) for text in tier) for tier in (names, texts, labels))
    return next((topic for topic in topics if topic), GENERAL)


def topic_of_check(check: CheckResult) -> RecommendationType:
    """The kind of problem that a checker looks for, by the words in its name."""
    return _topic_in([check.checker_name]) or GENERAL


def host_names(alert: AlertView) -> list[str]:
    """The names that an alert's labels give its host, without scheme, port and path."""
    names = (_bare_host(alert.labels.get(label, "")) for label in HOST_LABELS)
    return [name for name in names if name]


def _bare_host(text: str) -> str:
    """`https://web-01:9100/metrics` as `web-01`, `[::1]:9100` as `::1`."""
    host = _SCHEME.sub("", text.strip()).split("/")[0].rpartition("@")[2]
    if host.startswith("["):
        return host[1:].split("]")[0]
    return host if host.count(":") > 1 else host.split(":")[0].rstrip(".")


def _is_same_host(name: str, other: str) -> bool:
    """Whether two names can only mean one host: equal, or equal but for a domain that one of them lacks."""
    ours, theirs = name.lower(), other.lower()
    is_short = "." not in ours or "." not in theirs
    return ours == theirs or (is_short and ours.split(".")[0] == theirs.split(".")[0])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _topic_in(texts: Iterable[str]) -> RecommendationType | None:
    """What is mentioned most; on a tie a resource, and then what comes first."""
    terms = (term for text in texts for term in _TERM.findall(" ".join(_words(text))))
    mentions = Counter(topic for term in terms if (topic := TOPICS[term]))
    return max(mentions, key=lambda topic: (mentions[topic], topic in RESOURCES), default=None)


def _words(text: str) -> list[str]:
    """The words of a text in lower case, those of a CamelCase name apart: HighCPU is high, cpu."""
    words: list[str] = []
    for token in _LETTERS.findall(_URL.sub(" ", text)):
        is_one_word = token.lower() in TOPICS or not token.isascii()
        words += [token] if is_one_word else _CAMEL.findall(token)
    return [word.lower() for word in words]


def _places(incident: IncidentView) -> set[str]:
    """Names of hosts and services in the labels, which a title repeats without meaning a kind of problem."""
    names: set[str] = set()
    for alert in incident.alerts:
        hosts = host_names(alert)
        names |= {*hosts, *(host.split(".")[0] for host in hosts)}
        names |= {value for label, value in alert.labels.items() if label in PLACE_LABELS}
    return {name.lower() for name in names} - TOPICS.keys()


def _without(places: set[str], text: str) -> str:
    return _NAME.sub(lambda name: " " if name[0].lower() in places else name[0], text[:MAX_TEXT_CHARS])
