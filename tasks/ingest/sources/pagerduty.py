"""PagerDuty webhooks: version 3 here, version 2 (still delivered) in pagerduty_v2.

An alert is a PagerDuty incident. Format: https://developer.pagerduty.com/docs/webhooks-overview
"""

from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus, Lifecycle
from tasks.ingest.fingerprint import bounded
from tasks.ingest.sources import pagerduty_v2
from tasks.ingest.sources.base import UnreadablePayloadError, list_of, object_of, text_of
from tasks.ingest.sources.pagerduty_incident import alert_of, part, said_by, summary_of
from tasks.ingest.times import read_time

NAME = "pagerduty"
REOPENED = "incident.reopened"
RESOLVED = "incident.resolved"
# These carry the incident itself as their data.
INCIDENT_EVENTS: dict[str, Lifecycle | None] = {
    "incident.triggered": None,
    REOPENED: None,
    RESOLVED: None,
    "incident.acknowledged": Lifecycle.ACKNOWLEDGED,
    "incident.unacknowledged": Lifecycle.UNACKNOWLEDGED,
    "incident.escalated": Lifecycle.ESCALATED,
    "incident.delegated": Lifecycle.ASSIGNED,
    "incident.reassigned": Lifecycle.ASSIGNED,
    "incident.priority_updated": Lifecycle.UPDATED,
    "incident.service_updated": Lifecycle.UPDATED,
    "incident.incident_type.changed": Lifecycle.UPDATED,
}
# These carry a note, a task, an answer, …, and only refer to the incident. The value is the field of the words.
NOTE_EVENTS = {"incident.annotated": "content", "incident.status_update_published": "message"}
SIDE_EVENTS = (
    "incident.responder.",
    "incident.role.",
    "incident.task.",
    "incident.workflow.",
    "incident.action_invocation.",
    "incident.conference_bridge.",
    "incident.custom_field_values.",
)


def detect(payload: Any) -> bool:
    """One `event` that has a type and data, or a list of version 2 messages."""
    event = part(payload, "event")
    if isinstance(event, Mapping):
        return "event_type" in event and ("data" in event or "resource_type" in event)
    return pagerduty_v2.detect(payload)


def check(payload: Any) -> None:
    """The top level has `event` (version 3), whose type is text, or the list `messages` (version 2)."""
    if "event" in object_of(payload):
        if not isinstance(payload["event"], Mapping):
            raise UnreadablePayloadError("event must be an object")
        if not isinstance(payload["event"].get("event_type"), str):
            raise UnreadablePayloadError("event.event_type must be text")
    elif "messages" in payload:
        list_of(payload["messages"], "messages")
    else:
        raise UnreadablePayloadError("event (version 3) or messages (version 2) is needed")


def parse(payload: Any) -> ParsedPayload:
    """The alert that the event is about, or those of all version 2 messages."""
    check(payload)
    if "event" not in payload:
        alerts, faults = pagerduty_v2.parse_messages(payload["messages"])
        remark = "" if alerts or faults else "no message says anything about an incident"
        return ParsedPayload(source=NAME, alerts=alerts, faults=faults, version="2", remark=remark)
    event = payload["event"]
    alert = _parse_event(event)
    remark = "" if alert else _remark(event["event_type"])
    return ParsedPayload(source=NAME, alerts=[alert] if alert else [], version="3", remark=remark)


def _parse_event(event: Mapping[str, Any]) -> ParsedAlert | None:
    event_type = event["event_type"]
    if event_type in INCIDENT_EVENTS:
        return _parse_incident(event, event_type)
    if event_type in NOTE_EVENTS or event_type.startswith(SIDE_EVENTS):
        return _parse_reference(event, event_type)
    return None


def _parse_incident(event: Mapping[str, Any], event_type: str) -> ParsedAlert:
    data = event.get("data")
    occurred_at = read_time(event.get("occurred_at"))
    reopened_at = read_time(part(data, "reopened_at"))
    if event_type == REOPENED:
        # Only a start later than the first one begins a new episode.
        reopened_at = reopened_at or occurred_at
    return alert_of(
        data,
        "event.data",
        raw=event,
        started_at=reopened_at or read_time(part(data, "created_at")),
        ended_at=occurred_at,
        occurred_at=occurred_at,
        is_resolve=event_type == RESOLVED,
        lifecycle=INCIDENT_EVENTS[event_type],
        annotations=_origin(event),
    )


def _parse_reference(event: Mapping[str, Any], event_type: str) -> ParsedAlert | None:
    data = event.get("data")
    incident = part(data, "incident")
    incident_id = text_of(part(incident, "id"))
    if not incident_id:
        return None
    words_field = NOTE_EVENTS.get(event_type)
    words = text_of(part(data, words_field)) if words_field else ""
    if words and part(data, "trimmed") is True:
        words = f"{words} […]"
    return ParsedAlert(
        fingerprint=bounded(incident_id),
        name=text_of(part(incident, "summary")),
        status=AlertStatus.FIRING,
        started_at=None,
        occurred_at=read_time(event.get("occurred_at")),
        lifecycle=Lifecycle.NOTE if words_field else Lifecycle.UPDATED,
        note=said_by(event.get("agent"), words),
        group_key=incident_id,
        is_partial=True,
        raw_payload=dict(event),
    )


def _origin(event: Mapping[str, Any]) -> dict[str, str]:
    """Who or what caused the event, and by which tool."""
    client = event.get("client")
    origin = {
        "agent": summary_of(event.get("agent")),
        "client": summary_of(client),
        "client_url": text_of(part(client, "url")),
    }
    return {name: text for name, text in origin.items() if text}


def _remark(event_type: str) -> str:
    if event_type == "pagey.ping":
        return "a test of the connection"
    if event_type in NOTE_EVENTS or event_type.startswith(SIDE_EVENTS):
        return "the event names no incident"
    return "the event is not about an incident"
