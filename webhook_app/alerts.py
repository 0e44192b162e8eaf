"""`/alerts/`: what the senders reported, and what became of it."""

from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session

from storage import alerts as alert_rows
from storage import trail
from storage.pages import Place
from storage.redaction import redact
from storage.tables import Alert, AlertHistory, Incident, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, Severity
from webhook_app import query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.delivery_fields import delivery_fields
from webhook_app.query import QueryError
from webhook_app.run_fields import run_fields
from webhook_app.state import state

alerts = Blueprint("alerts", __name__, url_prefix="/alerts")
alerts.register_error_handler(QueryError, query.refuse)

PARAMETERS = ("status", "severity", "source", "name", "trace_id", "incident", "since", "limit", "cursor")
HISTORY_SHOWN = 100
DELIVERIES_SHOWN = 20
RUNS_SHOWN = 20


@alerts.get("/")
@require_api_token
def list_alerts() -> Response:
    """Alerts, newest first."""
    query.check_names(request.args, known=PARAMETERS)
    limit = query.read_limit(request.args)
    with state().database.read() as session:
        found = alert_rows.list_alerts(
            session,
            statuses=query.read_words(request.args, "status", AlertStatus),
            severities=query.read_words(request.args, "severity", Severity),
            source=query.read_text(request.args, "source"),
            name=query.read_text(request.args, "name"),
            trace_id=query.read_text(request.args, "trace_id"),
            incident_id=query.read_number(request.args, "incident"),
            since=query.read_since(request.args, now=utc_now()),
            after=query.read_cursor(request.args),
            limit=limit + 1,
        )
        page = [alert_fields(alert) for alert in found[:limit]]
    has_more = len(found) > limit
    next_place = Place(found[limit - 1].received_at, found[limit - 1].id) if has_more else None
    return answer(query.page_fields("alerts", page, next_place=next_place))


@alerts.get("/<alert_id>/")
@require_api_token
def show(alert_id: str) -> Response:
    """One alert with its history, its incident, and the deliveries and runs that brought it."""
    pk = query.read_id(alert_id)
    with state().database.read() as session:
        alert = session.get(Alert, pk) if pk is not None else None
        if alert is None:
            return error_answer(404, "unknown alert")
        return answer(alert_fields(alert) | _details(session, alert))


def alert_fields(alert: Alert) -> dict[str, Any]:
    """An alert as a list shows it."""
    fields = {
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "source": alert.source,
        "name": alert.name,
        "severity": alert.severity,
        "raw_severity": alert.raw_severity,
        "status": alert.status,
        "environment": alert.environment,
        "labels": alert.labels,
        "hostname": alert.hostname,
        "started_at": alert.started_at,
        "ended_at": alert.ended_at,
        "received_at": alert.received_at,
        "updated_at": alert.updated_at,
        "trace_id": alert.trace_id,
        "incident_id": alert.incident_id,
    }
    return {**redact(fields), "url": url_for("alerts.show", alert_id=alert.id)}


def history_fields(rows: Iterable[AlertHistory]) -> list[dict[str, Any]]:
    """What happened to alerts."""
    return [
        {
            "alert_id": row.alert_id,
            "event": row.event,
            "old_status": row.old_status,
            "new_status": row.new_status,
            "details": redact(row.details),
            "trace_id": row.trace_id,
            "created_at": row.created_at,
        }
        for row in rows
    ]


def runs_fields(runs: Iterable[PipelineRun]) -> list[dict[str, Any]]:
    """Runs as `/orchestration/` shows them, with where to look for more."""
    return [{**run_fields(run), "url": url_for("orchestration.show_run", run_id=run.run_id)} for run in runs]


def _details(session: Session, alert: Alert) -> dict[str, Any]:
    history = trail.history_of_alert(session, alert.id, limit=HISTORY_SHOWN)
    # The alert names only the delivery that changed it last; its history names those before.
    trace_ids = {alert.trace_id, *(row.trace_id for row in history)} - {""}
    incident = session.get(Incident, alert.incident_id) if alert.incident_id is not None else None
    texts = {
        "description": alert.description,
        "annotations": alert.annotations,
        "raw_payload": alert.raw_payload,
        "episode": alert.episode,
        "vendor_id": alert.vendor_id,
        "occurred_at": alert.occurred_at,
        "last_received_at": alert.last_received_at,
        "joined_at": alert.joined_at,
    }
    return {
        **redact(texts),
        "incident": _incident_fields(incident) if incident else None,
        "history_count": trail.count_history(session, alert.id),
        "history": history_fields(history),
        "deliveries": [
            {**delivery_fields(row), "url": url_for("deliveries.show", delivery_id=row.delivery_id)}
            for row in trail.deliveries_of_traces(session, trace_ids, limit=DELIVERIES_SHOWN)
        ],
        "runs": runs_fields(trail.runs_of_traces(session, trace_ids, limit=RUNS_SHOWN)),
    }


def _incident_fields(incident: Incident) -> dict[str, Any]:
    fields = {
        "id": incident.id,
        "title": incident.title,
        "status": incident.status,
        "severity": incident.severity,
    }
    return {**redact(fields), "url": url_for("incidents.show", incident_id=incident.id)}
