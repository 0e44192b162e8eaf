"""What AI providers and the local rules were asked."""

from typing import Any

from flask import url_for
from markupsafe import Markup
from sqlalchemy.orm import Session, defer

from storage.redaction import redact
from storage.tables import AnalysisRun
from storage.vocabulary import AnalysisStatus
from tasks.analyze.providers import PROVIDERS
from webhook_app.console import cells, filters
from webhook_app.console.links import row_link
from webhook_app.console.table_view import TableView

LONG_FIELDS = tuple(
    map(
        defer,
        (
            AnalysisRun.recommendations,
            AnalysisRun.provider_config,
            AnalysisRun.input_summary,
            AnalysisRun.summary,
            AnalysisRun.probable_cause,
        ),
    )
)


def _run(_view: Any, _context: Any, row: AnalysisRun, _name: str) -> Markup | None:
    if not row.pipeline_run_id:
        return None
    url = url_for("run_by_id", run_id=row.pipeline_run_id)
    return Markup('<a href="{}">{}</a>').format(url, row.pipeline_run_id)


class AnalysisView(TableView):
    """One row: one analysis."""

    table = AnalysisRun
    noun = "analysis"
    columns = (
        "id",
        "status",
        "provider",
        "model_name",
        "incident_id",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "duration_ms",
        "fallback_used",
        "created_at",
    )
    details = (
        "status",
        "provider",
        "model_name",
        "confidence",
        "incident_id",
        "input_summary",
        "failure_kind",
        "error_message",
        "fallback_used",
        "cached_from_id",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "duration_ms",
        "created_at",
        "started_at",
        "completed_at",
        "pipeline_run_id",
        "trace_id",
        "provider_config",
        "checker_output_ref",
    )
    exported = (
        *columns,
        "confidence",
        "failure_kind",
        "error_message",
        "cached_from_id",
        "recommendations_count",
        "pipeline_run_id",
        "trace_id",
    )
    labels = {
        "id": "Analysis",
        "model_name": "Model",
        "incident_id": "Incident",
        "prompt_tokens": "Tokens asked",
        "completion_tokens": "Tokens answered",
        "total_tokens": "Tokens in all",
        "duration_ms": "Duration",
        "fallback_used": "Rules stood in",
        "created_at": "Created",
        "started_at": "Started",
        "completed_at": "Over",
        "input_summary": "Asked about",
        "failure_kind": "Why it failed",
        "error_message": "Error",
        "cached_from_id": "Given before as",
        "pipeline_run_id": "Run",
        "trace_id": "Trace",
        "provider_config": "Provider's config",
        "checker_output_ref": "Checks",
    }
    orders = (AnalysisRun.created_at,)
    filters = (
        filters.words("status", AnalysisRun.status, AnalysisStatus),
        filters.exactly("provider", AnalysisRun.provider, options=PROVIDERS),
        filters.since(AnalysisRun.created_at),
        filters.number("incident", AnalysisRun.incident_id),
    )
    led_by = ("status",)
    list_options = LONG_FIELDS
    empty_hint = "An incident that begins to fire is analysed."
    search_hint = "run or trace"
    detail_template = "console/analysis.html"

    formatters = {
        "id": lambda view, _context, row, _name: view.link(row, str(row.id)),
        "incident_id": cells.incident,
        "failure_kind": lambda _view, _context, row, _name: row.failure_kind and str(row.failure_kind.told),
        "cached_from_id": lambda _view, _context, row, _name: row_link("analysis_rows", row.cached_from_id),
        "confidence": lambda _view, _context, row, _name: (
            None if row.confidence is None else f"{row.confidence:.0%}"
        ),
        "pipeline_run_id": _run,
        "duration_ms": cells.milliseconds,
    }

    def __init__(self) -> None:
        super().__init__(name="Analyses", endpoint="analysis_rows", url="analyses")

    def title_of(self, row: Any) -> str:
        """Who was asked."""
        return f"Analysis {row.id} by {row.provider}"

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """The answer, to be read."""
        del session
        answer = {name: getattr(row, name) for name in ("summary", "probable_cause", "recommendations")}
        return {"answer": redact(answer), "related": []}
