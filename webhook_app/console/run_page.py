"""What stands on the page of a run beside its own fields."""

from collections.abc import Sequence
from typing import Any

from flask import url_for
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import definitions, inbox, told, trail
from storage.overrides import is_in_hand
from storage.tables import PipelineRun, StageExecution
from webhook_app.console import cells, formats
from webhook_app.console.links import row_link
from webhook_app.console.run_deeds import who_takes_it_up
from webhook_app.console.table_view import Related

ROWS_SHOWN = 50
ATTEMPTS_SHOWN = 100
OUTPUT_MAX_CHARS = 20_000

STAGE_COLUMNS = ("node_id", "attempt", "status", "started_at", "duration_ms", "error", "output")
DELIVERY_COLUMNS = ("status", "source", "trace_id", "received_at", "reason")
CHECK_COLUMNS = ("status", "checker_name", "hostname", "message", "executed_at")
ANALYSIS_COLUMNS = ("status", "provider", "model_name", "incident_id", "summary", "total_tokens", "created_at")
MESSAGE_COLUMNS = ("status", "channel", "reason", "incident_id", "attempts", "error_message", "created_at")
PASSED_COLUMNS = ("channel", "incident_id", "reason", "why")


def related_rows(session: Session, run: PipelineRun) -> list[Related]:
    """The attempts at its stages, what it took and found, and who was told; one statement for each."""
    return [
        _attempts(session, run),
        _related(
            "Deliveries taken", DELIVERY_COLUMNS, _deliveries(session, run), links={"status": "delivery_rows"}
        ),
        _related("Checks", CHECK_COLUMNS, _checks(session, run), links={"checker_name": "check_rows"}),
        _related("Analyses", ANALYSIS_COLUMNS, _analyses(session, run), links={"provider": "analysis_rows"}),
        _related(
            "Notifications", MESSAGE_COLUMNS, _messages(session, run), links={"channel": "notification_rows"}
        ),
        _related("Not told", PASSED_COLUMNS, told.passed_over_of_runs(session, [run.id])[:ROWS_SHOWN]),
    ]


def standing(session: Session, run: PipelineRun) -> str:
    """What happens to a run that is not over; empty for one that is."""
    if run.completed_at is not None:
        return ""
    stops = "It stops at its next stage, as somebody asked for. " if run.cancel_requested_at else ""
    if is_in_hand(run):
        host, *_ = run.lease_owner.split("|")
        until = formats.ago(run.lease_expires_at) if run.lease_expires_at else ""
        return f"{stops}A worker on {host} executes it; its hold ends {until} unless it is renewed."
    lost = "Whoever executed it is lost. " if run.lease_owner else "It waits. "
    said = who_takes_it_up(session)
    return f"{stops}{lost}{said[0].upper()}{said[1:]}."


def definition_link(session: Session, run: PipelineRun) -> Markup | str:
    """What it follows: the definition at the version that the run began with."""
    text = f"{run.definition_name}, version {run.definition_version}"
    if run.definition_config is not None:
        return f"{run.definition_name}, of this run alone"
    found = definitions.find(session, run.definition_name)
    if found is None:
        return text if run.definition_version else f"{run.definition_name}, as it is shipped"
    url = url_for("definition_rows.details_view", id=found.id, version=run.definition_version)
    return Markup('<a href="{}">{}</a>').format(url, text)


def _attempts(session: Session, run: PipelineRun) -> Related:
    query = select(StageExecution).where(StageExecution.pipeline_run_id == run.id)
    newest = session.scalars(query.order_by(StageExecution.id.desc()).limit(ATTEMPTS_SHOWN)).all()
    return Related(
        "Stages, attempt by attempt",
        STAGE_COLUMNS,
        newest[::-1],
        url=url_for("stage_rows.index_view", run=run.id),
        formatters={
            "node_id": _node,
            "duration_ms": cells.milliseconds,
            "error": _error,
            "output": _output,
        },
    )


def _node(_view: Any, _context: Any, row: StageExecution, _name: str) -> Markup:
    link = row_link("stage_rows", row.id, row.node_id)
    return Markup('<span class="word">{}</span> <span class="soft">{}</span>').format(link, str(row.stage).lower())


def _error(_view: Any, _context: Any, row: StageExecution, _name: str) -> Any:
    if not row.error_type:
        return formats.NOTHING
    return formats.shortened(f"{row.error_type}: {row.error_message}", max_chars=400)


def _output(_view: Any, _context: Any, row: StageExecution, _name: str) -> Any:
    if not row.output_snapshot:
        return formats.NOTHING
    text = formats.json_text(row.output_snapshot)
    cut = (
        text
        if len(text) <= OUTPUT_MAX_CHARS
        else f"{text[:OUTPUT_MAX_CHARS]}\n… the rest stands on the stage's page"
    )
    return Markup(
        '<details><summary class="word">Output</summary><pre class="block" tabindex="0">{}</pre></details>'
    ).format(cut)


def _deliveries(session: Session, run: PipelineRun) -> Sequence[Any]:
    return inbox.deliveries_of(session, run.id, limit=ROWS_SHOWN + 1)


def _checks(session: Session, run: PipelineRun) -> Sequence[Any]:
    return trail.checks_of_traces(session, [run.trace_id], limit=ROWS_SHOWN + 1)


def _analyses(session: Session, run: PipelineRun) -> Sequence[Any]:
    return trail.analyses_of_run(session, run.run_id, limit=ROWS_SHOWN + 1)[::-1]


def _messages(session: Session, run: PipelineRun) -> Sequence[Any]:
    return told.messages_of_run(session, run.run_id, limit=ROWS_SHOWN + 1)


def _related(
    title: str, columns: tuple[str, ...], rows: Sequence[Any], links: dict[str, str] | None = None
) -> Related:
    """The first rows; a title that says so where there are more. `links` names the columns that lead to rows."""
    shown = rows[:ROWS_SHOWN]
    formatters: dict[str, Any] = {
        name: lambda _view, _context, row, name, endpoint=endpoint: row_link(
            endpoint, row.id, formats.shortened(str(getattr(row, name)))
        )
        for name, endpoint in (links or {}).items()
    }
    formatters["incident_id"] = cells.incident
    return Related(
        title if len(rows) == len(shown) else f"{title} ({ROWS_SHOWN} of more)",
        columns,
        shown,
        formatters=formatters,
    )
