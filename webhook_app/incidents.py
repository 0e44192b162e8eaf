"""`/incidents/`: alerts worked together, and what was done about them."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session

from storage import alerts as alert_rows
from storage import incidents as incident_rows
from storage import told, trail, transitions
from storage.pages import Place
from storage.redaction import redact
from storage.tables import Incident
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, IncidentStatus, Severity
from webhook_app import query
from webhook_app.access import require_api_token
from webhook_app.alerts import RUNS_SHOWN, alert_fields, history_fields, runs_fields
from webhook_app.analysis_fields import ANALYSES_SHOWN, analyses_fields
from webhook_app.answers import answer, error_answer
from webhook_app.notification_fields import notification_fields, passed_over_fields
from webhook_app.query import QueryError
from webhook_app.state import state

incidents = Blueprint("incidents", __name__, url_prefix="/incidents")
incidents.register_error_handler(QueryError, query.refuse)

PARAMETERS = ("status", "severity", "source", "name", "trace_id", "since", "limit", "cursor")
HISTORY_SHOWN = 50
NOTIFICATIONS_SHOWN = 50

Counts = Sequence[tuple[Severity, AlertStatus, int]]


@incidents.get("/")
@require_api_token
def list_incidents() -> Response:
    """Incidents, newest first; `source`, `name` and `trace_id` are those of an alert of theirs."""
    query.check_names(request.args, known=PARAMETERS)
    limit = query.read_limit(request.args)
    with state().database.read() as session:
        found = incident_rows.list_incidents(
            session,
            statuses=query.read_words(request.args, "status", IncidentStatus),
            severities=query.read_words(request.args, "severity", Severity),
            source=query.read_text(request.args, "source"),
            name=query.read_text(request.args, "name"),
            trace_id=query.read_text(request.args, "trace_id"),
            since=query.read_since(request.args, now=utc_now()),
            after=query.read_cursor(request.args),
            limit=limit + 1,
        )
        counts = alert_rows.count_alerts(session, [incident.id for incident in found[:limit]])
        page = [_summary(incident, counts[incident.id]) for incident in found[:limit]]
    has_more = len(found) > limit
    next_place = Place(found[limit - 1].created_at, found[limit - 1].id) if has_more else None
    return answer(query.page_fields("incidents", page, next_place=next_place))


@incidents.get("/<incident_id>/")
@require_api_token
def show(incident_id: str) -> Response:
    """One incident with its first alerts, and the newest of what happened to them and was done about it."""
    pk = query.read_id(incident_id)
    with state().database.read() as session:
        incident = session.get(Incident, pk) if pk is not None else None
        if incident is None:
            return error_answer(404, "unknown incident")
        return answer(incident_fields(session, incident) | _trail(session, incident))


def incident_fields(session: Session, incident: Incident) -> dict[str, Any]:
    """An incident with what people have done about it, and may do now."""
    counts = alert_rows.count_alerts(session, [incident.id])[incident.id]
    fields = {
        "description": incident.description,
        "summary": incident.summary,
        "notes": incident.details.get("notes", []),
        "notes_dropped": incident.details.get("notes_dropped", 0),
        "transitions": incident.details.get("transitions", []),
        "transitions_dropped": incident.details.get("transitions_dropped", 0),
    }
    return {
        **_summary(incident, counts),
        **redact(fields),
        "status_counts": {status: _total(counts, status=status) for status in AlertStatus},
        "severity_counts": {severity: _total(counts, severity=severity) for severity in Severity},
        "allowed": transitions.ALLOWED[incident.status],
    }


def _summary(incident: Incident, counts: Counts) -> dict[str, Any]:
    fields = {
        "id": incident.id,
        "title": incident.title,
        "status": incident.status,
        "severity": incident.severity,
        "environment": incident.environment,
        "group_label": incident.group_label,
        "episode": incident.episode,
        "truncated_alerts": incident.truncated_alerts,
        "started_at": incident.started_at,
        "created_at": incident.created_at,
        "updated_at": incident.updated_at,
        "acknowledged_at": incident.acknowledged_at,
        "resolved_at": incident.resolved_at,
        "closed_at": incident.closed_at,
    }
    return {
        **redact(fields),
        "alert_count": _total(counts),
        "firing_alert_count": _total(counts, status=AlertStatus.FIRING),
        "url": url_for("incidents.show", incident_id=incident.id),
    }


def _total(counts: Counts, *, status: AlertStatus | None = None, severity: Severity | None = None) -> int:
    return sum(
        count
        for one_severity, one_status, count in counts
        if status in (None, one_status) and severity in (None, one_severity)
    )


def _trail(session: Session, incident: Incident) -> dict[str, Any]:
    shown = alert_rows.first_alerts(session, incident.id, limit=alert_rows.ALERTS_SHOWN)
    # The newest entries of all alerts are among those of the alerts that changed last.
    latest = trail.latest_alerts(session, incident.id, limit=HISTORY_SHOWN)
    trace_ids = set(latest.values()) - {""}
    runs = trail.runs_of_incident(session, incident.id, trace_ids=trace_ids, limit=RUNS_SHOWN)
    messages = trail.notifications_of_incident(session, incident.id, limit=NOTIFICATIONS_SHOWN)
    analysed = trail.analyses_of_incident(session, incident.id, limit=ANALYSES_SHOWN)
    return {
        "alerts": [alert_fields(alert) for alert in shown],
        "alerts_url": url_for("alerts.list_alerts", incident=incident.id),
        "history": history_fields(trail.history_of_alerts(session, latest, limit=HISTORY_SHOWN)),
        "runs": runs_fields(runs),
        "analyses": analyses_fields(analysed),
        "notifications": [notification_fields(row) for row in messages],
        "passed_over": passed_over_fields(told.passed_over_of_incident(session, incident.id, runs)),
    }
