"""Attempts at the nodes of runs."""

from typing import Any

from markupsafe import Markup
from sqlalchemy.orm import defer

from storage.redaction import redact_text
from storage.tables import StageExecution
from storage.vocabulary import Stage, StageStatus
from webhook_app.console import cells, filters
from webhook_app.console.links import row_link
from webhook_app.console.table_view import TableView


def _stack(_view: Any, _context: Any, row: StageExecution, _name: str) -> Markup | None:
    if not row.error_stack:
        return None
    return Markup('<pre class="block" tabindex="0">{}</pre>').format(redact_text(row.error_stack))


class StageView(TableView):
    """One row: one attempt."""

    table = StageExecution
    noun = "attempt"
    columns = (
        "node_id",
        "stage",
        "status",
        "attempt",
        "pipeline_run_id",
        "error_type",
        "duration_ms",
        "started_at",
    )
    details = (
        "status",
        "pipeline_run_id",
        "node_id",
        "stage",
        "attempt",
        "error_type",
        "error_message",
        "error_retryable",
        "error_stack",
        "output_snapshot",
        "started_at",
        "completed_at",
        "duration_ms",
        "idempotency_key",
        "input_ref",
        "output_ref",
    )
    exported = (
        "id",
        *columns,
        "error_message",
        "error_retryable",
        "completed_at",
        "idempotency_key",
    )
    labels = {
        "node_id": "Node",
        "pipeline_run_id": "Run",
        "error_type": "Error",
        "error_message": "Error message",
        "error_retryable": "May be tried again",
        "error_stack": "Where it was raised",
        "output_snapshot": "Output",
        "duration_ms": "Duration",
        "started_at": "Started",
        "completed_at": "Over",
    }
    orders = (StageExecution.id,)
    filters = (
        filters.words("status", StageExecution.status, StageStatus),
        filters.words("stage", StageExecution.stage, Stage),
        filters.number("run", StageExecution.pipeline_run_id, label="Run (its number)"),
    )
    led_by = ("status",)
    list_options = (
        defer(StageExecution.output_snapshot),
        defer(StageExecution.error_stack),
        defer(StageExecution.error_message),
    )
    search_hint = "run, or its trace"

    formatters = {
        "node_id": lambda view, _context, row, _name: view.link(row, row.node_id),
        "pipeline_run_id": lambda _view, _context, row, _name: row_link("run_rows", row.pipeline_run_id),
        "error_stack": _stack,
        "duration_ms": cells.milliseconds,
    }

    def __init__(self) -> None:
        super().__init__(name="Stages", endpoint="stage_rows", url="stages")

    def title_of(self, row: Any) -> str:
        """Its node and number."""
        return f"Attempt {row.attempt} at {row.node_id} (run {row.pipeline_run_id})"
