"""PagerDuty webhooks of version 2: several messages a body, each with the whole incident.

Format: https://github.com/PagerDuty/developer-docs/blob/main/docs/webhooks/09-V2-Overview.md
"""

from collections.abc import Mapping, Sequence
from typing import Any

from storage.records import AlertFault, ParsedAlert
from storage.vocabulary import Lifecycle
from tasks.ingest.sources.base import UnreadablePayloadError, first_text, text_of
from tasks.ingest.sources.pagerduty_incident import alert_of, part, said_by, summary_of
from tasks.ingest.times import read_time

RESOLVE = "incident.resolve"
ANNOTATE = "incident.annotate"
EVENTS: dict[str, Lifecycle | None] = {
    "incident.trigger": None,
    RESOLVE: None,
    "incident.acknowledge": Lifecycle.ACKNOWLEDGED,
    "incident.unacknowledge": Lifecycle.UNACKNOWLEDGED,
    "incident.assign": Lifecycle.ASSIGNED,
    "incident.delegate": Lifecycle.ASSIGNED,
    "incident.escalate": Lifecycle.ESCALATED,
    ANNOTATE: Lifecycle.NOTE,
}


def detect(payload: Any) -> bool:
    """A list of messages of which one has an event's name and an incident."""
    messages = part(payload, "messages")
    return isinstance(messages, list) and any(_is_message(message) for message in messages)


def parse_messages(messages: Sequence[Any]) -> tuple[list[ParsedAlert], list[AlertFault]]:
    """Each message by itself; one of a kind that came after these is passed over."""
    alerts: list[ParsedAlert] = []
    faults: list[AlertFault] = []
    for index, message in enumerate(messages):
        try:
            alert = _parse_message(message)
        except UnreadablePayloadError as error:
            faults.append(AlertFault(place=f"messages[{index}]", reason=str(error)))
        else:
            alerts += [alert] if alert else []
    return alerts, faults


def _is_message(message: Any) -> bool:
    event = part(message, "event")
    return isinstance(event, str) and event.startswith("incident.") and "incident" in message


def _parse_message(message: Any) -> ParsedAlert | None:
    if not isinstance(message, Mapping):
        raise UnreadablePayloadError("must be an object")
    event = message.get("event")
    if not isinstance(event, str):
        raise UnreadablePayloadError("event must be text")
    if event not in EVENTS:
        return None
    incident = message.get("incident")
    created_on = read_time(message.get("created_on"))
    return alert_of(
        incident,
        "incident",
        raw=message,
        started_at=read_time(part(incident, "created_at")),
        ended_at=read_time(part(incident, "last_status_change_at")) or created_on,
        occurred_at=created_on,
        is_resolve=event == RESOLVE,
        lifecycle=EVENTS[event],
        note=_note(message),
        description=_details(message),
        annotations=_agent(message),
    )


def _log_entry(message: Mapping[str, Any]) -> Any:
    entries = message.get("log_entries")
    return entries[0] if isinstance(entries, list) and entries else None


def _note(message: Mapping[str, Any]) -> str:
    """The note of an annotation, or what somebody wrote when they did something else."""
    entry = _log_entry(message)
    channel = part(entry, "channel")
    is_annotation = message["event"] == ANNOTATE and isinstance(channel, Mapping)
    words = first_text(channel, "content", "summary") if is_annotation else ""
    return said_by(part(entry, "agent"), words or text_of(part(entry, "note")))


def _details(message: Mapping[str, Any]) -> str:
    """What somebody wrote below the title when they raised the incident by hand."""
    details = part(part(_log_entry(message), "channel"), "details")
    return details if isinstance(details, str) else ""


def _agent(message: Mapping[str, Any]) -> dict[str, str]:
    agent = summary_of(part(_log_entry(message), "agent"))
    return {"agent": agent} if agent else {}
