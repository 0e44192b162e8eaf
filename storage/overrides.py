"""Runs that a person ends, since nobody else will."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import runs, stages
from storage.runs import RunNotFoundError, RunStateError
from storage.tables import PipelineRun, StageExecution
from storage.tables.base import utc_now


class ManualOverride(Exception):  # noqa: N818  (its name is the seeds' error type, and stands in the run)
    """A person ended the run; the message says who."""


@dataclass(frozen=True)
class Marked:
    """What became of a run that was to be ended: it is over, or else `is_asked` to stop at its next stage.

    `ended` are the attempts that ended with it.
    """

    run: PipelineRun
    is_asked: bool
    ended: list[StageExecution]


def is_in_hand(run: PipelineRun) -> bool:
    """Whether somebody executes a run now, or is just about to."""
    is_leased = run.lease_expires_at is not None and run.lease_expires_at >= utc_now()
    return run.completed_at is None and bool(run.lease_owner) and is_leased


def mark_failed(session: Session, run_pk: int, *, by: str) -> Marked:
    """End a run that waits, or that its holder has lost, as FAILED; ask one that is in hand to stop.

    The fence rises, so that a holder who was thought dead writes nothing more. Raises RunNotFoundError, or
    RunStateError for a run that is over.
    """
    # As it stands once nobody else changes it.
    query: Any = select(PipelineRun).where(PipelineRun.id == run_pk).with_for_update()
    run: PipelineRun | None = session.scalar(query.execution_options(populate_existing=True))
    if run is None:
        raise RunNotFoundError(f"no pipeline run of the number {run_pk}")
    if run.completed_at is not None:
        raise RunStateError(f"run {run.run_id} is {run.status} and over", status=run.status)
    if is_in_hand(run):
        run.cancel_requested_at = run.cancel_requested_at or utc_now()
        session.flush()
        return Marked(run, is_asked=True, ended=[])
    error = ManualOverride(f"marked as failed by {by}")
    ended = stages.abandon_running(session, run.id, error)
    run.fence += 1
    runs.fail(run, error_type=type(error).__name__, message=str(error), retryable=True)
    session.flush()
    return Marked(run, is_asked=False, ended=ended)
