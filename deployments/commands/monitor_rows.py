"""Runs as `watchkeeper monitor-pipeline` shows them."""

import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

from rich.table import Table
from sqlalchemy.orm import Session

from deployments.commands.check_output import plain
from deployments.commands.rows_output import plain_lines
from deployments.commands.run_pipeline.result import fate
from deployments.commands.run_pipeline.text import seconds
from storage import inbox, stages, told
from storage.redaction import redact
from storage.settings import load
from storage.tables import PipelineRun, StageExecution
from storage.tables.base import utc_now
from tasks.notify.text import bounded_line, humanize_duration
from webhook_app.notification_fields import fate_line, notification_fields, passed_over_fields, passed_over_line
from webhook_app.run_row import run_row

SHORT_ID_CHARS = 8
HEADINGS = ("run", "pipeline", "status", "source", "incident", "stage", "duration", "age", "via")
NUMBERS = {"incident", "duration", "age"}
WIDTHS = {
    "pipeline": 14,
    "status": 9,
    "source": 12,
    "incident": 8,
    "stage": 9,
    "duration": 8,
    "age": 11,
    "via": 6,
}
# What an ordinary terminal has room for: of a list, and of a change with its time before it.
FITS = {"run", "pipeline", "status", "source", "incident", "duration", "age"}
FITS_CHANGES = {"run", "pipeline", "status", "source", "stage", "duration"}


def listed(run: PipelineRun) -> dict[str, Any]:
    """A run in a list, with how it fares in one word."""
    return {**run_row(run), "fate": fate(run)}


def run_whole(session: Session, run: PipelineRun) -> dict[str, Any]:
    """One run with its deliveries, every attempt, and who was told or not."""
    return listed(run) | {
        "flow_run_url": load().flow_run_url(run.flow_run_id),
        "deliveries": [
            redact({"delivery_id": each.delivery_id, "status": each.status, "reason": each.reason})
            for each in inbox.deliveries_of(session, run.id)
        ],
        "attempts": [_attempt_fields(row) for row in stages.list_attempts(session, run.id)],
        "notifications": [notification_fields(row) for row in told.messages_of_run(session, run.run_id)],
        "passed_over": passed_over_fields(told.passed_over_of_runs(session, [run.id])),
    }


def table_of(rows: Sequence[PipelineRun]) -> Table:
    """The list for a wide terminal."""
    table = Table()
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading == "run", justify="right" if heading in NUMBERS else "left")
    for row in rows:
        table.add_row(*(plain(cell) for cell in _cells(row)))
    return table


def lines_of(rows: Sequence[PipelineRun]) -> Iterator[str]:
    """The list for a narrow terminal, with short ids; or for a pipe, with whole ones: a line for each run."""
    yield line_of(HEADINGS)
    for row in rows:
        yield line_of(_cells(row))


def change_line(row: PipelineRun) -> str:
    """A change of a run, in a line."""
    error = f" {bounded_line(row.last_error_message)}" if fate(row) == "failed" else ""
    return f"{row.updated_at:%H:%M:%S} {line_of(_cells(row), narrow=FITS_CHANGES)}{error}"


def line_of(cells: Sequence[str], *, narrow: Collection[str] = FITS) -> str:
    """One line of the list; on a terminal, whose 80 columns are few, the cells of `narrow` and short ids."""
    is_terminal = sys.stdout.isatty()
    parts = []
    for heading, cell in zip(HEADINGS, cells, strict=True):
        if is_terminal and heading not in narrow:
            continue
        if heading == "run":
            parts.append(cell[:SHORT_ID_CHARS].ljust(SHORT_ID_CHARS) if is_terminal else f"{cell:36}")
        else:
            width = WIDTHS[heading]
            parts.append(cell.rjust(width) if heading in NUMBERS else cell.ljust(width))
    return " ".join(parts).rstrip()


def detail_lines(whole: dict[str, Any]) -> Iterator[str]:
    """One run whole, a line for each field, attempt and message."""
    lists = ("deliveries", "attempts", "notifications", "passed_over", "fate")
    for key, value in whole.items():
        if key not in lists and value not in (None, ""):
            yield f"{key}: {bounded_line(str(value))}"
    yield from (
        f"delivery: {each['delivery_id']} {each['status']} {each['reason']}".rstrip()
        for each in whole["deliveries"]
    )
    yield from map(_attempt_line, whole["attempts"])
    now = utc_now()
    yield from (fate_line(each, now=now) for each in whole["notifications"])
    yield from map(passed_over_line, whole["passed_over"])


def _cells(row: PipelineRun) -> tuple[str, ...]:
    took = row.total_duration_ms
    if took is None and row.started_at:
        took = (utc_now() - row.started_at).total_seconds() * 1000
    cells = (
        row.run_id,
        row.definition_name,
        row.status,
        row.source or "-",
        str(row.incident_id or "-"),
        row.current_stage or "-",
        seconds(took) if took is not None else "-",
        humanize_duration(max(utc_now() - row.created_at, timedelta())),
        row.via,
    )
    return tuple(str(plain_lines(bounded_line(cell))) for cell in cells)


def _attempt_fields(row: StageExecution) -> dict[str, Any]:
    skipped = (row.output_snapshot or {}).get("skipped", "") if row.status == "SKIPPED" else ""
    return {
        "node_id": row.node_id,
        "stage": row.stage,
        "attempt": row.attempt,
        "status": row.status,
        "duration_ms": row.duration_ms,
        "error_type": row.error_type,
        "error_message": row.error_message,
        "error_retryable": row.error_retryable,
        "skipped": skipped,
        "started_at": row.started_at,
    }


def _attempt_line(each: dict[str, Any]) -> str:
    why = f"{each['error_type']}: {each['error_message']}" if each["error_type"] else each["skipped"]
    line = f"attempt: {each['node_id']} {each['attempt']} {each['status']} {seconds(each['duration_ms'])}"
    return f"{line} {bounded_line(why)}".rstrip()
