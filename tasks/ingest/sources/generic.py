"""Anything that can post JSON: one object, or a list of them under `alerts`.

The fields are ours (README, "Sources"); each has the other names that home-made senders use.
"""

from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus
from tasks.ingest.fingerprint import bounded, fingerprint_of
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import (
    UnreadablePayloadError,
    list_of,
    object_of,
    parse_each,
    text_of,
    texts_of,
)
from tasks.ingest.times import read_time

NAME = "generic"
NAMES = ("name", "title", "alertname", "alert_name", "summary")
STATUSES = ("status", "state")
SEVERITIES = ("severity", "level", "priority")
STARTS = ("started_at", "startsAt", "timestamp", "ts")
ENDS = ("ended_at", "endsAt", "resolved_at")
DESCRIPTIONS = ("description", "message", "text")
FIRING = frozenset(["", "firing", "alerting", "triggered", "problem", "open", "active", "critical", "warning"])
RESOLVED = frozenset(["resolved", "ok", "recovered", "closed", "cleared", "inactive", "up"])


def detect(payload: Any) -> bool:
    """An object with a name, or with a list of alerts."""
    if not isinstance(payload, Mapping):
        return False
    return "alerts" in payload or any(payload.get(name) for name in NAMES)


def check(payload: Any) -> None:
    """The top level is an object; `alerts`, where given, is a list; else there is a name."""
    if "alerts" in object_of(payload):
        list_of(payload["alerts"], "alerts")
    elif not any(payload.get(name) for name in NAMES):
        raise UnreadablePayloadError(f"one of {', '.join(NAMES)} is needed")


def parse(payload: Any) -> ParsedPayload:
    """The payload itself as one alert, or each entry of `alerts`."""
    check(payload)
    entries = payload.get("alerts", [payload])
    alerts, faults = parse_each(entries, _parse_alert, "alerts" if "alerts" in payload else "payload")
    return ParsedPayload(source=NAME, alerts=alerts, faults=faults, version=text_of(payload.get("version")))


def _parse_alert(entry: Mapping[str, Any]) -> ParsedAlert:
    labels = texts_of(entry.get("labels"), "labels")
    for label in ("host", "hostname", "instance"):
        if entry.get(label):
            labels.setdefault(label, text_of(entry[label]))
    name = _first(entry, NAMES) or labels.get("alertname", "")
    if not name:
        raise UnreadablePayloadError(f"one of {', '.join(NAMES)} is needed")
    status = _status(_first(entry, STATUSES))
    raw_severity = _first(entry, SEVERITIES) or labels.get("severity", "")
    return ParsedAlert(
        fingerprint=bounded(text_of(entry.get("fingerprint")) or fingerprint_of(name, labels)),
        name=name,
        status=status,
        severity=normalise_severity(raw_severity),
        raw_severity=raw_severity,
        description=_first(entry, DESCRIPTIONS),
        labels=labels,
        annotations=texts_of(entry.get("annotations"), "annotations"),
        started_at=read_time(_first_value(entry, STARTS)),
        ended_at=read_time(_first_value(entry, ENDS)) if status is AlertStatus.RESOLVED else None,
        raw_payload=dict(entry),
    )


def _status(word: str) -> AlertStatus:
    word = word.strip().casefold()
    if word in FIRING:
        return AlertStatus.FIRING
    if word in RESOLVED:
        return AlertStatus.RESOLVED
    raise UnreadablePayloadError("status is neither a firing nor a resolved word")


def _first_value(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) not in (None, "")), None)


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return text_of(_first_value(entry, names))
