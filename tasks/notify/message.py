"""What is said about an incident: one Notification, the same for every channel. Pure.

The text answers what a person asks at 3 am: what, where, how bad, since when, what to do. Whatever an alert
brings is outside text, so it passes the redaction rule, is cleaned of control characters, and bounded.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from storage.records import AlertView, CheckResult, IncidentAnalysis, IncidentView, Record
from storage.redaction import redact, redact_text
from storage.vocabulary import AlertStatus, CheckStatus, NotificationReason, Severity
from tasks.hosts import Origin, host_of, origin_of
from tasks.notify.host_section import host_lines

MAX_TITLE_CHARS = 200
MAX_MESSAGE_CHARS = 12_000
MAX_DESCRIPTION_CHARS = 1_000
MAX_LINE_CHARS = 300
MAX_URL_CHARS = 2_000
SHOWN_ALERTS = 10
SHOWN_CHECKS = 20
SHOWN_HOSTS = 5
SHOWN_RECOMMENDATIONS = 5
SHOWN_ACTIONS = 5
SHOWN_LINKS = 10
# The JSON incident goes into mails and request bodies, so what an alert can put into it is bounded as well.
CONTEXT_ALERTS = 20
CONTEXT_ENTRIES = 50
CONTEXT_TEXT_CHARS = 2_000

# The one provider that is no AI.
LOCAL_RULES = "local"
# The label of the link under which an analysis's failure is told in full.
RUN_LINK = "run"

LINK_ANNOTATIONS = {"runbook_url": "Runbook", "dashboard_url": "Dashboard", "generator_url": "Source"}

AnyRecord = TypeVar("AnyRecord", bound=Record)

# Line and paragraph separators, and the marks that reverse text so that it reads as something else.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shorten(text: str, max_chars: int) -> str:
    """The text, or its beginning and how much was left out."""
    if len(text) <= max_chars:
        return text
    kept = max(max_chars - len(f"… [+{len(text):,} characters]"), 0)
    return f"{text[:kept]}… [+{len(text) - kept:,} characters]"


def one_line(text: str) -> str:
    """Text fit for a heading or a header: no line breaks, no control characters, single spaces."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def plain_text(text: str) -> str:
    """Text fit for a body: line feeds and tabs are all that is left of the control characters."""
    return _UNPRINTABLE.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


class Notification(Record):
    """One message to one channel, as a driver gets it.

    `severity` is that of the incident, or success when it is resolved. `context` is the incident as JSON:
    incident, alerts, checks, evidence, analysis, links, trace_id, run_id. Whoever makes one, its title is one
    bounded line and its key is fit for a header. `thread` is the same for all messages about one episode of an
    incident, and empty for those about none.
    """

    reason: NotificationReason
    title: Annotated[str, AfterValidator(lambda text: shorten(one_line(text), MAX_TITLE_CHARS))]
    message: Annotated[str, AfterValidator(plain_text)]
    severity: Literal["critical", "warning", "info", "success"]
    channel: str
    thread: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$", max_length=200)
    tags: dict[str, str] = Field(default_factory=dict)
    context: dict[str, Any] = Field(default_factory=dict)
    idempotency_key: str = Field(pattern=r"^[!-~]+$", max_length=200)


def compose(
    *,
    incident: IncidentView,
    reason: NotificationReason,
    checks: Sequence[CheckResult],
    hostname: str,
    evidence: Mapping[str, Any],
    analysis: IncidentAnalysis | None,
    links: Mapping[str, str],
    trace_id: str,
    run_id: str,
    channel: str,
    idempotency_key: str,
    instead_of: str = "",
) -> Notification:
    """The message about an incident.

    `hostname` is where the checks ran, and `evidence` the snapshot of that host; `links` are URLs by their label.
    `instead_of` names the channel that could not be told, where this one stands in.
    """
    # Before anything is cut: half of a URL's credentials is no pattern that the rule would know.
    incident, analysis = _redacted(incident), _redacted(analysis) if analysis else None
    checks, evidence = [_redacted(check) for check in checks], redact(evidence)
    all_links = _collect_links(incident, links)
    own_hosts = [hostname, str(evidence.get("hostname") or "")]
    is_elsewhere = origin_of(incident.alerts, own_hosts) is Origin.OTHER_HOST
    is_by_rules = analysis is not None and analysis.provider == LOCAL_RULES
    sections = (
        f"Channel {one_line(instead_of)} could not be told, so this one is." if instead_of else "",
        _headline(incident, reason),
        _facts(incident),
        _lead_description(incident),
        _alert_section(incident),
        _analysis_section(analysis, links) if analysis else "",
        _check_section(checks, hostname, is_elsewhere=is_elsewhere),
        # The local rules say themselves that another host was not measured.
        "" if is_elsewhere and is_by_rules else _host_section(evidence, incident, hostname),
        "\n".join(f"{label}: {url}" for label, url in all_links.items()),
    )
    body = shorten("\n\n".join(section for section in sections if section), MAX_MESSAGE_CHARS)
    context = {
        "incident": incident.model_dump(mode="json", exclude={"alerts"}),
        "alerts": [alert.model_dump(mode="json") for alert in incident.alerts[:CONTEXT_ALERTS]],
        "checks": [{"hostname": hostname, **check.model_dump(mode="json")} for check in checks],
        "evidence": evidence,
        "analysis": analysis.model_dump(mode="json") if analysis else None,
        "links": all_links,
        "trace_id": trace_id,
        "run_id": run_id,
    }
    return Notification(
        reason=reason,
        title=_title(incident, reason),
        message=f"{body}\n\nTrace: {trace_id}",
        severity="success" if reason is NotificationReason.RESOLVED else incident.severity.value,
        channel=channel,
        thread=f"watchkeeper-{incident.id}-{incident.episode}-{incident.started_at.astimezone(UTC):%Y%m%dT%H%M%S}",
        tags=_tags(incident, reason),
        context=_bounded(context),
        idempotency_key=idempotency_key,
    )


def humanize_duration(duration: timedelta) -> str:
    """The two largest units of a duration: "45 s", "12 min", "1 h 22 min", "3 d 4 h"."""
    seconds = max(int(duration.total_seconds()), 0)
    if seconds < 60:  # noqa: PLR2004  seconds in a minute
        return f"{seconds} s"
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    units = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (minutes, "min"))
    return " ".join(f"{count} {unit}" for count, unit in units if count)


def _redacted(record: AnyRecord) -> AnyRecord:
    return type(record).model_validate(redact(record.model_dump()))


def _title(incident: IncidentView, reason: NotificationReason) -> str:
    lead = _lead(incident)
    name = one_line(lead.name) if lead else one_line(incident.title)
    host = one_line(host_of(lead.labels)) if lead else ""
    is_firing = reason is NotificationReason.FIRING
    others = (incident.firing_alert_count if is_firing else incident.alert_count) - 1
    ends = (f" on {shorten(host, 80)}" if host else "") + (f" (+{others:,} more)" if others > 0 else "")
    start = f"[{_state(incident, reason)}] {incident.severity}: "
    # What tells messages apart stands at both ends, so the name in the middle gives way.
    return start + shorten(name, MAX_TITLE_CHARS - len(start) - len(ends)) + ends


def _state(incident: IncidentView, reason: NotificationReason) -> str:
    if reason is NotificationReason.FIRING or incident.resolved_at is None:
        return reason.upper()
    return f"RESOLVED after {humanize_duration(incident.resolved_at - incident.started_at)}"


def _headline(incident: IncidentView, reason: NotificationReason) -> str:
    began = _moment(incident.started_at)
    if incident.resolved_at is None:
        return f"Firing since {began}." if reason is NotificationReason.FIRING else "Resolved."
    ended = _moment(incident.resolved_at)
    if reason is NotificationReason.FIRING:
        return f"Began to fire at {began}, and was over at {ended}."
    lasted = humanize_duration(incident.resolved_at - incident.started_at)
    return f"Resolved at {ended}, after {lasted}. It began at {began}."


def _facts(incident: IncidentView) -> str:
    hosts = list(dict.fromkeys(filter(None, (one_line(host_of(alert.labels)) for alert in incident.alerts))))
    shown = ", ".join(shorten(host, MAX_LINE_CHARS) for host in hosts[:SHOWN_HOSTS])
    # Of an incident with more alerts than it shows, nobody has counted the hosts.
    is_whole = incident.alert_count <= len(incident.alerts)
    rest = f" (+{len(hosts) - SHOWN_HOSTS:,} more)" if is_whole else " and others"
    facts = {
        "Host" if len(hosts) == 1 else "Hosts": shown + (rest if len(hosts) > SHOWN_HOSTS else ""),
        "Severity": incident.severity.value,
        "Environment": one_line(incident.environment),
        "Incident": f"#{incident.id} {shorten(one_line(incident.title), MAX_LINE_CHARS)}",
    }
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items() if fact)


def _lead(incident: IncidentView) -> AlertView | None:
    """The alert that speaks for the incident: the worst that fires, else the worst."""
    return max(
        incident.alerts,
        key=lambda alert: (alert.status is AlertStatus.FIRING, alert.severity.rank),
        default=None,
    )


def _lead_description(incident: IncidentView) -> str:
    lead = _lead(incident)
    text = (lead.description if lead else "") or incident.description
    return shorten(plain_text(text).strip(), MAX_DESCRIPTION_CHARS)


def _alert_section(incident: IncidentView) -> str:
    counts = incident.severity_counts
    by_severity = ", ".join(f"{counts[word]:,} {word}" for word in reversed(_by_rank()) if counts.get(word))
    head = f"Alerts: {incident.alert_count:,}" + (f" ({by_severity})" if by_severity else "")
    lines = [f"{head}, {incident.firing_alert_count:,} firing"]
    worst = sorted(
        incident.alerts, key=lambda alert: (alert.status is not AlertStatus.FIRING, -alert.severity.rank)
    )
    lines += map(_alert_line, worst[:SHOWN_ALERTS])
    unseen = incident.alert_count - min(len(worst), SHOWN_ALERTS)
    if unseen > 0:
        lines.append(f"… and {unseen:,} more")
    if incident.truncated_alerts:
        lines.append(f"{incident.truncated_alerts:,} more were cut by the sender")
    return "\n".join(lines)


def _by_rank() -> list[str]:
    return [severity.value for severity in sorted(Severity, key=lambda severity: severity.rank)]


def _alert_line(alert: AlertView) -> str:
    host, description = one_line(host_of(alert.labels)), one_line(alert.description)
    line = f"- {alert.severity} {one_line(alert.name)}" + (f" on {host}" if host else "")
    line += "" if alert.status is AlertStatus.FIRING else f" ({alert.status})"
    return shorten(f"{line}: {description}" if description else line, MAX_LINE_CHARS)


def _check_section(checks: Sequence[CheckResult], hostname: str, *, is_elsewhere: bool) -> str:
    """All checks that apply; where the incident is elsewhere, those that are well in one line."""
    telling = [check for check in checks if check.status is not CheckStatus.SKIPPED]
    if not telling:
        return ""
    worst = sorted(telling, key=lambda check: -check.status.rank)
    host = one_line(hostname) or "an unnamed host"
    lines = [f"Checks on {host}:"]
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


def _host_section(evidence: Mapping[str, Any], incident: IncidentView, hostname: str) -> str:
    lines = host_lines(evidence, incident.alerts, hostname=hostname)
    return "\n".join(shorten(one_line(line), MAX_LINE_CHARS) for line in lines)


def _analysis_section(stored: IncidentAnalysis, links: Mapping[str, str]) -> str:
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
        yield from (
            f"  - {shorten(one_line(action), MAX_LINE_CHARS)}" for action in advice.actions[:SHOWN_ACTIONS]
        )
        if len(advice.actions) > SHOWN_ACTIONS:
            yield f"  … and {len(advice.actions) - SHOWN_ACTIONS:,} more"
    if len(recommendations) > SHOWN_RECOMMENDATIONS:
        yield f"… and {len(recommendations) - SHOWN_RECOMMENDATIONS:,} more"


def _collect_links(incident: IncidentView, links: Mapping[str, str]) -> dict[str, str]:
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


def _free_label(label: str, taken: Iterable[str]) -> str:
    same = sum(1 for other in taken if other == label or other.startswith(f"{label} "))
    return f"{label} {same + 1}" if same else label


def _tags(incident: IncidentView, reason: NotificationReason) -> dict[str, str]:
    lead = _lead(incident)
    tags = {
        "incident_id": str(incident.id),
        "episode": str(incident.episode),
        "reason": reason.value,
        "severity": incident.severity.value,
        "environment": incident.environment,
        "alert": lead.name if lead else "",
        "host": host_of(lead.labels) if lead else "",
        "source": lead.source if lead else "",
    }
    return {name: shorten(one_line(value), MAX_LINE_CHARS) for name, value in tags.items() if value}


def _bounded(value: Any) -> Any:
    """A JSON value with clean and bounded texts, bounded collections, and no NaN (which is not JSON)."""
    if isinstance(value, str):
        return shorten(plain_text(value), CONTEXT_TEXT_CHARS)
    if isinstance(value, dict):
        kept = {
            shorten(one_line(str(name)), MAX_LINE_CHARS): _bounded(entry)
            for name, entry in islice(value.items(), CONTEXT_ENTRIES)
        }
        return kept | ({"…": f"{len(value) - len(kept)} more"} if len(value) > CONTEXT_ENTRIES else {})
    if isinstance(value, list):
        kept_entries = [_bounded(entry) for entry in value[:CONTEXT_ENTRIES]]
        return kept_entries + ([f"… {len(value) - CONTEXT_ENTRIES} more"] if len(value) > CONTEXT_ENTRIES else [])
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
