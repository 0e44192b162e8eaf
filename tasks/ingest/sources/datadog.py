"""Datadog monitors through its Webhooks integration: our payload template, and Datadog's own default body.

Format: https://docs.datadoghq.com/integrations/webhooks/. Our template is webhook_app/vendor/datadog.json; a
variable that has no value arrives empty, as "null" or as its own name. A monitor of several groups is one
alert for each group.
"""

from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus
from tasks.ingest.fingerprint import bounded, fingerprint_of
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import UnreadablePayloadError, first_text, object_of
from tasks.ingest.sources.datadog_event import TEST, fields_of
from tasks.ingest.sources.datadog_tags import labels_of, scope_of
from tasks.ingest.times import read_time

NAME = "datadog"
UNMISTAKABLE = frozenset(["alert_transition", "alert_cycle_key", "aggreg_key"])
VARIABLES = UNMISTAKABLE | {
    *("alert_id", "alert_title", "alert_status", "alert_type", "alert_priority", "alert_scope"),
    *("alert_metric", "alert_query", "event_title", "event_type", "event_msg", "text_only_msg"),
}
DEFAULT_BODY = frozenset(["title", "event_type", "last_updated", "date"])
TITLES = ("alert_title", "event_title", "title")
TEXTS = (*TITLES, "alert_id", "aggreg_key", "alert_transition")
ANNOTATIONS = ("link", "snapshot", "alert_status", "alert_query", "event_title", "org_name")

RECOVERED = "recovered"
# Their date is when the state began; that of the others is when somebody was reminded of it.
STARTS = frozenset(["triggered", "warn", "no data"])
REMINDERS = frozenset(["re-triggered", "re-warn", "re-no data", "renotify"])
# Muting silences notifications and lets the states of the monitor go on:
# https://docs.datadoghq.com/monitors/downtimes/
CHANGES_NOTHING = {
    "muted": "muted: the monitor notifies nobody for a while, its state is as it was",
    "": "no transition: the event is not about the state of a monitor",
}
# The type that Datadog gives to the event of a transition: https://docs.datadoghq.com/monitors/
TRANSITION_OF_TYPE = {"error": "triggered", "warning": "warn", "success": RECOVERED, "info": ""}
TYPE_OF_TRANSITION = {"triggered": "error", "re-triggered": "error", "warn": "warning", "re-warn": "warning"}


def detect(payload: Any) -> bool:
    """Two variables of Datadog's, of which one is nobody else's; or the fields of the default body."""
    if not isinstance(payload, Mapping):
        return False
    names = payload.keys()
    is_template = bool(UNMISTAKABLE & names) and len(VARIABLES & names) > 1
    return is_template or (names >= DEFAULT_BODY and bool(names & {"body", "org"}))


def check(payload: Any) -> None:
    """The fields that name the alert are text, and one of them is set."""
    for name in TEXTS:
        if isinstance(object_of(payload).get(name), dict | list):
            raise UnreadablePayloadError(f"{name} must be text")
    fields = fields_of(payload)
    if not any(fields.get(name) for name in ("alert_title", "alert_id", "aggreg_key")):
        raise UnreadablePayloadError(f"none of alert_id, aggreg_key, {', '.join(TITLES)} is filled in")


def parse(payload: Any) -> ParsedPayload:
    """The alert of the event's monitor and group; none where the event changes no state."""
    check(payload)
    fields = fields_of(payload)
    transition = _transition(fields)
    if transition in CHANGES_NOTHING:
        return ParsedPayload(source=NAME, alerts=[], remark=CHANGES_NOTHING[transition])
    return ParsedPayload(source=NAME, alerts=[_alert(fields, transition, payload)])


def _transition(fields: Mapping[str, str]) -> str:
    said = fields.get("alert_transition", "").casefold()
    if not said and "alert_id" in fields:  # the event is a monitor's
        said = TRANSITION_OF_TYPE.get(fields.get("alert_type", "").casefold(), "unknown")
    if said not in {*STARTS, *REMINDERS, RECOVERED, *CHANGES_NOTHING}:
        raise UnreadablePayloadError("neither alert_transition nor the title names a transition of Datadog's")
    return said


def _alert(fields: Mapping[str, str], transition: str, payload: Mapping[str, Any]) -> ParsedAlert:
    labels = labels_of(fields)
    name = fields.get("alert_title") or f"Datadog monitor {fields.get('alert_id', '')}".strip()
    fingerprint = _fingerprint(fields, name, labels)
    word = _severity_word(fields, transition)
    happened_at = read_time(fields.get("date", ""))
    return ParsedAlert(
        fingerprint=fingerprint,
        name=name,
        status=AlertStatus.RESOLVED if transition == RECOVERED else AlertStatus.FIRING,
        severity=normalise_severity(word),
        raw_severity=word,
        description=_description(fields),
        labels=labels,
        annotations={name: fields[name] for name in ANNOTATIONS if name in fields},
        started_at=happened_at if transition in STARTS else None,
        ended_at=happened_at if transition == RECOVERED else None,
        occurred_at=happened_at,
        episode=fields.get("alert_cycle_key"),
        group_key=fingerprint,
        raw_payload=dict(payload),
    )


def _fingerprint(fields: Mapping[str, str], name: str, labels: Mapping[str, str]) -> str:
    """Datadog's key of monitor and group; else the two. A test never touches the alert it imitates.

    Without a group the host stands for it; without a host the monitor is one alert, as a simple alert is.
    """
    host = first_text(labels, "hostname", "host")
    scope = ",".join(sorted(scope_of(fields))) or (f"host:{host}" if host else "*")
    monitor = fields.get("alert_id") or fingerprint_of(name, {})
    key = fields.get("aggreg_key") or f"{monitor}:{scope}"
    return bounded(f"test:{key}" if name.startswith(TEST) else key)


def _severity_word(fields: Mapping[str, str], transition: str) -> str:
    """The monitor's priority, whatever its threshold; else the type of the event, unless it is an end."""
    word = first_text(fields, "alert_priority", "alert_type") or TYPE_OF_TRANSITION.get(transition, "")
    return "" if word.casefold() == "success" else word


def _description(fields: Mapping[str, str]) -> str:
    text = first_text(fields, "text_only_msg", "event_msg", "alert_status")
    return text.removeprefix("%%%").removesuffix("%%%").strip()
