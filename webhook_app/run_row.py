"""What is known of a run, wherever it is shown."""

from typing import Any

from storage.redaction import redact
from storage.tables import PipelineRun


def run_row(run: PipelineRun) -> dict[str, Any]:
    """A run without what belongs to it, and without where Prefect shows it."""
    fields = {
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
        "intelligence_fallback_used": run.intelligence_fallback_used,
        "total_attempts": run.total_attempts,
        "max_retries": run.max_retries,
        "last_error_type": run.last_error_type,
        "last_error_message": run.last_error_message,
        "last_error_retryable": run.last_error_retryable,
        "cancel_requested_at": run.cancel_requested_at,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "total_duration_ms": run.total_duration_ms,
    }
    shown: dict[str, Any] = redact(fields)
    return shown
