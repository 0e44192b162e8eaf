"""Runs as the API shows them."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import current_app

from storage.redaction import redact
from storage.tables import PipelineRun, StageExecution
from storage.vocabulary import RunStatus, Stage, StageStatus
from webhook_app.run_row import run_row

# The seeds' words for how a run ended.
COMPLETED, FAILED = "COMPLETED", "FAILED"
RESULTS = {"ingest": Stage.INGEST, "check": Stage.CHECK, "analyze": Stage.ANALYZE, "notify": Stage.NOTIFY}


def run_fields(run: PipelineRun) -> dict[str, Any]:
    """A run in a list."""
    return {**run_row(run), "flow_run_url": flow_run_url(run)}


def flow_run_url(run: PipelineRun) -> str:
    """Its page in Prefect's UI; empty where it has none."""
    url: str = current_app.config["WATCHKEEPER"].flow_run_url(run.flow_run_id)
    return url


def stage_fields(row: StageExecution) -> dict[str, Any]:
    """An attempt at a stage."""
    fields = {
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
    shown: dict[str, Any] = redact(fields)
    return shown


def result_fields(run: PipelineRun, attempts: Sequence[StageExecution]) -> dict[str, Any]:
    """A run that is over with what its stages gave: the seeds' PipelineResult beside the fields of a run.

    `ingest`, `check`, `analyze` and `notify` are those of the last node of the stage that gave something, `nodes`
    those of every node. `run_status` is the run's own status.
    """
    given = [row for row in attempts if row.status is StageStatus.SUCCEEDED]
    by_stage = {row.stage: row.output_snapshot for row in given}
    return {
        **run_fields(run),
        "status": FAILED if run.status is RunStatus.FAILED else COMPLETED,
        "run_status": run.status,
        **{name: redact(by_stage.get(stage)) for name, stage in RESULTS.items()},
        "nodes": {row.node_id: redact(row.output_snapshot) for row in given},
        "stages_completed": list(dict.fromkeys(row.stage for row in given)),
        "final_error": _final_error(run, attempts),
    }


def _final_error(run: PipelineRun, attempts: Iterable[StageExecution]) -> dict[str, Any] | None:
    if run.status is not RunStatus.FAILED:
        return None
    failed = [row for row in attempts if row.status is StageStatus.FAILED]
    last = failed[-1] if failed else None
    error = {
        "stage": last.stage if last else None,
        "node_id": last.node_id if last else None,
        "error_type": run.last_error_type,
        "message": run.last_error_message,
        "is_retryable": run.last_error_retryable,
    }
    shown: dict[str, Any] = redact(error)
    return shown
