"""What happened, in sentences and in the order of time: for `watchkeeper trace` and the console. No Flask here.

`fields` are those of `webhook_app.trace_fields`, or the same for an incident (webhook_app/console/timeline.py).
Where a row's fields hold its `pk`, the event tells it, so that a page can link to it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from storage.redaction import redact
from storage.tables.base import utc_now
from storage.vocabulary import FailureKind
from webhook_app.notification_fields import fate_line, passed_over_line
from webhook_app.trace_fields import moment_of

Fields = dict[str, Any]

FIGURES = (
    ("alerts_seen", "{} alert{s}"),
    ("alerts_created", "{} new"),
    ("alerts_resolved", "{} resolved"),
    ("incidents_created", "{} incident{s} opened"),
    ("checks_run", "{} check{s}"),
    ("checks_failed", "{} failed"),
    ("fallback_used", "local rules stood in"),
    ("channels_succeeded", "{} channel{s} told"),
    ("channels_failed", "{} channel{s} failed"),
    ("waiting", "{} message{s} waiting"),
    ("skipped", "{}"),
)


class Event(NamedTuple):
    """One thing that happened; `status` is the word of it that says how it went, `pk` the number of its row."""

    at: datetime
    what: str
    text: str
    status: str = ""
    pk: int | None = None


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
    end = max((event.at for event in events), default=utc_now())
    events += [
        Event(each.get("at") or end, "not told", passed_over_line(each).removeprefix("not told: "))
        for each in fields["passed_over"]
    ]
    return sorted(events, key=lambda event: event.at)


def _delivery_events(each: Fields) -> Iterator[Event]:
    source, pk = each["source"] or "unknown source", each.get("pk")
    route = f" by {each['route']}" if each["route"] else ""
    said = f"{each['delivery_id']}: {source}, {each['body_bytes']} bytes, to {each['pipeline']}{route}"
    yield Event(each["received_at"], "delivery", f"received {said}", pk=pk)
    if each["finished_at"] or each["reason"]:
        reason = f": {each['reason']}" if each["reason"] else ""
        at, status = each["finished_at"] or each["received_at"], each["status"]
        yield Event(at, "delivery", f"{status}{reason}", status, pk)


def _history_events(each: Fields) -> Iterator[Event]:
    details = ", ".join(f"{name} {value}" for name, value in redact(dict(each["details"])).items())
    change = f"{each['old_status'] or 'new'} to {each['new_status']}"
    was = f", {change}" if each["old_status"] != each["new_status"] else ""
    said = f"{each['alert_id']} {each['event']}{was}" + (f" ({details})" if details else "")
    yield Event(each["created_at"], "alert", said, each["new_status"], each.get("pk"))


def _joining(alert: Fields, incidents: list[Fields]) -> Iterator[Event]:
    incident = next((each for each in incidents if each["id"] == alert["incident_id"]), None)
    if incident and alert["joined_at"]:
        said = f"alert {alert['id']} joined incident {incident['id']}: its group is {incident['group_label']}"
        yield Event(alert["joined_at"], "incident", said, pk=incident["id"])


def _incident_events(each: Fields) -> Iterator[Event]:
    """Who moved it where, and what was written of it, where the fields say that; else when it was moved last."""
    pk = each["id"]
    yield Event(each["created_at"], "incident", f"{pk} opened: {each['title']}", "open", pk)
    if "transitions" in each:
        yield from (_moved(pk, move) for move in each["transitions"])
        for note in each["notes"]:
            said = f"{note.get('author') or 'somebody'} noted: {note.get('text', '')}"
            yield Event(_read_time(note), "note", said, pk=pk)
        return
    for name, word in (("acknowledged_at", "acknowledged"), ("resolved_at", "resolved"), ("closed_at", "closed")):
        if at := each[name]:
            yield Event(at, "incident", f"{pk} {word}", word, pk)


def _moved(pk: int, move: Fields) -> Event:
    to, was, author = str(move.get("to", "")), str(move.get("from", "")), str(move.get("author", ""))
    word = (
        to if to != "open" else "taken up again" if was == "acknowledged" else "open again: its alerts fire anew"
    )
    why = f" by {author}" if author else ": none of its alerts fires any more" if to == "resolved" else ""
    return Event(_read_time(move), "incident", f"{pk} {word}{why}", to, pk)


def _read_time(kept: Fields) -> datetime:
    return datetime.fromisoformat(str(kept["at"]))


def _run_events(each: Fields) -> Iterator[Event]:
    via, pk = ", without Prefect" if each["via"] == "direct" else "", each.get("pk")
    name = f"{each['run_id']}: {each['pipeline']} version {each['definition_version']}"
    begun = moment_of(each, "started_at", "created_at")
    if begun:
        yield Event(begun, "run", f"{'began' if each['started_at'] else 'waits'} {name}{via}", pk=pk)
    for stage in each["stages"]:
        if stage["started_at"]:
            yield Event(stage["started_at"], "stage", _stage_text(stage), stage["status"], stage.get("pk"))
    if each["completed_at"]:
        again = f", {each['total_attempts']} executions" if each["total_attempts"] > 1 else ""
        error = f": {each['last_error_type']}: {each['last_error_message']}" if each["last_error_type"] else ""
        duration = _milliseconds(each["total_duration_ms"])
        said = f"ended {each['run_id']} {each['status']}{duration}{again}{error}"
        yield Event(each["completed_at"], "run", said, each["status"], pk)


def _stage_text(stage: Fields) -> str:
    attempt = f", attempt {stage['attempt']}" if stage["attempt"] > 1 else ""
    found = [
        text.format(figure, s="" if figure == 1 else "s")
        for key, text in FIGURES
        if (figure := stage["found"].get(key))
    ]
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
    # A page about several hosts says which; the command's lines are of one.
    where = f" on {each['hostname']}" if each.get("pk") else ""
    said = f"{each['checker']}{where} {each['status']}: {each['error'] or each['message']}"
    yield Event(each["executed_at"], "check", said, each["status"], each.get("pk"))


def _analysis_events(each: Fields) -> Iterator[Event]:
    at = moment_of(each, "completed_at", "started_at")
    if at is None:
        return
    tokens = f", {each['total_tokens']} tokens" if each["total_tokens"] else ""
    stood_in = ", in an AI provider's place" if each["fallback_used"] else ""
    if each["fallback_used"] and each["failure_kind"]:
        stood_in += f": {FailureKind(each['failure_kind']).told}"
    said = each["summary"] or each["error"]
    text = f"{each['provider']} {each['status']}{stood_in}{tokens}" + (f": {said}" if said else "")
    yield Event(at, "analysis", text, each["status"], each["id"])


def _message_events(each: Fields) -> Iterator[Event]:
    fate = fate_line(each, now=utc_now()).removeprefix("notification: ")
    tries = f" ({each['attempts']} tries)" if each["attempts"] > 1 else ""
    title = f": {each['title']}" if each["title"] else ""  # it is written when the message is first sent
    text = f"{fate}{tries}{title}"
    yield Event(each["sent_at"] or each["created_at"], "notification", text, each["status"], each["id"])


def _milliseconds(duration_ms: float | None) -> str:
    return "" if duration_ms is None else f" in {duration_ms:.0f} ms"
