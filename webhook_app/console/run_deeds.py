"""What people do to runs: let a failed one go on, or end one that nobody will end."""

import logging

from sqlalchemy.orm import Session

from storage import overrides, runs, workers
from storage.runs import RunNotFoundError, RunStateError
from storage.tables import PipelineRun
from storage.vocabulary import RunStatus
from tasks import signals
from webhook_app.console.row_actions import Deed, RefusedError, RowAction

IN_HAND = "it is executed at this moment; it stops at its next stage and has failed then"
WAITS_FOR_WORKER = "no worker lives at this moment, so it waits for one"

log = logging.getLogger("watchkeeper.receiver")


def who_takes_it_up(session: Session) -> str:
    """What happens next to a run that waits."""
    alive = workers.alive(session)
    if not alive:
        return WAITS_FOR_WORKER
    taken = "a worker lives and takes it up" if len(alive) == 1 else f"one of {len(alive)} workers takes it up"
    if any(worker.has_prefect for worker in alive):
        return taken
    return f"{taken}; Prefect's server is away, so it may be executed without Prefect"


def _retry(deed: Deed) -> None:
    with deed.write() as session:
        run = session.get(PipelineRun, deed.pk)
        if run is None:
            raise RefusedError(f"there is no run {deed.pk} any more")
        runs.resume(session, run.run_id)
        deed.said = who_takes_it_up(session)
        fields = {"run_id": run.run_id, "trace_id": run.trace_id, "actor": deed.person.name}
    log.info("run resumed", extra=fields)


def _mark_failed(deed: Deed) -> None:
    with deed.write() as session:
        marked = overrides.mark_failed(session, deed.pk, by=deed.person.name)
        run = marked.run
        if marked.is_asked:
            deed.said = IN_HAND
        else:
            for row in marked.ended:
                signals.stage_ended(session, run, row)
            signals.run_ended(session, run)
        fields = {"run_id": run.run_id, "trace_id": run.trace_id, "actor": deed.person.name}
    log.info("run to be cancelled" if marked.is_asked else "run marked as failed", extra=fields)


REFUSALS = (RunNotFoundError, RunStateError)
RETRY = RowAction(
    name="retry",
    label="Retry",
    done="marked for retry",
    do=_retry,
    refusals=REFUSALS,
    fits=lambda run: run.completed_at is not None and run.status is RunStatus.FAILED,
)
MARK_FAILED = RowAction(
    name="mark_failed",
    label="Mark as failed",
    done="marked as failed",
    do=_mark_failed,
    refusals=REFUSALS,
    asks="A run that waits, or whose worker is lost, ends now as failed. One that is executed stops at its next"
    " stage. What it has done stays, and it can be retried.",
    fits=lambda run: run.completed_at is None,
    is_grave=True,
)
