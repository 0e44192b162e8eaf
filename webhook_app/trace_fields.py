"""The whole way of an alert, trace, delivery or run: what came of it, who was told. It knows no Flask.

Only ever the newest of everything: an alert may have come ten thousand times.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, defer

from storage import inbox, runs, stages, told, trail
from storage.redaction import redact
from storage.settings import Settings
from storage.tables import (
    Alert,
    AlertHistory,
    CheckRun,
    Delivery,
    Incident,
    Notification,
    PipelineRun,
    StageExecution,
)
from storage.trail_search import Subject
from webhook_app.analysis_fields import analyses_fields
from webhook_app.delivery_fields import delivery_fields
from webhook_app.notification_fields import notification_fields, passed_over_fields
from webhook_app.run_row import run_row

SHOWN = 20
HISTORY_SHOWN = 100
CHECKS_SHOWN = 100
NOTIFICATIONS_SHOWN = 100


@dataclass(frozen=True)
class _Found:
    """The rows that a subject leads to."""

    traces: set[str]
    alerts: Sequence[Alert]
    deliveries: Sequence[Delivery]
    runs: Sequence[PipelineRun]


def trace_fields(session: Session, subject: Subject, settings: Settings) -> dict[str, Any]:
    """Everything about a subject that was found, by kind, and each of it in the order of time."""
    found = _find(session, subject)
    alert_ids = [alert.id for alert in found.alerts]
    history = trail.history_of_alerts(session, alert_ids, limit=HISTORY_SHOWN)
    if subject.kind != "alert":
        history = [row for row in history if row.trace_id in found.traces]
    incident_ids = _incident_ids(found)
    messages = _messages(session, found.runs, incident_ids if subject.kind == "alert" else ())
    passed_over = told.passed_over_of_runs(session, [run.id for run in found.runs])
    if subject.kind == "alert":
        passed_over = [each for each in passed_over if each.incident_id in incident_ids]
    traces = found.traces | {run.trace_id for run in found.runs}
    analyses = [
        row for run in found.runs[::-1] for row in trail.analyses_of_run(session, run.run_id, limit=SHOWN)[::-1]
    ]
    if subject.kind == "alert":
        analyses = [row for row in analyses if row.incident_id in incident_ids]
    return {
        "subject": {"kind": subject.kind, "id": subject.id},
        "trace_ids": sorted(traces),
        "alerts": [_alert_fields(alert) for alert in found.alerts],
        "deliveries": [delivery_fields(row) for row in found.deliveries[::-1]],
        "history": [_history_fields(row) for row in history],
        "incidents": [_incident_fields(row) for row in _incidents(session, incident_ids)],
        "runs": [_run_fields(session, run, settings) for run in found.runs[::-1]],
        "checks": [_check_fields(row) for row in trail.checks_of_traces(session, traces, limit=CHECKS_SHOWN)],
        "analyses": analyses_fields(analyses),
        "notifications": [notification_fields(row) for row in messages],
        "passed_over": passed_over_fields(passed_over),
    }


def _find(session: Session, subject: Subject) -> _Found:
    if subject.kind == "alert":
        return _of_alert(session, session.get_one(Alert, int(subject.id)))
    if subject.kind == "run":
        return _of_run(session, subject.id)
    traces = {subject.id}
    if subject.kind == "delivery":
        delivery = inbox.find_delivery(session, subject.id)
        traces = {delivery.trace_id} if delivery else set()
    return _Found(
        traces,
        trail.alerts_of_traces(session, traces, limit=SHOWN),
        trail.deliveries_of_traces(session, traces, limit=SHOWN),
        trail.runs_of_traces(session, traces, limit=SHOWN),
    )


def _of_alert(session: Session, alert: Alert) -> _Found:
    history = trail.history_of_alert(session, alert.id, limit=HISTORY_SHOWN)
    traces = {alert.trace_id, *(row.trace_id for row in history)} - {""}
    return _Found(
        traces,
        [alert],
        trail.deliveries_of_traces(session, traces, limit=SHOWN),
        trail.runs_of_traces(session, traces, limit=SHOWN),
    )


def _of_run(session: Session, run_id: str) -> _Found:
    run = runs.find_run(session, run_id)
    if run is None:
        return _Found(set(), [], [], [])
    deliveries = inbox.deliveries_of(session, run.id)
    traces = {run.trace_id, *(delivery.trace_id for delivery in deliveries)}
    return _Found(traces, trail.alerts_of_traces(session, traces, limit=SHOWN), deliveries[-SHOWN:][::-1], [run])


def _incident_ids(found: _Found) -> list[int]:
    of_alerts = [alert.incident_id for alert in found.alerts]
    of_runs = [] if of_alerts else [run.incident_id for run in found.runs]
    return [each for each in dict.fromkeys([*of_alerts, *of_runs]) if each is not None]


def _incidents(session: Session, ids: Collection[int]) -> Iterable[Incident]:
    return session.scalars(select(Incident).where(Incident.id.in_(ids)).order_by(Incident.id))


def _messages(
    session: Session, of_runs: Sequence[PipelineRun], incident_ids: Collection[int]
) -> Sequence[Notification]:
    """Of an alert those about its incident, whichever run sent them; else those of the runs."""
    run_ids = [run.run_id for run in of_runs]
    is_theirs = or_(Notification.run_id.in_(run_ids), Notification.sender_run_id.in_(run_ids))
    query = select(Notification).where(Notification.incident_id.in_(incident_ids) if incident_ids else is_theirs)
    newest = query.order_by(Notification.id.desc()).limit(NOTIFICATIONS_SHOWN).options(defer(Notification.message))
    return session.scalars(newest).all()[::-1]


def _alert_fields(alert: Alert) -> dict[str, Any]:
    fields = {
        "id": alert.id,
        "source": alert.source,
        "fingerprint": alert.fingerprint,
        "name": alert.name,
        "status": alert.status,
        "severity": alert.severity,
        "labels": alert.labels,
        "started_at": alert.started_at,
        "ended_at": alert.ended_at,
        "received_at": alert.received_at,
        "joined_at": alert.joined_at,
        "incident_id": alert.incident_id,
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def _history_fields(row: AlertHistory) -> dict[str, Any]:
    return {
        "alert_id": row.alert_id,
        "event": row.event,
        "old_status": row.old_status,
        "new_status": row.new_status,
        "details": redact(row.details),
        "trace_id": row.trace_id,
        "created_at": row.created_at,
    }


def _incident_fields(incident: Incident) -> dict[str, Any]:
    """An incident with why its alerts are together: `group_label` is what they share."""
    fields = {
        "id": incident.id,
        "title": incident.title,
        "status": incident.status,
        "severity": incident.severity,
        "group_label": incident.group_label,
        "episode": incident.episode,
        "created_at": incident.created_at,
        "acknowledged_at": incident.acknowledged_at,
        "resolved_at": incident.resolved_at,
        "closed_at": incident.closed_at,
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def _run_fields(session: Session, run: PipelineRun, settings: Settings) -> dict[str, Any]:
    attempts = stages.list_attempts(session, run.id)
    return {
        **run_row(run),
        "flow_run_url": settings.flow_run_url(run.flow_run_id),
        "stages": [_stage_fields(row) for row in attempts],
    }


def _stage_fields(row: StageExecution) -> dict[str, Any]:
    output = row.output_snapshot or {}
    fields = {
        "node_id": row.node_id,
        "stage": row.stage,
        "status": row.status,
        "attempt": row.attempt,
        "started_at": row.started_at,
        "duration_ms": row.duration_ms,
        "error_type": row.error_type,
        "error_message": row.error_message,
        "found": {key: value for key, value in output.items() if _is_figure(value)},
        "errors": output.get("errors", []),
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def _is_figure(value: object) -> bool:
    return isinstance(value, str | int | float | bool) and value not in ("", 0, False)


def _check_fields(row: CheckRun) -> dict[str, Any]:
    fields = {
        "checker": row.checker_name,
        "hostname": row.hostname,
        "status": row.status,
        "message": row.message,
        "error": row.error,
        "duration_ms": row.duration_ms,
        "executed_at": row.executed_at,
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def moment_of(fields: dict[str, Any], *names: str) -> datetime | None:
    """The first of these times that is known."""
    return next((moment for name in names if isinstance(moment := fields.get(name), datetime)), None)
