"""Everything that belongs to an incident's page, read in a fixed number of statements, the newest of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import alerts as alert_rows
from storage import trail
from storage.records import PassedOver
from storage.redaction import redact
from storage.tables import (
    Alert,
    AlertHistory,
    AnalysisRun,
    CheckRun,
    Delivery,
    Incident,
    Notification,
    PipelineRun,
    StageExecution,
)
from storage.vocabulary import AlertStatus, AnalysisStatus, CheckStatus, Severity, Stage, StageStatus
from webhook_app.analysis_fields import analyses_fields
from webhook_app.console.flow_drawing import run_drawings
from webhook_app.delivery_fields import delivery_fields
from webhook_app.notification_fields import notification_fields, passed_over_fields
from webhook_app.run_row import run_row

ALERTS_SHOWN = 20
# The alerts that changed last: of them the history and the deliveries are told.
ALERTS_TOLD = 50
HISTORY_TOLD = 200
RUNS_SHOWN = 10
CHECKS_TOLD = 60
MESSAGES_SHOWN = 50
ANALYSES_SHOWN = 20
# A check that found nothing is no news, unless it is all that there is to tell.
QUIET = (CheckStatus.OK, CheckStatus.SKIPPED)


@dataclass(frozen=True)
class Story:
    """The rows around an incident; newest first, but for the history."""

    incident: Incident
    counts: Sequence[tuple[Severity, AlertStatus, int]]
    alerts: Sequence[Alert]
    names: Mapping[int, str]
    history: Sequence[AlertHistory]
    deliveries: Sequence[Delivery]
    runs: Sequence[PipelineRun]
    drawings: Mapping[int, Markup]
    stages: Sequence[tuple[StageExecution, PipelineRun]]
    checks: Sequence[CheckRun]
    analyses: Sequence[AnalysisRun]
    messages: Sequence[Notification]
    untold: Sequence[dict[str, Any]]

    @property
    def alert_count(self) -> int:
        """All alerts of it."""
        return sum(count for *_, count in self.counts)

    @property
    def firing_count(self) -> int:
        """Those that fire."""
        return sum(count for _, status, count in self.counts if status is AlertStatus.FIRING)

    @property
    def analysis(self) -> AnalysisRun | None:
        """The newest answer."""
        return next((row for row in self.analyses if row.status is AnalysisStatus.SUCCEEDED), None)

    def fields(self) -> dict[str, Any]:
        """The rows as webhook_app/trace_story.py tells them."""
        return {
            "deliveries": [{**delivery_fields(row), "pk": row.id} for row in self.deliveries],
            "history": [],
            "alerts": [],
            "incidents": [_incident_fields(self.incident)],
            "runs": [{**run_row(run), "pk": run.id, "stages": self._stage_fields(run)} for run in self.runs],
            "checks": [_check_fields(row) for row in self.checks if row.status not in QUIET],
            "analyses": analyses_fields(self.analyses),
            "notifications": [notification_fields(row) for row in self.messages],
            "passed_over": self.untold,
        }

    def _stage_fields(self, run: PipelineRun) -> list[dict[str, Any]]:
        return [_stage_fields(row) for row, its in self.stages if its is run]


def read_story(session: Session, incident: Incident) -> Story:
    """What there is to tell of an incident."""
    latest = trail.latest_alerts(session, incident.id, limit=ALERTS_TOLD)
    traces = set(latest.values()) - {""}
    runs = trail.runs_of_incident(session, incident.id, trace_ids=traces, limit=RUNS_SHOWN)
    stages = _stages(session, runs)
    return Story(
        incident=incident,
        counts=alert_rows.count_alerts(session, [incident.id])[incident.id],
        alerts=alert_rows.first_alerts(session, incident.id, limit=ALERTS_SHOWN),
        names=_names(session, latest),
        history=trail.history_of_alerts(session, latest, limit=HISTORY_TOLD),
        deliveries=trail.deliveries_of_traces(session, traces, limit=ALERTS_TOLD),
        runs=runs,
        drawings=run_drawings(session, runs),
        stages=stages,
        checks=trail.checks_of_traces(session, traces | {run.trace_id for run in runs}, limit=CHECKS_TOLD),
        analyses=trail.analyses_of_incident(session, incident.id, limit=ANALYSES_SHOWN),
        messages=trail.notifications_of_incident(session, incident.id, limit=MESSAGES_SHOWN),
        untold=_untold(stages, incident.id),
    )


def _names(session: Session, alerts: Mapping[int, str]) -> dict[int, str]:
    rows = session.execute(select(Alert.id, Alert.name).where(Alert.id.in_(alerts)))
    return {row.id: row.name for row in rows}


def _stages(session: Session, runs: Sequence[PipelineRun]) -> list[tuple[StageExecution, PipelineRun]]:
    """Where alerts were read and channels chosen, and what failed: the drawing of the run has the rest."""
    by_pk = {run.id: run for run in runs}
    told = (Stage.INGEST, Stage.NOTIFY)
    failed = (StageStatus.FAILED, StageStatus.RETRYING)
    rows = session.scalars(
        select(StageExecution)
        .where(
            StageExecution.pipeline_run_id.in_(by_pk),
            StageExecution.stage.in_(told) | StageExecution.status.in_(failed),
        )
        .order_by(StageExecution.id)
    )
    return [(row, by_pk[row.pipeline_run_id]) for row in rows]


def _untold(stages: Sequence[tuple[StageExecution, PipelineRun]], incident_id: int) -> list[dict[str, Any]]:
    """The channels that were passed over, and why; each reason once, when it was said last."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row, _ in stages:
        for each in (row.output_snapshot or {}).get("passed_over", ()):
            one = PassedOver.model_validate(each)
            if one.incident_id == incident_id:
                [fields] = passed_over_fields([one])
                found[one.channel, one.reason, one.why] = {**fields, "at": row.completed_at}
    return list(found.values())


def _incident_fields(incident: Incident) -> dict[str, Any]:
    fields = {
        "id": incident.id,
        "title": incident.title,
        "group_label": incident.group_label,
        "created_at": incident.created_at,
        "transitions": (incident.details or {}).get("transitions", []),
        "notes": (incident.details or {}).get("notes", []),
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def _stage_fields(row: StageExecution) -> dict[str, Any]:
    output = row.output_snapshot or {}
    fields = {
        "pk": row.id,
        "node_id": row.node_id,
        "stage": row.stage,
        "status": row.status,
        "attempt": row.attempt,
        "started_at": row.completed_at or row.started_at,
        "duration_ms": row.duration_ms,
        "error_type": row.error_type,
        "error_message": row.error_message,
        "found": {name: value for name, value in output.items() if isinstance(value, str | int) and value},
        "errors": output.get("errors", [])[:5],
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def _check_fields(row: CheckRun) -> dict[str, Any]:
    fields = {
        "pk": row.id,
        "checker": row.checker_name,
        "hostname": row.hostname,
        "status": row.status,
        "message": row.message,
        "error": row.error,
        "executed_at": row.executed_at,
    }
    shown: dict[str, Any] = redact(fields)
    return shown
