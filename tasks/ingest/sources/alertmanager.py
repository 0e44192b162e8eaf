"""Prometheus Alertmanager, webhook version 4.

Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
A list without a group around it is what a Prometheus posts to an Alertmanager, and what some scripts imitate:
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from tasks.ingest.sources.alert_group import check_group, has_grafana_fields, is_group, parse_alert, parse_group
from tasks.ingest.sources.base import UnreadablePayloadError, parse_each

NAME = "alertmanager"


def detect(payload: Any) -> bool:
    """A group of version 4, or of no version and without Grafana's fields; or a list in which an alert stands."""
    if isinstance(payload, list):
        return any(isinstance(entry, Mapping) and isinstance(entry.get("labels"), Mapping) for entry in payload)
    if not is_group(payload):
        return False
    version = payload.get("version")
    return version in ("4", 4) or (version in (None, "") and not has_grafana_fields(payload))


def check(payload: Any) -> None:
    """The top level is an object whose `alerts` is a list, or a list that is not empty."""
    if not isinstance(payload, list):
        check_group(payload)
    elif not payload:
        raise UnreadablePayloadError("the payload must not be an empty list")


def parse(payload: Any) -> ParsedPayload:
    """One alert per entry of `alerts`, or of the list; the status is each entry's own."""
    check(payload)
    if not isinstance(payload, list):
        return parse_group(payload, NAME, parse_alert)
    alerts, faults = parse_each(payload, _parse_lone_alert, "payload")
    return ParsedPayload(source=NAME, alerts=alerts, faults=faults)


def _parse_lone_alert(entry: Mapping[str, Any]) -> ParsedAlert:
    # Prometheus says by a time in the future that an alert fires, and sends such a time again and again.
    if "status" not in entry:
        raise UnreadablePayloadError(
            "status is missing, as in what a Prometheus sends: let it send to an Alertmanager, and that one to us"
        )
    return parse_alert(entry, None)
