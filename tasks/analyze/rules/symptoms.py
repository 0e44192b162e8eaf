"""What tells how a service fares, but not what is wrong: symptoms, and services of others that fail."""

import re

from storage.records import IncidentView
from tasks.analyze.rules import commands
from tasks.analyze.rules.subject import Subject
from tasks.analyze.topic import GENERAL, Lexicon, Words
from tasks.hosts import host_names

# Without a kind of problem these name none, so they are asked for last.
SYMPTOM = Subject(
    GENERAL,
    "a service that is slow or fails",
    "See what changed, and what is used up",
    (
        "uptime; free -h; df -h  # load, memory, disks: is anything used up",
        "ps -eo pid,lstart,comm --sort=-start_time | head -n 16  # what started last: a deploy, a restart",
        "journalctl -p warning --since '-1 hour' --no-pager | tail -n 50  # what complains, and since when",
        "ss -tln  # saturation: a Recv-Q that comes near its Send-Q is full",
        "ss -tnH state established | awk '{print $4}' | sort | uniq -c | sort -n | tail  # its dependencies",
    ),
)
ADVICE = (
    "Begin with what is quickest to rule out: load and memory, then saturation (pools, queues, connections), then "
    "what was deployed or changed last, then what it depends on (databases, other services)."
)
DEPENDENCY = Subject(
    GENERAL,
    "a service of others",
    "Find out whether the other service is up",
    ("journalctl -p warning --since '-1 hour' --no-pager | tail -n 50  # what fails for want of it",),
    look_at=commands.about_service,
    is_outside=True,
)

_SYMPTOM_TERMS = (
    "latency, latencies, slow, slowness, response time, response times, error rate, error rates, errors, "
    "error budget, failure rate, timeouts, apdex"
)
_SYMPTOMS = Lexicon(dict.fromkeys(_SYMPTOM_TERMS.split(", "), True))
# As in "api.example.com answers 503"; bounded on all sides, and each host's name is looked at once.
_FAILING = re.compile(
    r"(?<![\w./@-])(?P<host>[a-z0-9][\w-]{0,62}(?:\.[\w-]{1,62}){1,6})(?:/\S{0,200})?:?\s"
    r"(?:\w{1,20}\s){0,2}?(?:answer|return|respond|repl|said|gave|give|sen[dt])\w{0,6}\s(?:\w{1,20}\s){0,3}?5\d\d\b",
    re.ASCII,
)


def is_symptom(words: Words) -> bool:
    """Whether the words tell that a service is slow or fails, in whatever tier."""
    return any(True for tier in words.tiers for text in tier for _ in _SYMPTOMS.terms_in(text))


def failing_dependency(words: Words, incident: IncidentView) -> str:
    """A host that no label names and that answers with an error of its own (5xx); empty for none."""
    labels = "\n".join(value for alert in incident.alerts for value in alert.labels.values()).lower()
    ours = {name.lower() for alert in incident.alerts for name in host_names(alert.labels)}
    told = (match["host"] for match in _FAILING.finditer(words.raw))
    return next((host for host in told if host not in labels and host.split(".")[0] not in ours), "")
