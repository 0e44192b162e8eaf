"""A trace as lines of text in the order of time. `fields` are those of `webhook_app.trace_fields`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from storage.tables.base import utc_now
from webhook_app.notification_fields import fate_line, passed_over_line
from webhook_app.trace_fields import moment_of

Event = tuple[datetime, str, str]
Fields = dict[str, Any]

FIGURES = (
    ("alerts_seen", "{} alerts"),
    ("alerts_created", "{} new"),
    ("alerts_resolved", "{} resolved"),
    ("incidents_created", "{} incidents opened"),
    ("checks_run", "{} checks"),
    ("checks_failed", "{} failed"),
    ("fallback_used", "local rules stood in"),
    ("channels_succeeded", "{} channels told"),
    ("channels_failed", "{} channels failed"),
    ("waiting", "{} messages wait"),
    ("skipped", "{}"),
)


def heading_of(fields: Fields) -> Iterator[str]:
    """What the trace is of."""
    subject = fields["subject"]
    yield f"{subject['kind']} {subject['id']}"
    for alert in fields["alerts"]:
        yield f"alert {alert['id']}: {alert['name']}, {alert['severity']}, {alert['status']} ({alert['source']})"
        labels = ", ".join(f"{name}={value}" for name, value in alert["labels"].items())
        yield f"    fingerprint {alert['fingerprint']}" + (f"; {labels}" if labels else "")
    for incident in fields["incidents"]:
        yield f"incident {incident['id']}: {incident['title']}, {incident['severity']}, {incident['status']}"
    yield ""


def timeline_of(fields: Fields) -> list[Event]:
    """Everything that happened, oldest first."""
    events = [
        *(event for each in fields["deliveries"] for event in _delivery_events(each)),
        *(event for each in fields["history"] for event in _history_events(each)),
        *(event for each in fields["alerts"] for event in _joining(each, fields["incidents"])),
        *(event for each in fields["incidents"] for event in _incident_events(each)),
        *(event for each in fields["runs"] for event in _run_events(each)),
        *(event for each in fields["checks"] for event in _check_events(each)),
        *(event for each in fields["analyses"] for event in _analysis_events(each)),
        *(event for each in fields["notifications"] for event in _message_events(each)),
    ]
    end = max((at for at, _, _ in events), default=utc_now())
    untold = [passed_over_line(each).removeprefix("not told: ") for each in fields["passed_over"]]
    events += [(end, "not told", line) for line in untold]
    return sorted(events, key=lambda event: event[0])


def _delivery_events(each: Fields) -> Iterator[Event]:
    source = each["source"] or "unknown source"
    route = f" by {each['route']}" if each["route"] else ""
    said = f"{each['delivery_id']}: {source}, {each['body_bytes']} bytes, to {each['pipeline']}{route}"
    yield each["received_at"], "delivery", f"received {said}"
    if each["finished_at"] or each["reason"]:
        reason = f": {each['reason']}" if each["reason"] else ""
        yield each["finished_at"] or each["received_at"], "delivery", f"{each['status']}{reason}"


def _history_events(each: Fields) -> Iterator[Event]:
    details = ", ".join(f"{name} {value}" for name, value in each["details"].items())
    change = f"{each['old_status'] or 'new'} to {each['new_status']}"
    was = f", {change}" if each["old_status"] != each["new_status"] else ""
    yield (
        each["created_at"],
        "alert",
        f"{each['alert_id']} {each['event']}{was}" + (f" ({details})" if details else ""),
    )


def _joining(alert: Fields, incidents: list[Fields]) -> Iterator[Event]:
    incident = next((each for each in incidents if each["id"] == alert["incident_id"]), None)
    if incident and alert["joined_at"]:
        why = incident["group_label"]
        yield (
            alert["joined_at"],
            "incident",
            f"alert {alert['id']} joined incident {incident['id']}: its group is {why}",
        )


def _incident_events(each: Fields) -> Iterator[Event]:
    for name, word in (
        ("created_at", f"opened: {each['title']}"),
        ("acknowledged_at", "acknowledged"),
        ("resolved_at", "resolved"),
        ("closed_at", "closed"),
    ):
        if at := each[name]:
            yield at, "incident", f"{each['id']} {word}"


def _run_events(each: Fields) -> Iterator[Event]:
    via = ", without Prefect" if each["via"] == "direct" else ""
    name = f"{each['run_id']}: {each['pipeline']} version {each['definition_version']}"
    begun = moment_of(each, "started_at", "created_at")
    if begun:
        yield begun, "run", f"{'began' if each['started_at'] else 'waits'} {name}{via}"
    for stage in each["stages"]:
        if stage["started_at"]:
            yield stage["started_at"], "stage", _stage_text(stage)
    if each["completed_at"]:
        again = f", {each['total_attempts']} executions" if each["total_attempts"] > 1 else ""
        error = f": {each['last_error_type']}: {each['last_error_message']}" if each["last_error_type"] else ""
        duration = _milliseconds(each["total_duration_ms"])
        yield each["completed_at"], "run", f"ended {each['run_id']} {each['status']}{duration}{again}{error}"


def _stage_text(stage: Fields) -> str:
    attempt = f", attempt {stage['attempt']}" if stage["attempt"] > 1 else ""
    found = [text.format(stage["found"][key]) for key, text in FIGURES if stage["found"].get(key)]
    error = f"{stage['error_type']}: {stage['error_message']}" if stage["error_type"] else ""
    said = "; ".join(
        [", ".join(found)] * bool(found) + [error] * bool(error) + [str(each) for each in stage["errors"]]
    )
    name = (
        stage["stage"] if stage["node_id"].upper() == stage["stage"] else f"{stage['stage']} ({stage['node_id']})"
    )
    return f"{name} {stage['status']}{_milliseconds(stage['duration_ms'])}{attempt}" + (
        f": {said}" if said else ""
    )


def _check_events(each: Fields) -> Iterator[Event]:
    yield each["executed_at"], "check", f"{each['checker']} {each['status']}: {each['error'] or each['message']}"


def _analysis_events(each: Fields) -> Iterator[Event]:
    at = moment_of(each, "completed_at", "started_at")
    if at is None:
        return
    tokens = f", {each['total_tokens']} tokens" if each["total_tokens"] else ""
    stood_in = ", in an AI provider's place" if each["fallback_used"] else ""
    said = each["summary"] or each["error"]
    yield at, "analysis", f"{each['provider']} {each['status']}{stood_in}{tokens}" + (f": {said}" if said else "")


def _message_events(each: Fields) -> Iterator[Event]:
    fate = fate_line(each, now=utc_now()).removeprefix("notification: ")
    tries = f" ({each['attempts']} tries)" if each["attempts"] > 1 else ""
    title = f": {each['title']}" if each["title"] else ""  # it is written when the message is first sent
    yield each["sent_at"] or each["created_at"], "notification", f"{fate}{tries}{title}"


def _milliseconds(duration_ms: float | None) -> str:
    return "" if duration_ms is None else f" in {duration_ms:.0f} ms"
