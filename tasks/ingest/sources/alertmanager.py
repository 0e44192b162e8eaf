"""Prometheus Alertmanager, webhook version 4.

Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
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

NAME = "alertmanager"
MARKS = ("groupKey", "receiver", "groupLabels", "commonLabels")


def detect(payload: Any) -> bool:
    """`alerts` and `status` with one of the group's fields, and version 4 where a version is given."""
    if not isinstance(payload, Mapping) or "alerts" not in payload or "status" not in payload:
        return False
    return any(mark in payload for mark in MARKS) and payload.get("version", "4") == "4"


def check(payload: Any) -> None:
    """The top level is an object whose `alerts` is a list."""
    list_of(object_of(payload).get("alerts"), "alerts")


def parse(payload: Any) -> ParsedPayload:
    """One alert per entry of `alerts`; the status is each entry's own."""
    check(payload)
    group_key = text_of(payload.get("groupKey")) or None
    alerts, faults = parse_each(payload["alerts"], lambda entry: _parse_alert(entry, group_key))
    truncated = payload.get("truncatedAlerts")
    return ParsedPayload(
        source=NAME,
        alerts=alerts,
        faults=faults,
        version=text_of(payload.get("version")),
        group_key=group_key,
        receiver=text_of(payload.get("receiver")),
        external_url=text_of(payload.get("externalURL")),
        truncated_alerts=truncated if isinstance(truncated, int) and truncated > 0 else 0,
    )


def _parse_alert(entry: Mapping[str, Any], group_key: str | None) -> ParsedAlert:
    labels = texts_of(entry.get("labels"), "labels")
    annotations = texts_of(entry.get("annotations"), "annotations")
    status = _status(entry.get("status"))
    name = labels.get("alertname") or annotations.get("summary") or "unnamed alert"
    if entry.get("generatorURL"):
        annotations.setdefault("generator_url", text_of(entry["generatorURL"]))
    return ParsedAlert(
        fingerprint=bounded(text_of(entry.get("fingerprint")) or fingerprint_of(name, labels)),
        name=name,
        status=status,
        severity=normalise_severity(labels.get("severity", "")),
        raw_severity=labels.get("severity", ""),
        description=_first(annotations, "description", "summary", "message"),
        labels=labels,
        annotations=annotations,
        started_at=read_time(entry.get("startsAt")),
        ended_at=read_time(entry.get("endsAt")) if status is AlertStatus.RESOLVED else None,
        group_key=group_key,
        raw_payload=dict(entry),
    )


def _status(value: Any) -> AlertStatus:
    try:
        return AlertStatus(text_of(value).strip().casefold())
    except ValueError:
        raise UnreadablePayloadError("status must be firing or resolved") from None


def _first(texts: Mapping[str, str], *names: str) -> str:
    return next((texts[name] for name in names if texts.get(name)), "")
