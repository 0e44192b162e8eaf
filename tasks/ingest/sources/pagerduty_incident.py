"""What PagerDuty's webhooks of both versions say about an incident, as an alert."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus, Lifecycle, Severity
from tasks.ingest.fingerprint import bounded
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import UnreadablePayloadError, first_text, text_of

# Accounts may name their priorities as they like; only these names are PagerDuty's own.
PRIORITIES = frozenset(["p1", "p2", "p3", "p4", "p5"])
# Such an event may also be about an incident that has ended, and does not make it fire again.
ASIDES = frozenset([Lifecycle.NOTE, Lifecycle.UPDATED])


def alert_of(
    incident: Any,
    place: str,
    *,
    raw: Mapping[str, Any],
    started_at: datetime | None,
    ended_at: datetime | None,
    occurred_at: datetime | None,
    is_resolve: bool,
    lifecycle: Lifecycle | None,
    note: str = "",
    description: str = "",
    annotations: Mapping[str, str],
) -> ParsedAlert:
    """The alert of an incident and of what an event says besides; `ended_at` is when it ended, if it did.

    Raises UnreadablePayloadError that names `place`, where the incident stood.
    """
    if not isinstance(incident, Mapping):
        raise UnreadablePayloadError(f"{place} must be an object")
    incident_id = text_of(incident.get("id"))
    if not incident_id:
        raise UnreadablePayloadError(f"{place}.id is needed")
    is_over = is_resolve or (lifecycle in ASIDES and text_of(incident.get("status")) == "resolved")
    severity, raw_severity = _severity(incident)
    return ParsedAlert(
        fingerprint=bounded(incident_id),
        name=first_text(incident, "title", "summary") or incident_id,
        status=AlertStatus.RESOLVED if is_over else AlertStatus.FIRING,
        severity=severity,
        raw_severity=raw_severity,
        description=description,
        labels=_labels(incident),
        annotations={**_annotations(incident), **annotations},
        started_at=started_at,
        ended_at=ended_at if is_over else None,
        occurred_at=occurred_at,
        lifecycle=None if is_over else lifecycle,
        note=note,
        group_key=incident_id,
        raw_payload=dict(raw),
    )


def part(value: Any, name: str) -> Any:
    """A field of an object that may be missing, null or of another type: then None."""
    return value.get(name) if isinstance(value, Mapping) else None


def summary_of(reference: Any) -> str:
    """The name of a thing that PagerDuty refers to, or its id."""
    return first_text(reference, "summary", "name", "id") if isinstance(reference, Mapping) else text_of(reference)


def said_by(agent: Any, words: str) -> str:
    """Somebody's words with their name before them."""
    author = summary_of(agent)
    return f"{author}: {words}" if author and words else words


def _severity(incident: Mapping[str, Any]) -> tuple[Severity | None, str]:
    priority = summary_of(incident.get("priority")).strip()
    if priority.casefold() in PRIORITIES:
        return normalise_severity(priority), priority
    urgency = text_of(incident.get("urgency")).strip()
    # The lower of PagerDuty's two urgencies still asks for somebody's attention.
    return Severity.WARNING if urgency.casefold() == "low" else normalise_severity(urgency), urgency


def _labels(incident: Mapping[str, Any]) -> dict[str, str]:
    labels = {
        "incident_key": text_of(incident.get("incident_key")),
        "incident_type": summary_of(incident.get("incident_type")),
        "service": summary_of(incident.get("service")),
        "teams": _summaries(incident.get("teams")),
        "escalation_policy": summary_of(incident.get("escalation_policy")),
        "priority": summary_of(incident.get("priority")),
        "urgency": text_of(incident.get("urgency")),
    }
    return {name: text for name, text in labels.items() if text}


def _annotations(incident: Mapping[str, Any]) -> dict[str, str]:
    bridge = incident.get("conference_bridge")
    assignments = incident.get("assignments")  # version 2 wraps each assignee
    wrapped = [part(each, "assignee") for each in assignments] if isinstance(assignments, list) else []
    annotations = {
        "incident_number": first_text(incident, "number", "incident_number"),
        "html_url": text_of(incident.get("html_url")),
        "assignees": _summaries(incident.get("assignees")) or _summaries(wrapped),
        "conference_url": text_of(part(bridge, "conference_url")),
        "conference_number": text_of(part(bridge, "conference_number")),
        "resolve_reason": _resolve_reason(incident.get("resolve_reason")),
    }
    return {name: text for name, text in annotations.items() if text}


def _resolve_reason(reason: Any) -> str:
    """Version 2 says "merged"; version 3 names the incident that goes on in this one's place."""
    if target := part(reason, "incident"):
        return f"merged into {' '.join(filter(None, [summary_of(target), text_of(part(target, 'html_url'))]))}"
    return text_of(part(reason, "type") or reason)


def _summaries(references: Any) -> str:
    return ", ".join(filter(None, map(summary_of, references))) if isinstance(references, list) else ""
