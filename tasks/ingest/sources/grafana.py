"""Grafana: unified alerting here, the alerting of dashboards (to version 10) in grafana_legacy.

Format: https://grafana.com/docs/grafana/latest/alerting/contact-points/notifiers/webhook-notifier
It is Alertmanager's with more in it. The status is each alert's own: `state`, `title` and `message` speak of the
group, and are to go.
No data and errors: https://grafana.com/docs/grafana/latest/alerting/fundamentals/alert-rule-evaluation/nodata-and-error-states/
"""

from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import Severity
from tasks.ingest.sources import grafana_legacy
from tasks.ingest.sources.alert_group import check_group, has_grafana_fields, is_group, parse_alert, parse_group
from tasks.ingest.sources.base import object_of, text_of

NAME = "grafana"
ANNOTATIONS = {
    "silenceURL": "silence_url",
    "dashboardURL": "dashboard_url",
    "panelURL": "panel_url",
    "imageURL": "image_url",
    "values": "values",
    "valueString": "value_string",
    "ruleUID": "rule_uid",
}
# Alerts about a rule that cannot be evaluated. Their fingerprint is not that of the rule's own alerts.
OUTAGES = {"DatasourceNoData": "no data", "DatasourceError": "the query failed"}


def detect(payload: Any) -> bool:
    """A group of version 1 or with Grafana's fields; or a rule's state as the old alerting writes it."""
    if is_group(payload):
        return payload.get("version") in ("1", 1) or has_grafana_fields(payload)
    return grafana_legacy.detect(payload)


def check(payload: Any) -> None:
    """The top level has a list `alerts`, or is a rule's state."""
    if grafana_legacy.detect(object_of(payload)):
        grafana_legacy.check(payload)
    else:
        check_group(payload)


def parse(payload: Any) -> ParsedPayload:
    """One alert per entry of `alerts`, or the one of the rule."""
    check(payload)
    if not grafana_legacy.detect(payload):
        return parse_group(payload, NAME, _parse_alert)
    alert = grafana_legacy.parse_rule(payload)
    remark = "" if alert else "the rule's state is neither alerting, no_data nor ok: it changes nothing"
    return ParsedPayload(source=NAME, alerts=[alert] if alert else [], remark=remark)


def _parse_alert(entry: Mapping[str, Any], group_key: str | None) -> ParsedAlert:
    alert = parse_alert(entry, group_key)
    given = {ours: text_of(entry[theirs]) for theirs, ours in ANNOTATIONS.items() if entry.get(theirs)}
    added: dict[str, Any] = {"annotations": given | alert.annotations}
    if alert.name in OUTAGES:
        added["severity"] = alert.severity or Severity.WARNING
        added["description"] = _outage(alert)
    return alert.model_copy(update=added)


def _outage(alert: ParsedAlert) -> str:
    """What cannot be evaluated and why, before the rule's own text, which speaks of what it would have found."""
    rule, error = alert.labels.get("rulename", ""), alert.annotations.get("Error", "")
    what = f"{rule}: {OUTAGES[alert.name]}" if rule else OUTAGES[alert.name]
    said = [error, alert.description if alert.description != error else ""]
    return "\n".join([what, *(text for text in said if text)])
