"""What kind of problem the words of an incident name, and which things in particular."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from storage.records import AlertView, IncidentView
from storage.vocabulary import RecommendationType
from tasks.hosts import HOST_LABELS, host_names

MEMORY, DISK, CPU = RecommendationType.MEMORY, RecommendationType.DISK, RecommendationType.CPU
PROCESS, NETWORK = RecommendationType.PROCESS, RecommendationType.NETWORK
GENERAL = RecommendationType.GENERAL

# Words and phrases that tell the kind of problem. The longest wins; under None stand those that would
# mislead by a word in them.
VOCABULARY: dict[RecommendationType | None, str] = {
    MEMORY: "memory, mem, ram, oom, oomkill, oomkilled, oom kill, oom killed, out of memory, swap, swapping, swap "
    "space, heap, heap space, memory load, maxmemory, gc, garbage collection, garbage collector, edac, "
    "ecc, page faults, cannot allocate memory",
    DISK: "disk, disks, storage, space, inode, inodes, filesystem, filesystems, file system, file systems, "
    "volume, volumes, mount, mountpoint, disk load, ram disk, network storage, network volume, nfs, raid, "
    "mdadm, zfs, zpool, btrfs, lvm, nvme, ssd, hdd, iowait, io wait, i o wait, iops, disk io, disk i o, "
    "smart errors, smart error, smart status, smart health, smartd, out of files, ebs, read only file "
    "system, failed drive, drive failure, degraded array",
    CPU: "cpu, cpus, load, processor, processors, context switches, context switching, system saturation, "
    "throttle rate, run queue, cpu throttling",
    PROCESS: "process, processes, daemon, systemd, zombie, zombies, crash, crashed, crashes, crashing, "
    "crashlooping, crashloop, crash loop, crash looping, restarting, restarts, not running, down, service "
    "down, service is down, service failed, service stopped, unit failed, killed, segfault, core dump, "
    "core dumped, pod not ready, pods not ready, replicas mismatch, rollout stuck, container waiting, job "
    "failed, image pull, liveness probe, readiness probe, file descriptor, file descriptors, "
    "filedescriptor, filedescriptors, open files, process limit, to process limit, cron, did not run, did "
    "not start, failed to start, workers offline, worker offline, worker timeout",
    NETWORK: "network, networking, packet, packets, dns, interface, interfaces, bandwidth, connectivity, "
    "unreachable, ping, icmp, tcp, udp, vpn, bgp, ethernet, conntrack, bonding, firewall, tunnel, load "
    "balancer, load balancers, network load, host down, host is down, node down, instance down, instance "
    "is down, target down, target missing, target group, unhealthy host, server down, server is down, "
    "link down, link is down, site down, site is down, website down, website is down, url down, endpoint "
    "down, switch down, router down, gateway down, uplink, connection refused, connection reset, "
    "connection timed out, no route, route to host, cannot connect, can t connect, could not connect, "
    "unable to connect, failed to connect, probe failed, probe failure, probe http, probe slow, http "
    "check, not reporting, stopped reporting, agent is not available, agent unavailable, duplicate ip, "
    "retransmits, retransmissions",
    None: "page load, load time, load times, load test, to load, to process, volume of, traffic volume, request "
    "volume, log volume, user interface, address space, shut down, slow down, scale down, scaled down, "
    "cool down, drill down, break down, broken down, tear down",
}
# One of these says more than one other word: a CPU that waits for disks has a disk problem.
DECISIVE = {
    *("iowait", "io wait", "i o wait", "oom", "oomkill", "oomkilled", "oom kill", "oom killed", "out of memory"),
    *("connection refused", "no route", "unreachable", "not reporting", "stopped reporting"),
}
# Where they tie with a word about a process or the network, these say more.
RESOURCES = {MEMORY, DISK, CPU}
# Labels that say where or whose, not what: a host called storage-01 has no storage problem for that.
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

# What a longer text says beyond this adds no new kind of problem, nor do further texts beyond the other.
MAX_TEXT_CHARS = 4_000
MAX_TIER_CHARS = 10_000

_NAME = re.compile(r"\w(?:[\w.-]*\w)?")
# A bounded scheme: else a long word would be looked through once from each of its letters.
_URL = re.compile(r"\b\w{1,20}://\S+")
_LETTERS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")

Meaning = TypeVar("Meaning")


class Lexicon(Generic[Meaning]):
    """Terms, one or several words long, and what each means. Where terms overlap, the longest counts."""

    def __init__(self, meanings: Mapping[str, Meaning]) -> None:
        """The terms are in lower case, without punctuation."""
        self.meanings = dict(meanings)
        longest_first = sorted(self.meanings, key=len, reverse=True)
        self._pattern = re.compile(rf"\b(?:{'|'.join(longest_first)})\b")

    def terms_in(self, text: str) -> Iterator[tuple[str, Meaning]]:
        """The terms of a text of lower-case words, as they come."""
        return ((term, self.meanings[term]) for term in self._pattern.findall(text))


TOPICS = Lexicon({term: topic for topic, terms in VOCABULARY.items() for term in terms.split(", ")})


@dataclass(frozen=True)
class Words:
    """What an incident says in title and alert names, in descriptions, in labels, but for names of places."""

    incident: IncidentView

    @cached_property
    def tiers(self) -> list[list[str]]:
        """Texts of lower-case words, by how much they say: names, descriptions, labels."""
        incident, alerts = self.incident, self.incident.alerts
        names = [incident.title, *(alert.name for alert in alerts)]
        texts = [incident.description, *(text for alert in alerts for text in _texts(alert))]
        labels = [f"{key} {value}" for a in alerts for key, value in a.labels.items() if key not in PLACE_LABELS]
        places = _places(incident)
        return [
            [" ".join(_words(_without(places, text))) for text in _bounded(tier)]
            for tier in (names, texts, labels)
        ]

    @cached_property
    def raw(self) -> str:
        """All that may name a thing, such as a unit, a path or a URL: the texts as they came, and all labels."""
        incident, alerts = self.incident, self.incident.alerts
        texts = [incident.title, incident.description]
        texts += [part for a in alerts for part in (a.name, *_texts(a), *a.labels.values())]
        return "\n".join(_bounded(texts)).lower()

    @cached_property
    def topics(self) -> list[RecommendationType | None]:
        """The kind of problem that each tier tells of by itself."""
        return [_topic_in(tier) for tier in self.tiers]

    @property
    def topic(self) -> RecommendationType:
        """The kind of problem by title and alert names, else by descriptions, else by labels, else GENERAL."""
        return next((topic for topic in self.topics if topic), GENERAL)

    def names(self, thing: str) -> bool:
        """Whether a thing of that name is meant, as a word of its own or in a URL; a path only as a whole."""
        name = thing.lower()
        slash = "/" if name.startswith("/") else ""
        pattern = rf"(?<![\w.{slash}-]){re.escape(name)}(?![\w{slash}-])"
        return name in self.raw and re.search(pattern, self.raw) is not None


def _topic_in(texts: Iterable[str]) -> RecommendationType | None:
    """What is mentioned most; on a tie a resource, and then what comes first."""
    mentions: Counter[RecommendationType] = Counter()
    for text in texts:
        for term, topic in TOPICS.terms_in(text):
            if topic:
                mentions[topic] += 2 if term in DECISIVE else 1
    return max(mentions, key=lambda topic: (mentions[topic], topic in RESOURCES), default=None)


def _texts(alert: AlertView) -> list[str]:
    return [alert.description, *(alert.annotations.get(key, "") for key in TEXT_ANNOTATIONS)]


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    """Each text once, without what goes beyond the bounds."""
    left = MAX_TIER_CHARS
    for text in dict.fromkeys(texts):
        if text and left > 0:
            yield text[: min(left, MAX_TEXT_CHARS)]
            left -= min(len(text), MAX_TEXT_CHARS)


def _words(text: str) -> list[str]:
    """The words of a text in lower case, those of a CamelCase name apart: HighCPU is high, cpu."""
    words: list[str] = []
    for token in _LETTERS.findall(_URL.sub(" ", text)):
        is_one_word = token.lower() in TOPICS.meanings or not token.isascii()
        words += [token] if is_one_word else _CAMEL.findall(token)
    return [word.lower() for word in words]


def _places(incident: IncidentView) -> set[str]:
    """Names of hosts and services in the labels, which a title repeats without meaning a kind of problem."""
    names: set[str] = set()
    for alert in incident.alerts:
        hosts = host_names(alert.labels)
        names |= {*hosts, *(host.split(".")[0] for host in hosts)}
        names |= {value for label, value in alert.labels.items() if label in PLACE_LABELS}
    return {name.lower() for name in names} - TOPICS.meanings.keys()


def _without(places: set[str], text: str) -> str:
    return _NAME.sub(lambda name: " " if name[0].lower() in places else name[0], text)
