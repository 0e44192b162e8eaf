"""The local rules: a probable cause and next steps from words and readings alone, without any AI."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from storage.records import Analysis, CheckResult, IncidentView, Recommendation
from storage.vocabulary import CheckStatus, IncidentStatus, RecommendationPriority, RecommendationType, Severity
from tasks.analyze.providers.base import (
    CPU,
    DISK,
    GENERAL,
    MEMORY,
    NETWORK,
    PROCESS,
    AnalysisRequest,
    Origin,
    Provider,
    topic_of,
    topic_of_check,
)

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
NOUNS = {
    MEMORY: "memory",
    DISK: "a disk",
    CPU: "the processors",
    PROCESS: "a process",
    NETWORK: "the network",
    GENERAL: "the host",
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
class Local(Provider):
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
        findings = _findings(request)
        first = findings[0] if findings else None
        return Analysis(
            summary=_summary(request, findings),
            probable_cause=_cause(request, first) if first else "",
            confidence=first.support.value if first else None,
            recommendations=[
                self._recommend(request, finding, request.incident if finding is first else None)
                for finding in findings
            ],
            model_name="rules",
        )

    def _recommend(self, request: AnalysisRequest, finding: Finding, about: IncidentView | None) -> Recommendation:
        place = _place(request)
        return Recommendation(
            type=finding.topic,
            priority=_priority(about, finding),
            title=f"{TITLES[finding.topic]} on {place}" if place else TITLES[finding.topic],
            description=_measured(request, finding) or _whose_readings(request),
            details=_details(request, finding, self.config.top_n_processes),
            actions=_actions(request, finding),
            incident_id=request.incident.id if request.incident else None,
        )


def _findings(request: AnalysisRequest) -> list[Finding]:
    """What the answer is about, and after it whatever else is over a threshold on the affected host."""
    measured = _over(request.checks) if request.origin is Origin.AFFECTED_HOST else []
    others = [Finding(topic_of_check(check), Support.CONFIRMED, check) for check in measured]
    if request.incident is None:
        silent = [check for check in request.checks if check.status is CheckStatus.UNKNOWN]
        return others + [Finding(topic_of_check(check), Support.NOTHING, check) for check in silent]
    first = _finding(request, request.incident, measured)
    return [first, *(other for other in others if first.check is None or other.topic is not first.topic)]


def _finding(request: AnalysisRequest, incident: IncidentView, over: Sequence[CheckResult]) -> Finding:
    topic = topic_of(incident)
    if topic is GENERAL:
        if over:
            return Finding(topic_of_check(over[0]), Support.READINGS_ONLY, over[0])
        return Finding(GENERAL, Support.NOTHING)
    if request.origin is not Origin.AFFECTED_HOST:
        return Finding(topic, Support.WORDS_ONLY)
    check = _reading(request, topic)
    if check is None or check.status is CheckStatus.UNKNOWN:
        return Finding(topic, Support.UNMEASURED, check)
    if check.status in OVER:
        return Finding(topic, Support.CONFIRMED, check)
    # After the end a normal reading is to be expected and speaks neither for nor against the words.
    return Finding(topic, Support.WORDS_ONLY if incident.status in ENDED else Support.CONTRADICTED, check)


def _over(checks: Iterable[CheckResult]) -> list[CheckResult]:
    return sorted((check for check in checks if check.status in OVER), key=lambda check: -check.status.rank)


def _reading(request: AnalysisRequest, topic: RecommendationType) -> CheckResult | None:
    """The worst check of this kind; where the alert names a mount point, what was read of that."""
    checks = [check for check in request.checks if topic_of_check(check) is topic]
    worst = max(checks, key=lambda check: check.status.rank, default=None)
    path = _mount_point(request)
    return _reading_of(path, worst, request) if topic is DISK and path else worst


def _reading_of(path: str, check: CheckResult | None, request: AnalysisRequest) -> CheckResult | None:
    percents = {disk["path"]: disk["used_percent"] for disk in request.evidence.get("disks", [])}
    percents |= {key: disk["percent"] for key, disk in _checked_disks(check).items()}
    if path not in percents:
        return None
    limits = (check.warning_threshold, check.critical_threshold) if check else (None, None)
    return CheckResult(
        checker_name="disk",
        status=_status(percents[path], *limits),
        message=f"{path} {percents[path]:.1f} % full",
        metrics={"worst_path": path},
    )


def _status(percent: float, warning: float | None, critical: float | None) -> CheckStatus:
    if warning is None or critical is None:
        return CheckStatus.UNKNOWN
    if percent >= critical:
        return CheckStatus.CRITICAL
    return CheckStatus.WARNING if percent >= warning else CheckStatus.OK


def _checked_disks(check: CheckResult | None) -> Mapping[str, Any]:
    disks = check.metrics.get("disks") if check else None
    return disks if isinstance(disks, dict) else {}


def _mount_point(request: AnalysisRequest) -> str:
    alerts = request.incident.alerts if request.incident else []
    labels = (alert.labels.get("mountpoint", "") for alert in alerts)
    return next((path for path in labels if path.startswith("/") and path.isprintable()), "")


def _priority(incident: IncidentView | None, finding: Finding) -> RecommendationPriority:
    """By the incident's severity where the finding is about one, else by the check's status."""
    if incident and incident.status not in ENDED:
        return PRIORITY[incident.severity]
    if incident or not finding.check:
        return RecommendationPriority.LOW
    return PRIORITY[finding.check.status]


def _summary(request: AnalysisRequest, findings: Sequence[Finding]) -> str:
    if request.incident is None:
        return _summary_of_checks(request, findings)
    incident, finding = request.incident, findings[0]
    title = _one_line(incident.title)
    if incident.status in ENDED:
        end = f" since {incident.resolved_at:%Y-%m-%d %H:%M} UTC" if incident.resolved_at else ""
        return f"{title} is {incident.status}{end}. Nothing is urgent."
    state = f"{incident.firing_alert_count} of {incident.alert_count} alerts firing"
    return f"{title}: {incident.severity}, {state}. {_second_sentence(request, finding)}"


def _second_sentence(request: AnalysisRequest, finding: Finding) -> str:
    place = _place(request) or "the host it is about"
    if finding.support is Support.NOTHING:
        return f"The local rules cannot tell what kind of problem it is; look at {place}."
    if finding.check and finding.support in (Support.CONFIRMED, Support.READINGS_ONLY):
        return f"Measured on {request.own_host}: {finding.check.message}."
    if finding.check and finding.support is Support.CONTRADICTED:
        return f"It is about {NOUNS[finding.topic]}, yet now {request.own_host} reads: {finding.check.message}."
    return f"It seems to be about {NOUNS[finding.topic]}; look at {place}, which has not been measured for it."


def _summary_of_checks(request: AnalysisRequest, findings: Sequence[Finding]) -> str:
    own_host, count = request.own_host or "this host", len(request.checks)
    if not count:
        return "There was nothing to analyse: no incident, and no check has run."
    if not findings:
        return f"All {count} checks on {own_host} are within their thresholds."
    messages = [finding.check.message for finding in findings if finding.check]
    over = len(_over(request.checks))
    what = f"{over} over a threshold" if over else f"{len(findings)} could not measure"
    return f"Of {count} checks on {own_host}, {what}. {messages[0]}."


def _cause(request: AnalysisRequest, finding: Finding) -> str:
    words = f"The alert's words point to {NOUNS[finding.topic]}"
    match finding.support:
        case Support.NOTHING if request.incident is None:
            return f"Not known: {_measured(request, finding)}"
        case Support.NOTHING:
            return (
                f"The alert's words name no resource, so the local rules know no cause. {_whose_readings(request)}"
            )
        case Support.READINGS_ONLY:
            return f"The alert's words name no resource, but on the same host: {_measured(request, finding)}"
        case Support.CONTRADICTED:
            return (
                f"{words}, but now {_measured(request, finding)} That is normal: it may come "
                "in bursts, be over already, or be measured differently by whoever sent the alert."
            )
        case Support.CONFIRMED:
            return _measured(request, finding)
    return f"{words}. {_measured(request, finding) or _whose_readings(request)}"


def _measured(request: AnalysisRequest, finding: Finding) -> str:
    """The reading as a sentence, and what was found to use the most; empty where there is no reading."""
    if finding.check is None:
        return ""
    sentence = f"{request.own_host or 'this host'} reads: {finding.check.message}."
    return f"{sentence} {_biggest_users(request, finding)}".strip() if finding.check.status in OVER else sentence


def _biggest_users(request: AnalysisRequest, finding: Finding) -> str:
    processes = _processes(request, finding.topic)[:MAX_PROCESSES_NAMED]
    if finding.topic is MEMORY and processes:
        named = (f"{p['name']} (pid {p['pid']}, {p['rss_mb']:.0f} MB)" for p in processes)
        return f"The largest processes then: {', '.join(named)}."
    if finding.topic is CPU and processes:
        load = ", ".join(f"{average:g}" for average in request.evidence.get("load_averages", []))
        named = (f"{p['name']} (pid {p['pid']}, {p['cpu_seconds']:.0f} s)" for p in processes)
        return f"Load averages {load or 'unknown'}; most processor time since their start: {', '.join(named)}."
    disks = _disks_over(finding)
    left = (f"{disk['free_gb']:g} GB on {path}" for path, disk in disks.items())
    return f"Left where it is short: {', '.join(left)}." if finding.topic is DISK and disks else ""


def _whose_readings(request: AnalysisRequest) -> str:
    own_host, place = request.own_host, _named(request.unread_hosts)
    match request.origin:
        case Origin.NONE:
            return "No readings came with it."
        case Origin.AFFECTED_HOST:
            return f"Nothing that was read on {own_host} is about this."
        case Origin.OTHER_HOST:
            return (
                f"Nothing was measured on {place}: the readings are of Watchkeeper's own host {own_host} "
                "and say nothing about the cause."
            )
        case Origin.UNCLEAR:
            doubt = f"may not be {place}" if place else "may not be the one, as the alert names no host"
            return f"The readings are of Watchkeeper's own host {own_host}, which {doubt}."


def _details(request: AnalysisRequest, finding: Finding, max_processes: int) -> dict[str, Any]:
    """What the recommendation was made from. Processes and disks only where they are the affected host's."""
    details: dict[str, Any] = {
        "basis": finding.support.name.lower(),
        "hosts": request.affected_hosts[:MAX_HOSTS_NAMED],
        "readings_of": request.own_host,
    }
    if finding.check:
        details["check"] = finding.check.model_dump(
            mode="json", include={"checker_name", "status", "warning_threshold", "critical_threshold"}
        )
    if disks := _disks_over(finding):
        details["disks"] = disks
    if processes := _processes(request, finding.topic)[:max_processes]:
        details["processes"] = processes
    return details


def _actions(request: AnalysisRequest, finding: Finding) -> list[str]:
    hosts = [*request.unread_hosts, *request.affected_hosts] if request.incident else [request.own_host]
    host = next(iter(hosts), "")
    is_typable = bool(_HOST.fullmatch(host)) and host != "localhost"
    path = _mount_point(request) or (finding.check.metrics.get("worst_path") if finding.check else "") or "/"
    commands = [command for command in COMMANDS[finding.topic] if is_typable or "{host}" not in command]
    actions = [command.format(host=host, path=shlex.quote(path)) for command in commands]
    if request.origin is not Origin.AFFECTED_HOST and is_typable and finding.topic is not NETWORK:
        actions.insert(0, f"ssh {host}  # Watchkeeper has not looked there")
    pids = ",".join(str(process["pid"]) for process in _processes(request, finding.topic)[:MAX_PROCESSES_NAMED])
    about_them = [f"ps -o pid,user,rss,time,etime,args -p {pids}  # the largest when checked"] if pids else []
    return actions + about_them


def _processes(request: AnalysisRequest, topic: RecommendationType) -> list[dict[str, Any]]:
    """The biggest users of memory or processor time, if they run on the affected host."""
    key = {MEMORY: "by_memory", CPU: "by_cpu"}.get(topic)
    if key is None or request.origin is not Origin.AFFECTED_HOST:
        return []
    return list(request.evidence.get("processes", {}).get(key, []))


def _disks_over(finding: Finding) -> dict[str, Any]:
    """The fullest first."""
    check = finding.check
    if check is None or check.warning_threshold is None:
        return {}
    limit = check.warning_threshold
    disks = [(path, disk) for path, disk in _checked_disks(check).items() if disk["percent"] >= limit]
    return dict(sorted(disks, key=lambda entry: -entry[1]["percent"])[:MAX_DISKS_NAMED])


def _place(request: AnalysisRequest) -> str:
    """The affected hosts in words, or the own host where the question is about that; empty if unknown."""
    return _named(request.affected_hosts if request.incident else [request.own_host])


def _named(hosts: Sequence[str]) -> str:
    named = ", ".join(_one_line(host) for host in hosts[:MAX_HOSTS_NAMED])
    return f"{named} and {len(hosts) - MAX_HOSTS_NAMED} more" if len(hosts) > MAX_HOSTS_NAMED else named


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_TITLE_CHARS else line[: MAX_TITLE_CHARS - 1] + "…"
