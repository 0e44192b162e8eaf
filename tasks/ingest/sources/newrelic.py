"""New Relic issues, as workflows post them; incidents of the older notification channels are read beside it.

Format: https://docs.newrelic.com/docs/alerts/get-notified/custom-variables-alert-event-workflows/, in New Relic's
default payload or in ours (webhook_app/vendor/newrelic_workflow.hbs), which has more of them.
"""

import re
from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus, Lifecycle
from tasks.ingest.fingerprint import bounded
from tasks.ingest.sources.base import UnreadablePayloadError, object_of, text_of
from tasks.ingest.sources.newrelic_fields import about, entities_of, joined, said, severity_of
from tasks.ingest.sources.newrelic_legacy import check_incident, is_incident, is_test, parse_incident
from tasks.ingest.times import read_time

NAME = "newrelic"
MARKS = frozenset(["issueUrl", "issueId", "impactedEntities", "alertPolicyNames", "alertConditionNames"])
ACTIVE = frozenset(["created", "activated", "active"])
ACKNOWLEDGED = frozenset(["acknowledged", "issue_acknowledged"])
CLOSED = frozenset(["closed", "merged"])
# Of what people do to an active issue, workflows tell only of its acknowledgement:
# https://docs.newrelic.com/docs/alerts/get-notified/incident-workflows/#workflows-triggered
USER_ACTION = "user_action"
LABELS = {"condition": "alertConditionNames", "policy": "alertPolicyNames", "workflow": "workflowName"}
ANNOTATIONS = {
    "issue_url": "issueUrl",
    "policy_url": "policyUrl",
    "runbook_url": "runbookUrl",
    "chart_url": "chartUrl",
    "trigger": "trigger",
    "incident_count": "totalIncidents",
    "muting_state": "mutingState",
    "acknowledged_by": "acknowledgedBy",
    "closed_by": "closedBy",
    "owner": "owner",
}
_ISSUE_IN_URL = re.compile(r"/issues/([\w-]+)")


def detect(payload: Any) -> bool:
    """An issue's state with a field that only New Relic has, or two of those; or an incident."""
    if not isinstance(payload, Mapping):
        return False
    return len((MARKS | {"state"}) & payload.keys()) > 1 or is_incident(payload)


def check(payload: Any) -> None:
    """There is an id and a known state."""
    if not MARKS & object_of(payload).keys():
        check_incident(payload)
        return
    if not _issue(payload):
        raise UnreadablePayloadError("id or issueUrl is needed")
    if _word(payload, "state") not in ACTIVE | ACKNOWLEDGED | CLOSED:
        raise UnreadablePayloadError("state must be CREATED, ACTIVATED or CLOSED")


def parse(payload: Any) -> ParsedPayload:
    """The issue, or the incident, as one alert; none for a test of a channel."""
    check(payload)
    if MARKS & payload.keys():
        return ParsedPayload(source=NAME, alerts=[_parse_issue(payload)])
    version = text_of(payload.get("version"))
    if is_test(payload):
        return ParsedPayload(source=NAME, alerts=[], version=version, remark="New Relic's test of the channel")
    return ParsedPayload(source=NAME, alerts=[parse_incident(payload)], version=version)


def _parse_issue(payload: Mapping[str, Any]) -> ParsedAlert:
    fingerprint = bounded(_issue(payload))
    is_over = _word(payload, "state") in CLOSED
    updated_at = read_time(said(payload, "updatedAt"))
    return ParsedAlert(
        fingerprint=fingerprint,
        name=said(payload, "title", "issueTitle", "alertConditionNames") or "unnamed issue",
        status=AlertStatus.RESOLVED if is_over else AlertStatus.FIRING,
        severity=severity_of(said(payload, "priority")),
        raw_severity=said(payload, "priority"),
        description=said(payload, "description", "details"),
        labels=_labels(payload),
        annotations={label: text for label, name in ANNOTATIONS.items() if (text := said(payload, name))},
        started_at=read_time(said(payload, "createdAt")),
        ended_at=(read_time(said(payload, "closedAt")) or updated_at) if is_over else None,
        occurred_at=updated_at,
        lifecycle=None if is_over else _lifecycle(payload),
        episode=fingerprint,
        group_key=fingerprint,
        raw_payload=dict(payload),
    )


def _issue(payload: Mapping[str, Any]) -> str:
    found = _ISSUE_IN_URL.search(said(payload, "issueUrl"))
    return said(payload, "id", "issueId") or (found[1] if found else "")


def _word(payload: Mapping[str, Any], name: str) -> str:
    return said(payload, name).casefold()


def _lifecycle(payload: Mapping[str, Any]) -> Lifecycle | None:
    """What was done about an active issue: the default payload tells it by its trigger only."""
    told = _word(payload, "isAcknowledged")
    acknowledged = told == "true" or (not told and bool(said(payload, "acknowledgedBy", "owner")))
    trigger = _word(payload, "trigger")
    if acknowledged or ACKNOWLEDGED & {_word(payload, "state"), trigger}:
        return Lifecycle.ACKNOWLEDGED
    if trigger == USER_ACTION:
        return Lifecycle.UNACKNOWLEDGED if told == "false" else Lifecycle.ACKNOWLEDGED
    return None


def _labels(payload: Mapping[str, Any]) -> dict[str, str]:
    tags = payload.get("tags")
    labels = {name: joined(value) for name, value in tags.items()} if isinstance(tags, Mapping) else {}
    labels |= {label: text for label, name in LABELS.items() if (text := joined(payload.get(name)))}
    return about(labels, [*entities_of(payload.get("impactedEntities")), *entities_of(payload.get("entities"))])
