"""The parts of a message after its first lines: facts, alerts, analysis, checks, host, links. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from storage.records import AlertView, CheckResult, IncidentAnalysis, IncidentView, Recommendation
from storage.redaction import redact_text
from storage.vocabulary import AlertStatus, CheckStatus, Severity
from tasks.hosts import host_of
from tasks.notify.destructive import MARK, is_destructive
from tasks.notify.headline import lead_of
from tasks.notify.host_section import host_lines
from tasks.notify.text import MAX_DESCRIPTION_CHARS, MAX_LINE_CHARS, bounded_line, one_line, plain_text, shorten

MAX_URL_CHARS = 2_000
SHOWN_ALERTS = 10
SHOWN_CHECKS = 20
SHOWN_HOSTS = 5
SHOWN_RECOMMENDATIONS = 5
SHOWN_ACTIONS = 5
SHOWN_LINKS = 10

# The one provider that is no AI.
LOCAL_RULES = "local"
# The label of the link under which an analysis's failure is told in full.
RUN_LINK = "run"

LINK_ANNOTATIONS = {"runbook_url": "Runbook", "dashboard_url": "Dashboard", "generator_url": "Source"}


def facts_section(incident: IncidentView) -> str:
    """Which hosts, how bad, where, and the incident's number."""
    hosts = list(dict.fromkeys(filter(None, (one_line(host_of(alert.labels)) for alert in incident.alerts))))
    shown = ", ".join(shorten(host, MAX_LINE_CHARS) for host in hosts[:SHOWN_HOSTS])
    # Of an incident with more alerts than it shows, nobody has counted the hosts.
    is_whole = incident.alert_count <= len(incident.alerts)
    rest = f" (+{len(hosts) - SHOWN_HOSTS:,} more)" if is_whole else " and others"
    facts = {
        "Host" if len(hosts) == 1 else "Hosts": shown + (rest if len(hosts) > SHOWN_HOSTS else ""),
        "Severity": incident.severity.value,
        "Environment": one_line(incident.environment),
        "Incident": f"#{incident.id} {bounded_line(incident.title)}",
    }
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items() if fact)


def description_section(incident: IncidentView) -> str:
    """What the alert that speaks for the incident says."""
    lead = lead_of(incident)
    text = (lead.description if lead else "") or incident.description
    return shorten(plain_text(text).strip(), MAX_DESCRIPTION_CHARS)


def alert_section(incident: IncidentView) -> str:
    """How many alerts, and the worst of them, a line each."""
    counts = incident.severity_counts
    by_severity = ", ".join(f"{counts[word]:,} {word}" for word in reversed(_by_rank()) if counts.get(word))
    head = f"Alerts: {incident.alert_count:,}" + (f" ({by_severity})" if by_severity else "")
    lines = [f"{head}, {incident.firing_alert_count:,} firing"]
    worst = sorted(
        incident.alerts, key=lambda alert: (alert.status is not AlertStatus.FIRING, -alert.severity.rank)
    )
    lines += _alert_lines(worst[:SHOWN_ALERTS])
    unseen = incident.alert_count - min(len(worst), SHOWN_ALERTS)
    if unseen > 0:
        lines.append(f"… and {unseen:,} more")
    if incident.truncated_alerts:
        lines.append(f"{incident.truncated_alerts:,} more were cut by the sender")
    return "\n".join(lines)


def analysis_section(stored: IncidentAnalysis, links: Mapping[str, str]) -> str:
    """What is probably wrong and what to do; of an AI's commands those that destroy are marked."""
    analysis = stored.analysis
    lines = [_unavailable(stored, links) if stored.fallback_used else _analysis_heading(stored)]
    lines.append(shorten(plain_text(analysis.summary).strip(), MAX_DESCRIPTION_CHARS))
    if analysis.probable_cause:
        sure = "" if analysis.confidence is None else f" (confidence {analysis.confidence:.0%})"
        lines.append(f"Probable cause: {shorten(one_line(analysis.probable_cause), MAX_DESCRIPTION_CHARS)}{sure}")
    if analysis.recommendations:
        lines.append("Recommended actions:")
        lines += _recommendation_lines(stored)
    return "\n".join(lines)


def check_section(checks: Sequence[CheckResult], hostname: str, *, remark: str, is_elsewhere: bool) -> str:
    """All checks that apply; where the incident is elsewhere, those that are well in one line."""
    telling = [check for check in checks if check.status is not CheckStatus.SKIPPED]
    if not telling:
        return ""
    worst = sorted(telling, key=lambda check: -check.status.rank)
    host = one_line(hostname) or "an unnamed host"
    lines = [f"Checks on {host}{remark}:"]
    well = [check for check in telling if check.status is CheckStatus.OK] if is_elsewhere else []
    worst = worst[: len(worst) - len(well)]
    for check in worst[:SHOWN_CHECKS]:
        said = one_line(check.message or check.error or "")
        line = f"- {one_line(check.checker_name)} on {host}: {check.status}"
        lines.append(shorten(f"{line}, {said}" if said else line, MAX_LINE_CHARS))
    if len(worst) > SHOWN_CHECKS:
        lines.append(f"… and {len(worst) - SHOWN_CHECKS:,} more")
    if well:
        lines.append(f"- {len(well):,} {'is' if len(well) == 1 else 'are'} ok")
    return "\n".join(lines)


def host_section(evidence: Mapping[str, Any], incident: IncidentView, hostname: str) -> str:
    """The host's state, or that it is another host's."""
    lines = host_lines(evidence, incident.alerts, hostname=hostname)
    return "\n".join(bounded_line(line) for line in lines)


def collect_links(incident: IncidentView, links: Mapping[str, str]) -> dict[str, str]:
    """URLs by label, each URL once: those given, then those that the alerts name."""
    collected: dict[str, str] = {}
    named = (
        (label, alert.annotations[name])
        for alert in incident.alerts
        for name, label in LINK_ANNOTATIONS.items()
        if alert.annotations.get(name)
    )
    for label, url in (*links.items(), *named):
        clean = shorten(one_line(redact_text(url)), MAX_URL_CHARS)
        if clean and clean not in collected.values() and len(collected) < SHOWN_LINKS:
            collected[_free_label(one_line(label), collected)] = clean
    return collected


def _by_rank() -> list[str]:
    return [severity.value for severity in sorted(Severity, key=lambda severity: severity.rank)]


def _alert_lines(alerts: Sequence[AlertView]) -> list[str]:
    """A line for each; those that would read the same are told apart by the labels in which they differ."""
    lines = [_alert_line(alert) for alert in alerts]
    alike = [alert for alert, line in zip(alerts, lines, strict=True) if lines.count(line) > 1]
    shared = set.intersection(*(set(alert.labels.items()) for alert in alike)) if alike else set()
    return [
        line if lines.count(line) == 1 else bounded_line(f"{line}{_differing(alert, shared)}")
        for alert, line in zip(alerts, lines, strict=True)
    ]


def _differing(alert: AlertView, shared: Collection[tuple[str, str]]) -> str:
    own = [f"{name}={label}" for name, label in sorted(alert.labels.items()) if (name, label) not in shared]
    return f" ({', '.join(own)})" if own else ""


def _alert_line(alert: AlertView) -> str:
    host, description = one_line(host_of(alert.labels)), one_line(alert.description)
    line = f"- {alert.severity} {one_line(alert.name)}" + (f" on {host}" if host else "")
    line += "" if alert.status is AlertStatus.FIRING else f" ({alert.status})"
    return shorten(f"{line}: {description}" if description else line, MAX_LINE_CHARS)


def _unavailable(stored: IncidentAnalysis, links: Mapping[str, str]) -> str:
    """Who gave no answer, why in words of ours, and where its own words are."""
    failed = f" ({one_line(stored.instead_of)})" if stored.instead_of else ""
    why = f": {stored.failure.told}" if stored.failure else ""
    where = " (more under the link to the run)" if RUN_LINK in links else ""
    return f"AI analysis unavailable{failed}{why}{where}. The {one_line(stored.provider)} rules say:"


def _analysis_heading(stored: IncidentAnalysis) -> str:
    if stored.provider == LOCAL_RULES:
        return f"Analysis by {one_line(stored.analysis.model_name or stored.provider)}:"
    return f"Analysis by {one_line(stored.provider)} (AI, may be wrong):"


def _recommendation_lines(stored: IncidentAnalysis) -> Iterator[str]:
    recommendations = stored.analysis.recommendations
    for advice in recommendations[:SHOWN_RECOMMENDATIONS]:
        text = one_line(f"{advice.title}: {advice.description}" if advice.description else advice.title)
        yield shorten(f"- [{advice.priority}] {text}", MAX_LINE_CHARS)
        yield from _action_lines(advice, is_by_ai=stored.provider != LOCAL_RULES)
    if len(recommendations) > SHOWN_RECOMMENDATIONS:
        yield f"… and {len(recommendations) - SHOWN_RECOMMENDATIONS:,} more"


def _action_lines(advice: Recommendation, *, is_by_ai: bool) -> Iterator[str]:
    # A line that says "and 1 more" would be as long as that one.
    shown = SHOWN_ACTIONS if len(advice.actions) > SHOWN_ACTIONS + 1 else SHOWN_ACTIONS + 1
    for action in advice.actions[:shown]:
        mark = MARK if is_by_ai and is_destructive(one_line(action)) else ""
        yield f"  - {shorten(one_line(action), MAX_LINE_CHARS - len(mark))}{mark}"
    if len(advice.actions) > shown:
        yield f"  … and {len(advice.actions) - shown:,} more"


def _free_label(label: str, taken: Iterable[str]) -> str:
    same = sum(1 for other in taken if other == label or other.startswith(f"{label} "))
    return f"{label} {same + 1}" if same else label
