"""What AI providers and the local rules were asked."""

from storage.tables import AnalysisRun
from webhook_app.console.table_view import TableView


class AnalysisView(TableView):
    """One row: one analysis."""

    table = AnalysisRun
    noun = "analysis"
    columns = ("status", "provider", "incident_id", "created_at")
    details = (
        "trace_id",
        "pipeline_run_id",
        "provider",
        "provider_config",
        "model_name",
        "status",
        "error_message",
        "failure_kind",
        "fallback_used",
        "incident_id",
        "input_summary",
        "checker_output_ref",
        "recommendations",
        "recommendations_count",
        "summary",
        "probable_cause",
        "confidence",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cache_key",
        "cached_from_id",
        "created_at",
        "started_at",
        "completed_at",
        "duration_ms",
    )
    orders = (AnalysisRun.created_at,)

    def __init__(self) -> None:
        super().__init__(name="Analyses", endpoint="analysis_rows", url="analyses")
