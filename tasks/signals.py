"""The signals of a run at each boundary of its stages, for logs (one JSON line each) or statsd.

Each is sent when the transaction that it speaks of is committed, and the same transaction adds to the totals of
/metrics. Sending never waits, and what goes wrong with it never reaches the run. A skipped stage gives none.
"""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import event
from sqlalchemy.orm import Session

from storage import settings, tallies
from storage.redaction import redact_text
from storage.tables import PipelineRun, StageExecution
from storage.vocabulary import StageStatus
from tasks.statsd import Address, Statsd, lines

Name = Literal[
    "pipeline.started",
    "pipeline.completed",
    "pipeline.stage.started",
    "pipeline.stage.succeeded",
    "pipeline.stage.failed",
    "pipeline.stage.retrying",
]

PENDING = "signals"

log = logging.getLogger("watchkeeper.signals")
statsd = Statsd()


def run_started(session: Session, run: PipelineRun) -> None:
    """An execution of the run began; `attempt` says which."""
    _send_after_commit(session, "pipeline.started", _tags_of_run(run))


def run_ended(session: Session, run: PipelineRun) -> None:
    """The run ended, well or not."""
    tags = {**_tags_of_run(run), "status": run.status.value, "duration_ms": _rounded(run.total_duration_ms)}
    _send_after_commit(session, "pipeline.completed", tags)
    seconds = (run.total_duration_ms or 0.0) / 1000
    tallies.add(session, tallies.RUNS, what=run.definition_name, outcome=run.status, seconds=seconds)


def stage_started(session: Session, run: PipelineRun, row: StageExecution) -> None:
    """An attempt at a node began."""
    _send_after_commit(session, "pipeline.stage.started", _tags_of_stage(run, row))


def stage_ended(session: Session, run: PipelineRun, row: StageExecution) -> None:
    """An attempt at a node ended. Where it failed and another follows, a second signal says so."""
    tags = _tags_of_stage(run, row) | {"duration_ms": _rounded(row.duration_ms)}
    if row.status is StageStatus.SUCCEEDED:
        _send_after_commit(session, "pipeline.stage.succeeded", tags)
    elif row.status is not StageStatus.SKIPPED:
        failure = {**tags, "retryable": row.error_retryable, "error_type": row.error_type}
        _send_after_commit(session, "pipeline.stage.failed", failure)
    if row.status is StageStatus.RETRYING:
        _send_after_commit(session, "pipeline.stage.retrying", _tags_of_stage(run, row))
    seconds = (row.duration_ms or 0.0) / 1000
    tallies.add(session, tallies.STAGES, what=row.stage, outcome=row.status, seconds=seconds)


def _tags_of_run(run: PipelineRun) -> dict[str, Any]:
    return {
        "trace_id": run.trace_id,
        "run_id": run.run_id,
        "incident_id": run.incident_id,
        "stage": "",
        "source": run.source,
        "alert_fingerprint": run.alert_fingerprint,
        "environment": run.environment,
        "attempt": run.total_attempts,
        "pipeline": run.definition_name,
        "via": run.via.value,
    }


def _tags_of_stage(run: PipelineRun, row: StageExecution) -> dict[str, Any]:
    own = {"stage": row.stage.value, "node_id": row.node_id, "attempt": row.attempt, "status": row.status.value}
    return _tags_of_run(run) | own


def _rounded(duration_ms: float | None) -> float:
    return round(duration_ms or 0.0, 1)


def _send_after_commit(session: Session, name: Name, tags: Mapping[str, Any]) -> None:
    # What is rolled back never happened, and its session with what it listened for is dropped.
    if PENDING not in session.info:
        session.info[PENDING] = []
        event.listen(session, "after_commit", _send_pending)
    session.info[PENDING].append((name, tags))


def _send_pending(session: Session) -> None:
    if session.in_nested_transaction():
        return
    for name, tags in session.info[PENDING]:
        _send(name, tags)
    session.info[PENDING].clear()


def _send(name: Name, tags: Mapping[str, Any]) -> None:
    try:
        shown = {key: redact_text(value) if isinstance(value, str) else value for key, value in tags.items()}
        current = settings.load()
        if current.metrics_backend == "statsd":
            where = Address(current.statsd_host, current.statsd_port)
            # Under the prefix that is the default they have the names that they have here.
            for line in lines(current.statsd_prefix, name.removeprefix("pipeline."), shown):
                statsd.send(where, line)
        else:
            log.info(name, extra=shown)
    except Exception as error:  # noqa: BLE001  (a signal that is lost must not cost the run that it is about)
        log.debug("signal lost", extra={"error": type(error).__name__})
