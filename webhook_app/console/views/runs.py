"""Executions of definitions."""

from typing import Any

from flask import abort, redirect, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from storage import runs
from storage.overrides import is_in_hand
from storage.run_list import LONG_FIELDS, RunWord, kinds_of
from storage.storable import storable_text
from storage.tables import PipelineRun
from storage.vocabulary import RunVia
from webhook_app import query
from webhook_app.console import cells, filters, formats
from webhook_app.console.filters import Filter
from webhook_app.console.flow_drawing import run_drawings
from webhook_app.console.pages import prefect_url
from webhook_app.console.run_deeds import MARK_FAILED, RETRY
from webhook_app.console.run_page import definition_link, related_rows, standing
from webhook_app.console.table_view import TableView, reading

SHORT_ID_CHARS = 8
ERROR_MAX_CHARS = 30
# What stands at the head of a run's page; the rest stands at its end.
FACTS = (
    "incident_id",
    "flow_run_id",
    "source",
    "environment",
    "via",
    "total_attempts",
    "created_at",
    "total_duration_ms",
    "trace_id",
    "run_id",
)
VIA = {RunVia.PREFECT: "Prefect", RunVia.DIRECT: "direct, without Prefect"}


def _read_status(text: str) -> list[Any]:
    words = query.read_words(MultiDict({"status": text}), "status", RunWord)
    return [kind for word in words for kind in kinds_of(word)]


def _status(_view: Any, _context: Any, run: PipelineRun, _name: str) -> Markup:
    """Its status, and for one that is not over whether anybody executes it."""
    said = formats.badge(run.status)
    if run.completed_at is not None:
        return said
    goes_on = "going on" if is_in_hand(run) else "waiting"
    return Markup('{} <span class="soft">{}</span>').format(
        said, "stopping" if run.cancel_requested_at else goes_on
    )


def _flow_run(_view: Any, _context: Any, run: PipelineRun, _name: str) -> Markup | str:
    """The link to Prefect's page of it."""
    url = prefect_url(run.flow_run_id)
    if url:
        shown = f"Flow run {run.flow_run_id} in Prefect"
        return Markup('<a href="{}" rel="noopener">{}</a>').format(url, shown)
    if run.flow_run_id:
        return run.flow_run_id
    if run.started_at is None:
        return "not begun, so no flow run yet"
    return "executed directly, no flow run"


def _in_one_line(text: str) -> Markup:
    return Markup('<span class="word">{}</span>').format(text or formats.NOTHING)


def short_id(run: PipelineRun) -> Markup:
    """The beginning of its id, in one line."""
    return _in_one_line(run.run_id[:SHORT_ID_CHARS])


def _error(_view: Any, _context: Any, run: PipelineRun, _name: str) -> Markup | None:
    if not run.last_error_type:
        return None
    shown = formats.shortened(run.last_error_type, max_chars=ERROR_MAX_CHARS)
    return Markup('<span class="word" title="{}">{}</span>').format(formats.shortened(run.last_error_type), shown)


class RunView(TableView):
    """One row: one run."""

    table = PipelineRun
    noun = "run"
    columns = (
        "run_id",
        "status",
        "definition_name",
        "incident_id",
        "source",
        "via",
        "total_attempts",
        "last_error_type",
        "total_duration_ms",
        "created_at",
    )
    details = (
        "status",
        "current_stage",
        "last_error_type",
        "last_error_message",
        "incident_id",
        "source",
        "environment",
        "run_id",
        "trace_id",
        "via",
        "flow_run_id",
        "total_attempts",
        "max_retries",
        "total_duration_ms",
        "created_at",
        "started_at",
        "resumed_at",
        "completed_at",
        "cancel_requested_at",
        "intelligence_fallback_used",
        "alert_fingerprint",
        "node_configs",
        "definition_config",
        "fence",
        "lease_owner",
        "lease_expires_at",
    )
    exported = (
        "id",
        "run_id",
        "status",
        "definition_name",
        "definition_version",
        "incident_id",
        "source",
        "environment",
        "trace_id",
        "via",
        "flow_run_id",
        "total_attempts",
        "last_error_type",
        "last_error_message",
        "total_duration_ms",
        "created_at",
        "started_at",
        "completed_at",
    )
    labels = {
        "run_id": "Run",
        "definition_name": "Pipeline",
        "incident_id": "Incident",
        "via": "Via",
        "total_attempts": "Attempts",
        "last_error_type": "Error",
        "last_error_message": "Error message",
        "total_duration_ms": "Duration",
        "created_at": "Created",
        "started_at": "Started",
        "resumed_at": "Resumed",
        "completed_at": "Over",
        "cancel_requested_at": "Asked to stop",
        "trace_id": "Trace",
        "flow_run_id": "In Prefect",
        "max_retries": "Retries per stage",
        "node_configs": "Config of this run",
        "definition_config": "Definition of this run",
        "lease_owner": "Held by",
        "lease_expires_at": "Held until",
    }
    orders = (PipelineRun.created_at,)
    filters = (
        Filter("status", "Status", _read_status, lambda kind: kind, tuple(RunWord)),
        filters.exactly("pipeline", PipelineRun.definition_name),
        filters.exactly("source", PipelineRun.source),
        filters.exactly("environment", PipelineRun.environment),
        filters.words("via", PipelineRun.via, RunVia, label="Via"),
        filters.since(PipelineRun.created_at),
        filters.number("incident", PipelineRun.incident_id),
    )
    led_by = ("status",)
    list_options = LONG_FIELDS
    row_actions = (RETRY, MARK_FAILED)
    empty_hint = "A webhook, a schedule or “Run now” of a definition begins one."
    search_hint = "run, trace, flow run or fingerprint"
    list_template = "console/runs.html"
    detail_template = "console/run.html"

    formatters = {
        "run_id": lambda view, _context, row, _name: view.link(row, short_id(row)),
        "status": _status,
        "definition_name": lambda _view, _context, row, _name: f"{row.definition_name} v{row.definition_version}",
        "incident_id": cells.incident,
        "via": lambda _view, _context, row, _name: _in_one_line(
            VIA[row.via].partition(",")[0] if row.started_at else ""
        ),
        "flow_run_id": _flow_run,
        "last_error_type": _error,
        "source": lambda _view, _context, row, _name: _in_one_line(row.source),
        "total_duration_ms": cells.milliseconds,
    }

    def __init__(self) -> None:
        super().__init__(name="Runs", endpoint="run_rows", url="runs")
        # On its own page it stands whole.
        short = ("run_id", "last_error_type", "source")
        self.column_formatters_detail = {
            **{name: formatter for name, formatter in self.formatters.items() if name not in short},
            "via": lambda _view, _context, row, _name: VIA[row.via] if row.started_at else None,
        }

    def title_of(self, row: Any) -> str:
        """Its pipeline and the beginning of its id."""
        return f"Run {row.run_id[:SHORT_ID_CHARS]} of {row.definition_name}"

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """It drawn as a flow, what happens next, and all that it did."""
        return {
            "drawing": run_drawings(session, [row])[row.id],
            "standing": standing(session, row),
            "definition": definition_link(session, row),
            "facts": FACTS,
            "related": related_rows(session, row),
        }


def redirect_to_run(run_id: str) -> Response:
    """The page of a run by its public id, for links that know no number."""
    with reading() as session:
        run = runs.find_run(session, storable_text(run_id))
        if run is None:
            abort(404, "there is no run of that id; it may be older than runs are kept")
        return redirect(url_for("run_rows.details_view", id=run.id))
