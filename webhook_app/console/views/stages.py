"""Attempts at the nodes of runs."""

from storage.tables import StageExecution
from webhook_app.console.table_view import TableView


class StageView(TableView):
    """One row: one stage execution."""

    table = StageExecution
    noun = "stage execution"
    columns = ("status", "stage", "node_id", "attempt", "started_at")
    details = (
        "pipeline_run_id",
        "stage",
        "node_id",
        "status",
        "attempt",
        "idempotency_key",
        "input_ref",
        "output_ref",
        "output_snapshot",
        "error_type",
        "error_message",
        "error_stack",
        "error_retryable",
        "started_at",
        "completed_at",
        "duration_ms",
    )
    orders = (StageExecution.id,)

    def __init__(self) -> None:
        super().__init__(name="Stages", endpoint="stage_rows", url="stages")
