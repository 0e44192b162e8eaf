"""Opsgenie webhooks, and those of Jira Service Management, which are the same.

Format: https://support.atlassian.com/opsgenie/docs/opsgenie-edge-connector-alert-action-data/
Every body is one action on one alert. `createdAt` is in milliseconds and `updatedAt` in nanoseconds.
"""

import re
from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus, Lifecycle, Severity
from tasks.ingest.fingerprint import bounded
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import UnreadablePayloadError, first_text, object_of, text_of, texts_of
from tasks.ingest.times import read_time

NAME = "opsgenie"
MARKS = ("integrationId", "integrationName", "integrationType")
CREATE = "create"
ENDS = frozenset(["close", "delete"])
# Whatever else is done to an alert, a custom action too, is an update of it.
LIFECYCLES = {
    "acknowledge": Lifecycle.ACKNOWLEDGED,
    "unacknowledge": Lifecycle.UNACKNOWLEDGED,
    "addnote": Lifecycle.NOTE,
    "escalate": Lifecycle.ESCALATED,
    "escalatenext": Lifecycle.ESCALATED,
    "assignownership": Lifecycle.ASSIGNED,
    "takeownership": Lifecycle.ASSIGNED,
}
# "P1", 1 and "1" come from integrations of different age; "P3-Moderate" is how the pages show it.
PRIORITY = re.compile(r"p?([1-5])(?![0-9])", re.IGNORECASE)
# `env:prod`, but neither a link nor a sentence.
PAIR_TAG = re.compile(r"([A-Za-z_][\w.-]*):(?!//)(\S.*)")


def detect(payload: Any) -> bool:
    """An `action` on an `alert` that has Opsgenie's id, or comes through one of its integrations."""
    if not isinstance(payload, Mapping) or "action" not in payload:
        return False
    alert = payload.get("alert")
    return isinstance(alert, Mapping) and ("alertId" in alert or any(mark in payload for mark in MARKS))


def check(payload: Any) -> None:
    """The top level names an action, and the alert is an object."""
    action = object_of(payload).get("action")
    if not isinstance(action, str) or not action.strip():
        raise UnreadablePayloadError("action must be text")
    if not isinstance(payload.get("alert"), Mapping):
        raise UnreadablePayloadError("alert must be an object")


def parse(payload: Any) -> ParsedPayload:
    """The one alert; an action that tells no more than the alert's id makes a partial one."""
    check(payload)
    alert = _parse_alert(payload, payload["alert"], payload["action"].strip().casefold())
    return ParsedPayload(source=NAME, alerts=[alert], receiver=text_of(payload.get("integrationName")))


def _parse_alert(payload: Mapping[str, Any], alert: Mapping[str, Any], action: str) -> ParsedAlert:
    alert_id = text_of(alert.get("alertId"))
    identity = text_of(alert.get("alias")) or alert_id
    if not identity:
        raise UnreadablePayloadError("alert.alertId or alert.alias is needed")
    message = text_of(alert.get("message"))
    is_end = action in ENDS
    is_partial = not message and not is_end and action != CREATE
    raw_severity = text_of(alert.get("priority"))
    created_at = read_time(alert.get("createdAt"))
    updated_at = read_time(alert.get("updatedAt"))
    return ParsedAlert(
        fingerprint=bounded(identity),
        name=message or ("" if is_partial else identity),
        status=AlertStatus.RESOLVED if is_end else AlertStatus.FIRING,
        severity=_severity(raw_severity),
        raw_severity=raw_severity,
        description=text_of(alert.get("description")),
        labels=_labels(alert),
        annotations=_annotations(payload, alert),
        started_at=created_at,
        ended_at=updated_at if is_end else None,
        occurred_at=updated_at or (created_at if action == CREATE else None),
        lifecycle=None if is_end or action == CREATE else LIFECYCLES.get(action, Lifecycle.UPDATED),
        note=_note(alert),
        episode=alert_id or None,
        group_key=identity,
        vendor_id=bounded(alert_id),
        is_partial=is_partial,
        raw_payload=dict(payload),
    )


def _severity(priority: str) -> Severity | None:
    level = PRIORITY.match(priority.strip())
    return normalise_severity(f"p{level[1]}" if level else priority)


def _labels(alert: Mapping[str, Any]) -> dict[str, str]:
    """The details and the `key:value` tags as they are; the entity is what the sender made of it, not a host."""
    tags = _tags(alert.get("tags"))
    details = alert.get("details")
    own = {"entity": text_of(alert.get("entity")), "team": text_of(alert.get("team")), "tags": ",".join(tags)}
    return {
        **{pair[1]: pair[2] for tag in tags if (pair := PAIR_TAG.fullmatch(tag))},
        **(texts_of(details, "alert.details") if isinstance(details, Mapping) else {}),
        **{name: text for name, text in own.items() if text},
    }


def _annotations(payload: Mapping[str, Any], alert: Mapping[str, Any]) -> dict[str, str]:
    annotations = {
        "action": text_of(payload.get("action")),
        "alert_source": text_of(alert.get("source")),
        "tiny_id": text_of(alert.get("tinyId")),
        "username": text_of(alert.get("username")),
        "owner": text_of(alert.get("owner")),
        "responders": _names(alert.get("responders")),
        "integration": text_of(payload.get("integrationName")),
    }
    return {name: text for name, text in annotations.items() if text}


def _note(alert: Mapping[str, Any]) -> str:
    note, author = text_of(alert.get("note")), first_text(alert, "username")
    return f"{author}: {note}" if note and author else note


def _tags(value: Any) -> list[str]:
    tags = value if isinstance(value, list) else text_of(value).split(",")
    return [text for tag in tags if (text := text_of(tag).strip())]


def _names(responders: Any) -> str:
    if not isinstance(responders, list):
        return ""
    names = [first_text(each, "name", "username", "id") for each in responders if isinstance(each, Mapping)]
    return ",".join(filter(None, names))
