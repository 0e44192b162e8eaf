"""Incidents: alerts worked together, what happened to them and why, and what people do about them."""

from collections.abc import Sequence
from typing import Any

from flask import g, request, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session, defer

from storage.alerts import author_of, count_alerts
from storage.incidents import NOTE_MAX_CHARS
from storage.redaction import redact, redact_text
from storage.storable import storable_text
from storage.tables import Incident
from storage.transitions import ALLOWED, Action, IncidentNotFoundError, TransitionError
from storage.vocabulary import AlertStatus, IncidentStatus, Severity
from webhook_app import incident_deeds
from webhook_app.console import filters
from webhook_app.console.incident_story import ALERTS_SHOWN, read_story
from webhook_app.console.pages import prefect_url
from webhook_app.console.row_actions import Deed, Input, RefusedError, RowAction
from webhook_app.console.table_view import TableView
from webhook_app.console.timeline import timeline

REFUSALS = (TransitionError, IncidentNotFoundError)
OLDEST = "oldest"
LONG_FIELDS = (defer(Incident.details), defer(Incident.description), defer(Incident.summary))


def acknowledge(deed: Deed) -> None:
    """Somebody works on it."""
    with deed.write() as session:
        incident, has_changed = incident_deeds.acknowledge(session, deed.pk, author=deed.person.name)
        if not has_changed:
            raise RefusedError(f"incident {incident.id} is acknowledged already")


def resolve(deed: Deed) -> None:
    """It is over, whatever its alerts say."""
    with deed.write() as session:
        summary = storable_text(deed.inputs["summary"])
        incident_deeds.resolve(session, deed.pk, author=deed.person.name, summary=summary)


def close(deed: Deed) -> None:
    """Nothing is left to do about it."""
    with deed.write() as session:
        incident_deeds.close(session, deed.pk, author=deed.person.name)


def add_note(deed: Deed) -> None:
    """Something to remember."""
    with deed.write() as session:
        text = storable_text(deed.inputs["text"])
        incident_deeds.add_note(session, deed.pk, author=deed.person.name, text=text)


def _action(action: Action, **said: Any) -> RowAction:
    return RowAction(name=action, refusals=REFUSALS, fits=lambda row: action in ALLOWED[row.status], **said)


class IncidentView(TableView):
    """One row: one incident."""

    table = Incident
    noun = "incident"
    columns = ("status", "severity", "title", "alerts", "environment", "started_at", "created_at", "updated_at")
    details = (
        "environment",
        "started_at",
        "created_at",
        "updated_at",
        "acknowledged_at",
        "resolved_at",
        "closed_at",
        "episode",
        "truncated_alerts",
        "group_key",
    )
    exported = (
        "id",
        "status",
        "severity",
        "title",
        "environment",
        "group_label",
        "episode",
        "started_at",
        "created_at",
        "updated_at",
        "acknowledged_at",
        "resolved_at",
        "closed_at",
    )
    labels = {
        "alerts": "Firing / all",
        "created_at": "Opened",
        "group_label": "Group",
        "truncated_alerts": "Left out by the sender",
    }
    orders = (Incident.created_at, Incident.updated_at)
    filters = (
        filters.words("status", Incident.status, IncidentStatus),
        filters.words("severity", Incident.severity, Severity),
        filters.exactly("environment", Incident.environment),
        filters.since(Incident.created_at),
    )
    led_by = ("status", "severity")
    list_options = LONG_FIELDS
    empty_hint = "An alert that fires opens one."
    search_hint = "id, fingerprint or host of an alert"
    detail_template = "console/incident.html"
    row_actions = (
        _action(Action.ACKNOWLEDGE, label="Acknowledge", done="acknowledged", do=acknowledge),
        _action(
            Action.RESOLVE,
            label="Resolve",
            done="resolved",
            do=resolve,
            asks="It is over, whatever its alerts say. They stay as they are; who had the alarm is told.",
            inputs=(Input("summary", "What it was, and what helped", is_long=True, max_chars=NOTE_MAX_CHARS),),
        ),
        _action(
            Action.CLOSE,
            label="Close",
            done="closed",
            do=close,
            asks="Nothing is left to do about it. What fires later opens a new incident.",
            is_grave=True,
        ),
        _action(
            Action.NOTE,
            label="Add a note",
            done="noted",
            do=add_note,
            inputs=(Input("text", "Note", is_required=True, is_long=True, max_chars=NOTE_MAX_CHARS),),
        ),
    )

    formatters = {
        "title": lambda view, _context, row, _name: view.link(row, redact_text(row.title)),
        "alerts": lambda _view, _context, row, _name: _counts(row.id),
    }

    def __init__(self) -> None:
        super().__init__(name="Incidents", endpoint="incident_rows", url="incidents")

    def title_of(self, row: Any) -> str:
        """Its title."""
        return f"Incident {row.id}: {redact_text(row.title)}"

    def complete(self, session: Session, rows: Sequence[Any]) -> None:
        """How many alerts each has, and how many of them fire."""
        g.alert_counts = count_alerts(session, [row.id for row in rows])

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """Its story."""
        story = read_story(session, row)
        is_oldest_first = request.args.get("order") == OLDEST
        return {
            "related": [],
            "story": story,
            "timeline": timeline(story, is_oldest_first=is_oldest_first),
            "is_oldest_first": is_oldest_first,
            "told": redact({"summary": row.summary, "description": row.description, "group": row.group_label}),
            "notes": redact((row.details or {}).get("notes", []))[::-1],
            "acknowledged_by": redact_text(author_of(row, IncidentStatus.ACKNOWLEDGED)),
            "ended_by": redact_text(author_of(row, row.status)),
            "recommendations": redact(story.analysis.recommendations) if story.analysis else [],
            "lasted_ms": _lasted_ms(row),
            "is_over": row.status in (IncidentStatus.RESOLVED, IncidentStatus.CLOSED),
            "alerts_shown": ALERTS_SHOWN,
            "alerts_url": url_for("alert_rows.index_view", incident=row.id),
            "prefect_url": prefect_url,
            "search_text": f"incident:{row.id}",
        }


def _counts(pk: int) -> Markup:
    counts = g.alert_counts.get(pk, ())
    firing = sum(count for _, status, count in counts if status is AlertStatus.FIRING)
    url = url_for("alert_rows.index_view", incident=pk)
    return Markup('<a href="{}">{} / {}</a>').format(url, firing, sum(count for *_, count in counts))


def _lasted_ms(incident: Incident) -> float | None:
    """How long it burned; None while it does."""
    ended_at = incident.resolved_at or incident.closed_at
    return (ended_at - incident.started_at).total_seconds() * 1000 if ended_at else None
