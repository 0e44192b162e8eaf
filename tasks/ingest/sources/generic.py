"""Anything that can post JSON: one object, or a list of them under `alerts`.

The fields are ours (README, "Sources"); each has the other names that home-made senders use. An alert that gives
no status fires; the words for one are in generic_status.py. `timestamp` is when a problem began or, on its end,
when it ended. A number as severity is a warning like any unknown word: 1 is the worst for some senders and the
least for others.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus, Severity
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
from tasks.ingest.sources.generic_status import LIFECYCLES, RESOLVED, is_silent, shared_status, state_of, status_of
from tasks.ingest.times import read_time

NAME = "generic"
NAMES = ("name", "title", "alertname", "alert_name", "summary")
FINGERPRINTS = ("fingerprint", "dedup_key", "alert_uid")
SEVERITIES = ("severity", "level", "priority")
STARTS = ("started_at", "startsAt")
ENDS = ("ended_at", "endsAt", "resolved_at")
MOMENTS = ("timestamp", "ts")
DESCRIPTIONS = ("description", "message", "text", "body", "details", "summary")
HOSTS = ("host", "hostname", "instance")
LINKS = {
    "url": ("url", "link", "link_to_upstream_details"),
    "runbook_url": ("runbook_url",),
    "dashboard_url": ("dashboard_url",),
    "generator_url": ("generator_url", "generatorURL"),
    "value": ("value",),
}
# States that are severities too, as plugins of Nagios have them.
GRADED = frozenset(["critical", "crit", "warning", "warn"])


def detect(payload: Any) -> bool:
    """An object with a name, or with a list of alerts."""
    return isinstance(payload, Mapping) and (payload.get("alerts") is not None or bool(_name(payload)))


def check(payload: Any) -> None:
    """The top level is an object; `alerts`, where given, is a list; else there is a name."""
    if object_of(payload).get("alerts") is not None:
        list_of(payload["alerts"], "alerts")
    elif not _name(payload):
        raise UnreadablePayloadError(f"one of {', '.join(NAMES)} is needed")


def parse(payload: Any) -> ParsedPayload:
    """The payload itself as one alert, or each entry of `alerts`, whose status may be that of all."""
    check(payload)
    version = text_of(payload.get("version"))
    entries = payload.get("alerts")
    if entries is None:
        alerts, faults = parse_each([payload], _parse_alert, "payload")
        return ParsedPayload(source=NAME, alerts=alerts, faults=faults, version=version)
    shared = shared_status(payload)
    alerts, faults = parse_each(entries, lambda entry: _parse_alert(entry, shared if is_silent(entry) else {}))
    remark = "" if entries else "the list of alerts is empty"
    return ParsedPayload(source=NAME, alerts=alerts, faults=faults, version=version, remark=remark)


def _parse_alert(entry: Mapping[str, Any], shared: Mapping[str, Any] | None = None) -> ParsedAlert:
    name = _name(entry)
    if not name:
        raise UnreadablePayloadError(f"one of {', '.join(NAMES)} is needed")
    labels = _labels(entry)
    happened_at, ended_at = _moment(entry, MOMENTS), _moment(entry, ENDS)
    state = state_of(shared or entry)
    lifecycle = LIFECYCLES.get(state)
    unsaid = AlertStatus.RESOLVED if _moment(entry, ("resolved_at",)) else AlertStatus.FIRING
    status = status_of(entry, state) or unsaid
    is_resolved = status is AlertStatus.RESOLVED
    severity, raw_severity = _severity(entry, labels, state, is_resolved=is_resolved)
    # On an end or an acknowledgement `timestamp` is the time of that.
    begun_at = None if is_resolved or lifecycle else happened_at
    annotations = _annotations(entry)
    return ParsedAlert(
        fingerprint=bounded(_first(entry, FINGERPRINTS) or fingerprint_of(name, labels)),
        name=name,
        status=status,
        severity=severity,
        raw_severity=raw_severity,
        description=_description(entry, annotations, name),
        labels=labels,
        annotations=annotations,
        started_at=_moment(entry, STARTS) or begun_at,
        ended_at=ended_at or happened_at if is_resolved else None,
        occurred_at=happened_at or (ended_at if is_resolved else None),
        lifecycle=lifecycle,
        raw_payload=dict(entry),
    )


def _severity(
    entry: Mapping[str, Any], labels: Mapping[str, str], state: str, *, is_resolved: bool
) -> tuple[Severity | None, str]:
    """The severity and its word; an end that calls itself ok says nothing about what has ended."""
    word = _first(entry, SEVERITIES) or labels.get("severity", "") or (state if state in GRADED else "")
    if is_resolved and word.casefold() in RESOLVED:
        return None, word
    return normalise_severity(word), word


def _labels(entry: Mapping[str, Any]) -> dict[str, str]:
    labels = texts_of(_object(entry.get("labels")), "labels")
    return {name: text for name in HOSTS if (text := _word(entry.get(name)))} | labels


def _annotations(entry: Mapping[str, Any]) -> dict[str, str]:
    annotations = texts_of(_object(entry.get("annotations")), "annotations")
    return {name: text for name, keys in LINKS.items() if (text := _first(entry, keys))} | annotations


def _object(value: Any) -> Any:
    """An object that is empty: PHP writes it as an empty list, shells as empty text."""
    return None if value in ("", []) else value


def _description(entry: Mapping[str, Any], annotations: Mapping[str, str], name: str) -> str:
    texts = [text_of(entry.get(field)) for field in DESCRIPTIONS]
    noted = [annotations.get(field, "") for field in ("description", "summary", "message")]
    return next((text for text in (*texts, *noted) if text and text != name), "")


def _name(entry: Mapping[str, Any]) -> str:
    labels = entry.get("labels")
    return _first(entry, NAMES) or (_word(labels.get("alertname")) if isinstance(labels, Mapping) else "")


def _moment(entry: Mapping[str, Any], names: tuple[str, ...]) -> datetime | None:
    return read_time(_first(entry, names))


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _word(entry.get(name)))), "")


def _word(value: Any) -> str:
    """Text or a number; what has parts, or is only true or false, names nothing."""
    return "" if isinstance(value, bool | dict | list) else text_of(value).strip()
