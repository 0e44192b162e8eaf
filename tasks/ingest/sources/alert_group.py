"""A group of alerts, as Prometheus Alertmanager makes it and Grafana took it over.

Alertmanager: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
Grafana: https://grafana.com/docs/grafana/latest/alerting/contact-points/notifiers/webhook-notifier
"""

from collections.abc import Callable, Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus
from tasks.ingest.fingerprint import bounded, fingerprint_of
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import (
    UnreadablePayloadError,
    first_text,
    list_of,
    object_of,
    parse_each,
    text_of,
    texts_of,
)
from tasks.ingest.times import read_time

MARKS = frozenset(["groupKey", "receiver", "groupLabels", "commonLabels"])
FIELDS = MARKS | {"alerts", "status", "commonAnnotations", "externalURL", "truncatedAlerts"}
FEWEST_FIELDS = 3
# What Grafana adds to the group, and to each alert.
GRAFANA_FIELDS = frozenset(["orgId", "appVersion"])
GRAFANA_ALERT_FIELDS = frozenset(
    ["silenceURL", "dashboardURL", "panelURL", "imageURL", "values", "valueString", "ruleUID"]
)
UNNAMED = "unnamed alert"
TRUNCATED_MAX_DIGITS = 9  # what the column holds


def is_group(payload: Any) -> bool:
    """Whether an object has the form, even where one of its fields is missing."""
    if not isinstance(payload, Mapping) or not ("alerts" in payload or "groupKey" in payload):
        return False
    return not MARKS.isdisjoint(payload) and len(FIELDS & payload.keys()) >= FEWEST_FIELDS


def has_grafana_fields(group: Mapping[str, Any]) -> bool:
    """Whether the group, or one of its alerts, has a field that only Grafana writes."""
    alerts = group.get("alerts")
    return not GRAFANA_FIELDS.isdisjoint(group) or any(
        isinstance(entry, Mapping) and not GRAFANA_ALERT_FIELDS.isdisjoint(entry)
        for entry in (alerts if isinstance(alerts, list) else [])
    )


def check_group(payload: Any) -> None:
    """The top level is an object whose `alerts` is a list. Raises UnreadablePayloadError."""
    if "alerts" not in object_of(payload):
        raise UnreadablePayloadError(
            "alerts is missing: if a `payload` template replaces the sender's standard body, take it out"
        )
    list_of(payload["alerts"], "alerts")


def parse_group(
    group: Mapping[str, Any], source: str, parse_one: Callable[[Mapping[str, Any], str | None], ParsedAlert]
) -> ParsedPayload:
    """A group that `check_group` let pass, each of its alerts read by `parse_one`, which gets the group's key."""
    group_key = text_of(group.get("groupKey")) or None
    alerts, faults = parse_each(group["alerts"], lambda entry: parse_one(entry, group_key))
    return ParsedPayload(
        source=source,
        alerts=alerts,
        faults=faults,
        version=text_of(group.get("version")),
        group_key=group_key,
        receiver=text_of(group.get("receiver")),
        external_url=text_of(group.get("externalURL")),
        truncated_alerts=_truncated(group.get("truncatedAlerts")),
        remark="" if group["alerts"] else "the list of alerts is empty",
    )


def parse_alert(entry: Mapping[str, Any], group_key: str | None) -> ParsedAlert:
    """One alert. Raises UnreadablePayloadError where it has no status, or nothing that tells it from others."""
    labels = texts_of(entry.get("labels"), "labels")
    annotations = texts_of(entry.get("annotations"), "annotations")
    status = _status(entry.get("status"))
    if entry.get("generatorURL"):
        annotations.setdefault("generator_url", text_of(entry["generatorURL"]))
    return ParsedAlert(
        fingerprint=_fingerprint(entry, labels),
        name=labels.get("alertname") or annotations.get("summary") or UNNAMED,
        status=status,
        severity=normalise_severity(labels.get("severity", "")),
        raw_severity=labels.get("severity", ""),
        description=first_text(annotations, "description", "summary", "message"),
        labels=labels,
        annotations=annotations,
        started_at=read_time(entry.get("startsAt")),
        ended_at=read_time(entry.get("endsAt")) if status is AlertStatus.RESOLVED else None,
        group_key=group_key,
        is_repeated=True,
        raw_payload=dict(entry),
    )


def _fingerprint(entry: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    given = text_of(entry.get("fingerprint"))
    if not given and not labels:
        raise UnreadablePayloadError("fingerprint or labels is needed")
    # Not of the name where a summary stands for it: that may say a value, which changes.
    return bounded(given or fingerprint_of(labels.get("alertname", ""), labels))


def _status(value: Any) -> AlertStatus:
    try:
        return AlertStatus(text_of(value).strip().casefold())
    except ValueError:
        raise UnreadablePayloadError("status must be firing or resolved") from None


def _truncated(value: Any) -> int:
    text = text_of(value).strip()
    if text.isdecimal() and len(text) <= TRUNCATED_MAX_DIGITS:
        return int(text)
    return 0
