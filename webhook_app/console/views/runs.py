"""Executions of definitions."""

from storage.tables import PipelineRun
from webhook_app.console.table_view import TableView


class RunView(TableView):
    """One row: one run."""

    table = PipelineRun
    noun = "run"
    columns = ("status", "definition_name", "run_id", "trace_id", "via", "created_at")
    details = (
        "trace_id",
        "run_id",
        "definition_name",
        "definition_version",
        "status",
        "current_stage",
        "incident_id",
        "source",
        "alert_fingerprint",
        "environment",
        "node_configs",
        "definition_config",
        "normalized_payload_ref",
        "checker_output_ref",
        "intelligence_output_ref",
        "notify_output_ref",
        "intelligence_fallback_used",
        "total_attempts",
        "unended_attempts",
        "max_retries",
        "last_error_type",
        "last_error_message",
        "last_error_retryable",
        "via",
        "flow_run_id",
        "fence",
        "lease_owner",
        "lease_expires_at",
        "cancel_requested_at",
        "created_at",
        "updated_at",
        "started_at",
        "resumed_at",
        "completed_at",
        "total_duration_ms",
    )
    orders = (PipelineRun.created_at,)

    def __init__(self) -> None:
        super().__init__(name="Runs", endpoint="run_rows", url="runs")
