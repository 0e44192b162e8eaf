"""Stage executions: one row per attempt at a node, and the outputs that later nodes read."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session, defer

from storage.redaction import redact, redact_text
from storage.storable import storable_text
from storage.tables import PipelineRun, StageExecution
from storage.tables.base import utc_now
from storage.vocabulary import Stage, StageStatus

STACK_MAX_CHARS = 20_000
MESSAGE_MAX_CHARS = 4_000
INTERRUPTED = "Interrupted"


class StaleAttemptError(Exception):
    """The attempt was given up (timed out, or another one began); its result must not be stored."""


def outputs_of(session: Session, run_pk: int) -> dict[str, dict[str, Any]]:
    """The stored outputs of a run's nodes, by node id. A skipped node has an empty one."""
    rows = session.execute(
        select(StageExecution.node_id, StageExecution.output_snapshot)
        .where(
            StageExecution.pipeline_run_id == run_pk,
            StageExecution.status.in_((StageStatus.SUCCEEDED, StageStatus.SKIPPED)),
        )
        .order_by(StageExecution.id)
    )
    return {node_id: output or {} for node_id, output in rows}


def begin_attempt(session: Session, *, run_pk: int, run_id: str, stage: Stage, node_id: str) -> StageExecution:
    """A new RUNNING row, numbered after the attempts before it; one left RUNNING was cut off and FAILED."""
    end_cut_off(session, run_pk=run_pk, node_id=node_id)
    last = session.scalar(
        select(func.max(StageExecution.attempt)).where(
            StageExecution.pipeline_run_id == run_pk, StageExecution.node_id == node_id
        )
    )
    attempt = (last or 0) + 1
    row = StageExecution(
        pipeline_run_id=run_pk,
        stage=stage,
        node_id=node_id,
        status=StageStatus.RUNNING,
        attempt=attempt,
        idempotency_key=f"{run_id}:{node_id}:{attempt}",
        started_at=utc_now(),
    )
    session.add(row)
    session.flush()
    return row


def end_cut_off(session: Session, *, run_pk: int, node_id: str) -> StageExecution | None:
    """Fail a node's attempt that was left RUNNING; None where there is none."""
    left = find_begun(session, run_pk=run_pk, node_id=node_id)
    if left:
        finish_attempt(left, StageStatus.FAILED)
        left.error_type = INTERRUPTED
        left.error_message = "the attempt did not end: its process died, or it took longer than its time limit"
        left.error_retryable = True
        session.flush()
    return left


def find_begun(session: Session, *, run_pk: int, node_id: str) -> StageExecution | None:
    """A node's attempt that has not ended; there is one at most, since the next one ends it."""
    return session.scalar(
        select(StageExecution).where(
            StageExecution.pipeline_run_id == run_pk,
            StageExecution.node_id == node_id,
            StageExecution.status == StageStatus.RUNNING,
        )
    )


def find_running(session: Session, attempt_pk: int) -> StageExecution:
    """An attempt that is still to be finished. Raises StaleAttemptError when it was given up."""
    row = session.get_one(StageExecution, attempt_pk)
    if row.status is not StageStatus.RUNNING:
        raise StaleAttemptError(f"attempt {row.idempotency_key} was given up")
    return row


def succeed(row: StageExecution, output: dict[str, Any]) -> None:
    """Store an attempt's output, redacted."""
    row.output_snapshot = redact(output)
    row.output_ref = f"stage:{row.idempotency_key}"
    finish_attempt(row, StageStatus.SUCCEEDED)


def fail(row: StageExecution, *, error: BaseException, stack: str, retryable: bool, is_last: bool) -> None:
    """Store why an attempt failed; RETRYING when another one follows."""
    row.error_type = type(error).__name__
    row.error_message = redact_text(storable_text(str(error)))[:MESSAGE_MAX_CHARS]
    row.error_stack = redact_text(storable_text(stack))[-STACK_MAX_CHARS:]
    row.error_retryable = retryable
    finish_attempt(row, StageStatus.FAILED if is_last or not retryable else StageStatus.RETRYING)


def skip(session: Session, *, run_pk: int, run_id: str, stage: Stage, node_id: str, reason: str) -> StageExecution:
    """Record that a node was passed over, and why."""
    row = begin_attempt(session, run_pk=run_pk, run_id=run_id, stage=stage, node_id=node_id)
    row.output_snapshot = {"skipped": reason}
    finish_attempt(row, StageStatus.SKIPPED)
    return row


def finish_attempt(row: StageExecution, status: StageStatus) -> None:
    """Set the final status and the duration."""
    row.status = status
    row.completed_at = utc_now()
    if row.started_at:
        row.duration_ms = (row.completed_at - row.started_at).total_seconds() * 1000


def list_attempts(session: Session, run_pk: int) -> list[StageExecution]:
    """Every attempt of a run in order."""
    return list(
        session.scalars(
            select(StageExecution).where(StageExecution.pipeline_run_id == run_pk).order_by(StageExecution.id)
        )
    )


def failed_of(session: Session, run_pk: int) -> dict[str, StageExecution]:
    """The nodes of a run that have failed for good, by id, each with its last attempt, without its long fields."""
    last = (
        select(func.max(StageExecution.id))
        .where(StageExecution.pipeline_run_id == run_pk)
        .group_by(StageExecution.node_id)
    )
    rows = session.scalars(
        select(StageExecution)
        .where(
            StageExecution.id.in_(last),
            StageExecution.status == StageStatus.FAILED,
            StageExecution.error_type != INTERRUPTED,
        )
        .order_by(StageExecution.id)
        .options(defer(StageExecution.error_stack), defer(StageExecution.output_snapshot))
    )
    return {row.node_id: row for row in rows}


def begun_nodes(session: Session, run_pk: int) -> set[str]:
    """The ids of a run's nodes that have had their turn, whatever came of it."""
    query = select(StageExecution.node_id).where(StageExecution.pipeline_run_id == run_pk).distinct()
    return set(session.scalars(query))


def skipped_at(session: Session, *, run_pk: int, node_id: str) -> datetime | None:
    """When a node was skipped; None for one that was not."""
    return session.scalar(select(StageExecution.completed_at).where(*_skipped(run_pk, node_id)))


def take_back_skip(session: Session, *, run_pk: int, node_id: str) -> None:
    """Forget that a node was skipped, since it is looked at again."""
    session.execute(delete(StageExecution).where(*_skipped(run_pk, node_id)))


def _skipped(run_pk: int, node_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        StageExecution.pipeline_run_id == run_pk,
        StageExecution.node_id == node_id,
        StageExecution.status == StageStatus.SKIPPED,
    )


def abandon_running(session: Session, run_pk: int, error: BaseException) -> list[StageExecution]:
    """Close the attempts of a run that could not say how they ended, such as those that timed out; return them."""
    left = select(StageExecution).where(
        StageExecution.pipeline_run_id == run_pk, StageExecution.status == StageStatus.RUNNING
    )
    rows = list(session.scalars(left))
    for row in rows:
        fail(row, error=error, stack="", retryable=True, is_last=True)
    return rows


def count_attempts(session: Session, run_pk: int, node_id: str) -> int:
    """How often a node was tried to its end since the run was last resumed; what was cut off does not count."""
    resumed_at = session.get_one(PipelineRun, run_pk).resumed_at
    query = select(func.count()).where(
        StageExecution.pipeline_run_id == run_pk,
        StageExecution.node_id == node_id,
        StageExecution.status != StageStatus.RUNNING,
        StageExecution.error_type != INTERRUPTED,
    )
    if resumed_at is not None:
        query = query.where(StageExecution.started_at >= resumed_at)
    return session.scalar(query) or 0


def first_begun_at(session: Session, *, run_pk: int, node_id: str) -> datetime | None:
    """When the first of a node's tries began that came to nothing, since it last failed for good; None before."""
    of_node = StageExecution.pipeline_run_id == run_pk, StageExecution.node_id == node_id
    failed = select(func.max(StageExecution.id)).where(
        *of_node, StageExecution.status == StageStatus.FAILED, StageExecution.error_type != INTERRUPTED
    )
    return session.scalar(
        select(func.min(StageExecution.started_at)).where(
            *of_node,
            StageExecution.status != StageStatus.RUNNING,
            StageExecution.id > func.coalesce(failed.scalar_subquery(), 0),
        )
    )
