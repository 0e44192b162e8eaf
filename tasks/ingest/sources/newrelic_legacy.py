"""New Relic's classic notification channel: one incident a body.

Format: https://docs.newrelic.com/docs/alerts/new-relic-alerts/notifications/customize-your-webhook-payload
The channels that New Relic moved to workflows go on with it, with an `issue_id` and durations in milliseconds:
https://docs.newrelic.com/docs/alerts-applied-intelligence/applied-intelligence/incident-workflows/migration-to-workflows/
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from storage.records import ParsedAlert
from storage.storable import storable
from storage.vocabulary import AlertStatus, Lifecycle
from tasks.ingest.body import BodyError, read_json
from tasks.ingest.fingerprint import bounded
from tasks.ingest.sources.base import UnreadablePayloadError, text_of
from tasks.ingest.sources.newrelic_fields import about, entities_of, said, severity_of
from tasks.ingest.times import read_time

IDS = frozenset(["incident_id", "issue_id"])
MARKS = frozenset(["condition_id", "condition_family_id", "condition_name", "policy_name", "current_state"])
OPEN = frozenset(["open", "created", "activated", "active"])
ACKNOWLEDGED = "acknowledged"
CLOSED = frozenset(["closed", "merged"])
LABELS = {"condition": "condition_name", "policy": "policy_name", "account": "account_name"}
ANNOTATIONS = (
    *("incident_url", "incident_acknowledge_url", "policy_url", "runbook_url", "violation_chart_url"),
    *("violation_callback_url", "condition_description", "owner"),
)


def is_incident(payload: Mapping[str, Any]) -> bool:
    """An incident's id with two fields of its condition, policy or state."""
    return bool(IDS & payload.keys()) and len(MARKS & payload.keys()) > 1


def is_test(payload: Mapping[str, Any]) -> bool:
    """What the button "Send a test notification" sends, about an incident 0 that there is not."""
    return _state(payload) == "test" or said(payload, "event_type").casefold() == "notification"


def check_incident(payload: Mapping[str, Any]) -> None:
    """There is an id and a known state."""
    if not said(payload, "incident_id", "issue_id"):
        raise UnreadablePayloadError("issueUrl of an issue, or incident_id of an incident, is needed")
    if not is_test(payload) and _state(payload) not in {*OPEN, *CLOSED, ACKNOWLEDGED}:
        raise UnreadablePayloadError("current_state must be open, acknowledged or closed")


def parse_incident(payload: Mapping[str, Any]) -> ParsedAlert:
    """The incident as one alert."""
    state = _state(payload)
    incident = said(payload, "incident_id", "issue_id")
    fingerprint = bounded(":".join(filter(None, [said(payload, "account_id"), incident])))
    notified_at = read_time(said(payload, "timestamp"))
    is_over = state in CLOSED
    return ParsedAlert(
        fingerprint=fingerprint,
        name=said(payload, "condition_name", "details", "policy_name") or "unnamed incident",
        status=AlertStatus.RESOLVED if is_over else AlertStatus.FIRING,
        severity=severity_of(said(payload, "severity")),
        raw_severity=said(payload, "severity"),
        description=said(payload, "details"),
        labels=_labels(payload),
        annotations={name: text for name in ANNOTATIONS if (text := said(payload, name))},
        started_at=_started_at(payload, notified_at),
        ended_at=notified_at if is_over else None,
        # A moved channel writes the time of the creation into every event of an open one.
        occurred_at=None if state in OPEN and "issue_id" in payload else notified_at,
        lifecycle=Lifecycle.ACKNOWLEDGED if state == ACKNOWLEDGED else None,
        episode=incident,
        group_key=fingerprint,
        raw_payload=dict(payload),
    )


def _state(payload: Mapping[str, Any]) -> str:
    return said(payload, "current_state").casefold()


def _started_at(payload: Mapping[str, Any], notified_at: datetime | None) -> datetime | None:
    """The notification's time less the duration; an opening is notified of at once."""
    is_in_milliseconds = "issue_id" in payload or not said(payload, "incident_id").isdigit()
    try:
        duration = float(said(payload, "duration")) / (1000 if is_in_milliseconds else 1)
        return notified_at - timedelta(seconds=max(duration, 0)) if notified_at else None
    except (ValueError, OverflowError):
        return notified_at if _state(payload) in OPEN else None


def _labels(payload: Mapping[str, Any]) -> dict[str, str]:
    """Of the targets: their labels, where they differ the first one's, and their names."""
    targets = [target for target in _listed(payload.get("targets")) if isinstance(target, Mapping)]
    labels: dict[str, str] = {}
    for target in targets:
        own = target.get("labels")
        for name, value in own.items() if isinstance(own, Mapping) else ():
            labels.setdefault(name, text_of(value))
    labels |= {label: text for label, name in LABELS.items() if (text := said(payload, name))}
    return about(labels, entities_of(targets))


def _listed(value: Any) -> list[Any]:
    """A list, also as the JSON text in which a form carries it."""
    if isinstance(value, str):
        try:
            value = storable(read_json(value.encode("utf-8", "replace")))
        except BodyError:
            return []
    return value if isinstance(value, list) else []
