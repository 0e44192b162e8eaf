"""What is said about an incident: one Notification, the same for every channel. Pure.

The text answers what a person asks at 3 am: what, where, how bad, since when, what to do. Whatever an alert
brings is outside text, so it passes the redaction rule, is cleaned of control characters, and bounded.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from itertools import islice
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from storage.records import CheckResult, IncidentAnalysis, IncidentView, News, Record
from storage.redaction import redact
from storage.vocabulary import FOLLOW_UPS, IncidentStatus, NotificationReason
from tasks.hosts import Origin, host_of, origin_of
from tasks.notify import sections
from tasks.notify.headline import MAX_TITLE_CHARS, headline_of, lead_of, stand_in_line, title_of
from tasks.notify.text import MAX_LINE_CHARS, humanize_duration, one_line, plain_text, shorten

# The drivers' texts follow the same rules, and come by them here.
__all__ = [
    "MAX_LINE_CHARS",
    "MAX_MESSAGE_CHARS",
    "MAX_TITLE_CHARS",
    "Notification",
    "compose",
    "humanize_duration",
    "one_line",
    "plain_text",
    "shorten",
]

MAX_MESSAGE_CHARS = 12_000
# The JSON incident goes into mails and request bodies, so what an alert can put into it is bounded as well.
CONTEXT_ALERTS = 20
CONTEXT_ENTRIES = 50
CONTEXT_TEXT_CHARS = 2_000

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Notification(Record):
    """One message to one channel, as a driver gets it.

    `severity` is that of the incident, or success when it is resolved. `context` is the incident as JSON:
    incident, alerts, checks, evidence, analysis, links, trace_id, run_id. Whoever makes one, its title is one
    bounded line and its key is fit for a header. `thread` is the same for all messages about one episode of an
    incident, and empty for those about none. `outputs` is what transform nodes made, by node id, for templates.
    """

    reason: NotificationReason
    title: Annotated[str, AfterValidator(lambda text: shorten(one_line(text), MAX_TITLE_CHARS))]
    message: Annotated[str, AfterValidator(plain_text)]
    severity: Literal["critical", "warning", "info", "success"]
    channel: str
    thread: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$", max_length=200)
    tags: dict[str, str] = Field(default_factory=dict)
    context: dict[str, Any] = Field(default_factory=dict)
    outputs: dict[str, Any] = Field(default_factory=dict, exclude=True)
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
    episode: int | None = None,
    news: News | None = None,
    outputs: Mapping[str, Any] = MappingProxyType({}),
) -> Notification:
    """The message about an incident.

    `hostname` is where the checks ran, and `evidence` the snapshot of that host; `links` are URLs by their label.
    `instead_of` names the channel that could not be told, where this one stands in. `episode` is the one that it
    is about, if that is not the present one; `news` is what this channel does not know yet.
    """
    # Before anything is cut: half of a URL's credentials is no pattern that the rule would know.
    incident, analysis = _redacted(incident), _redacted(analysis) if analysis else None
    checks, evidence = [_redacted(check) for check in checks], redact(evidence)
    news = _redacted(news) if news else News(at=incident.started_at)
    episode = episode or incident.episode
    all_links = sections.collect_links(incident, links)
    parts = (
        stand_in_line(instead_of),
        headline_of(incident, reason, news, episode=episode),
        *_sections(incident, reason, checks, evidence, hostname=hostname, analysis=analysis, links=links),
        "\n".join(f"{label}: {url}" for label, url in all_links.items()),
    )
    body = shorten("\n\n".join(filter(None, parts)), MAX_MESSAGE_CHARS)
    context = {
        **_facts(incident, checks, evidence, episode=episode, hostname=hostname, analysis=analysis),
        "links": all_links,
        "trace_id": trace_id,
        "run_id": run_id,
        **({"instead_of": instead_of} if instead_of else {}),
    }
    return Notification(
        reason=reason,
        title=title_of(incident, reason, news, episode=episode),
        message=f"{body}\n\nTrace: {trace_id}",
        severity="success" if reason is NotificationReason.RESOLVED else incident.severity.value,
        channel=channel,
        thread=_thread(incident, episode),
        tags=_tags(incident, reason, episode=episode, instead_of=instead_of),
        context=_bounded(context),
        outputs=redact(dict(outputs)),
        idempotency_key=idempotency_key,
    )


def _redacted(record: AnyRecord) -> AnyRecord:
    return type(record).model_validate(redact(record.model_dump()))


def _sections(
    incident: IncidentView,
    reason: NotificationReason,
    checks: Sequence[CheckResult],
    evidence: Mapping[str, Any],
    *,
    hostname: str,
    analysis: IncidentAnalysis | None,
    links: Mapping[str, str],
) -> Iterator[str]:
    """What is known of the incident, in the order in which somebody woken up asks; some may be empty."""
    yield sections.facts_section(incident)
    yield sections.description_section(incident)
    yield sections.alert_section(incident)
    if analysis:
        yield sections.analysis_section(analysis, links)
    own_hosts = [hostname, str(evidence.get("hostname") or "")]
    is_elsewhere = origin_of(incident.alerts, own_hosts) is Origin.OTHER_HOST
    remark = ", made for an earlier message" if reason in FOLLOW_UPS else ""
    yield sections.check_section(checks, hostname, remark=remark, is_elsewhere=is_elsewhere)
    is_by_rules = analysis is not None and analysis.provider == sections.LOCAL_RULES
    # The local rules say themselves that another host was not measured.
    if not (is_elsewhere and is_by_rules):
        yield sections.host_section(evidence, incident, hostname)


def _facts(
    incident: IncidentView,
    checks: Sequence[CheckResult],
    evidence: Mapping[str, Any],
    *,
    episode: int,
    hostname: str,
    analysis: IncidentAnalysis | None,
) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "incident": _incident_fields(incident, episode=episode),
        "alerts": [alert.model_dump(mode="json") for alert in incident.alerts[:CONTEXT_ALERTS]],
        "checks": [{"hostname": hostname, **check.model_dump(mode="json")} for check in checks],
        "evidence": evidence,
        "analysis": analysis.model_dump(mode="json") if analysis else None,
    }


def _incident_fields(incident: IncidentView, *, episode: int) -> dict[str, Any]:
    """An episode before the present one is over, whatever the incident does now."""
    fields = incident.model_dump(mode="json", exclude={"alerts"}) | {"episode": episode}
    return fields if episode == incident.episode else fields | {"status": IncidentStatus.RESOLVED.value}


def _thread(incident: IncidentView, episode: int) -> str:
    """The incident's own birth tells it from one of the same number in a database before this one."""
    born = incident.created_at or incident.started_at
    return f"watchkeeper-{incident.id}-{episode}-{born.astimezone(UTC):%Y%m%dT%H%M%S}"


def _tags(incident: IncidentView, reason: NotificationReason, *, episode: int, instead_of: str) -> dict[str, str]:
    lead = lead_of(incident)
    tags = {
        "incident_id": str(incident.id),
        "episode": str(episode),
        "reason": reason.value,
        "severity": incident.severity.value,
        "environment": incident.environment,
        "alert": lead.name if lead else "",
        "host": host_of(lead.labels) if lead else "",
        "source": lead.source if lead else "",
        "instead_of": instead_of,
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
