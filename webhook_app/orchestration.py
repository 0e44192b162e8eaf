"""`/orchestration/`: pipeline runs with their stages and notifications."""

from typing import Any

from flask import Blueprint, Response, current_app, request

from storage import inbox, runs, stages, told, trail
from storage.tables import PipelineRun, StageExecution
from storage.vocabulary import RunStatus
from webhook_app import query
from webhook_app.access import require_api_token
from webhook_app.analysis_fields import ANALYSES_SHOWN, analyses_fields
from webhook_app.answers import answer, error_answer
from webhook_app.notification_fields import notification_fields, passed_over_fields
from webhook_app.query import QueryError
from webhook_app.state import state

orchestration = Blueprint("orchestration", __name__, url_prefix="/orchestration")
orchestration.register_error_handler(QueryError, query.refuse)

PARAMETERS = ("status", "limit", "before")


@orchestration.get("/pipelines/")
@require_api_token
def list_runs() -> Response:
    """Runs, newest first. Filters: `status`; pages: `limit`, and `before` (the `next_before` of the last page)."""
    query.check_names(request.args, known=PARAMETERS)
    status = query.read_word(request.args, "status", RunStatus)
    limit = query.read_limit(request.args)
    before = query.read_number(request.args, "before")
    with state().database.read() as session:
        found = runs.list_runs(session, status=status, before_id=before, limit=limit)
        page = [run_fields(run) for run in found]
    next_before = found[-1].id if len(found) == limit else None
    return answer({"count": len(page), "next_before": next_before, "pipelines": page})


@orchestration.get("/pipeline/<run_id>/")
@require_api_token
def show_run(run_id: str) -> Response:
    """One run with its deliveries, the attempts at its stages, its newest analyses, and who was told or not."""
    with state().database.read() as session:
        run = runs.find_run(session, run_id)
        if run is None:
            return error_answer(404, "unknown pipeline run")
        fields = run_fields(run)
        fields["deliveries"] = [
            {"delivery_id": d.delivery_id, "trace_id": d.trace_id, "status": d.status, "reason": d.reason}
            for d in inbox.deliveries_of(session, run.id)
        ]
        fields["stages"] = [stage_fields(row) for row in stages.list_attempts(session, run.id)]
        analysed = trail.analyses_of_run(session, run.run_id, limit=ANALYSES_SHOWN)
        fields["analyses"] = analyses_fields(analysed)
        fields["notifications"] = [notification_fields(row) for row in told.messages_of_run(session, run.run_id)]
        fields["passed_over"] = passed_over_fields(told.passed_over_of_runs(session, [run.id]))
    return answer(fields)


def run_fields(run: PipelineRun) -> dict[str, Any]:
    """A run as the API shows it."""
    return {
        "run_id": run.run_id,
        "trace_id": run.trace_id,
        "pipeline": run.definition_name,
        "definition_version": run.definition_version,
        "status": run.status,
        "current_stage": run.current_stage,
        "incident_id": run.incident_id,
        "source": run.source,
        "alert_fingerprint": run.alert_fingerprint,
        "environment": run.environment,
        "via": run.via,
        "flow_run_id": run.flow_run_id,
        "flow_run_url": current_app.config["WATCHKEEPER"].flow_run_url(run.flow_run_id),
        "intelligence_fallback_used": run.intelligence_fallback_used,
        "total_attempts": run.total_attempts,
        "max_retries": run.max_retries,
        "last_error_type": run.last_error_type,
        "last_error_message": run.last_error_message,
        "last_error_retryable": run.last_error_retryable,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "total_duration_ms": run.total_duration_ms,
    }


def stage_fields(row: StageExecution) -> dict[str, Any]:
    """An attempt at a stage as the API shows it."""
    return {
        "node_id": row.node_id,
        "stage": row.stage,
        "status": row.status,
        "attempt": row.attempt,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "duration_ms": row.duration_ms,
        "output": row.output_snapshot,
        "error_type": row.error_type,
        "error_message": row.error_message,
        "error_retryable": row.error_retryable,
    }
