"""What `watchkeeper resume` does."""

from contextlib import suppress

from sqlalchemy.orm import Session

from deployments.commands.run_pipeline.actions import Interrupted, hush, print_outcome, watch_to_its_end
from deployments.commands.run_pipeline.follow import (
    INTERRUPTED,
    TAKE_UP_SECONDS,
    WITHOUT_PAGE,
    count_workers,
    end,
    is_held,
    leave,
)
from deployments.commands.run_pipeline.progress import progress_of
from deployments.commands.run_pipeline.text import print_texts
from deployments.installed import installed_database
from flows.owner import is_dead
from storage import database, run_search, runs, stages
from storage.database import Database
from storage.run_search import PREFIX_MIN_CHARS
from storage.settings import load
from storage.tables import PipelineRun
from storage.vocabulary import StageStatus
from tasks.errors import PermanentError


def resume(run_id: str, *, as_json: bool) -> int:
    """Let a run that failed, or that was left lying, go on, and see it through. Returns the exit code."""
    hush()
    with suppress(Interrupted), installed_database(load()) as opened:
        return end(_resume(opened, run_id, as_json=as_json))
    return leave(INTERRUPTED)


def find_one(session: Session, text: str) -> PipelineRun:
    """The run of an id, or of the beginning of one. Raises PermanentError that says what to do."""
    found = run_search.with_id(session, text)
    if not found:
        hint = f" (of an id the first {PREFIX_MIN_CHARS} characters will do)" * (len(text) < PREFIX_MIN_CHARS)
        raise PermanentError(f"no pipeline run {text}{hint}: `watchkeeper monitor-pipeline` lists them")
    if len(found) > 1:
        raise PermanentError(f"several runs begin with {text}: give more of the id")
    return found[0]


def _resume(opened: Database, text: str, *, as_json: bool) -> int:
    with opened.write() as session:
        run = find_one(session, text)
        run_id = run.run_id
        if not _is_left(session, run):
            runs.resume(session, run_id)
    progress = progress_of(is_silent=as_json)
    with database.get().read() as session:
        attempts = stages.list_attempts(session, run.id)
    progress.know(attempts)
    done = [row.node_id for row in attempts if row.status in {StageStatus.SUCCEEDED, StageStatus.SKIPPED}]
    live = count_workers()
    if not as_json:
        print_texts(["Resuming pipeline...", f"  Definition: {run.definition_name}", f"  Run ID: {run_id}"])
        progress.say(f"done before: {', '.join(done) or 'nothing'}")
    progress.say(
        f"waiting for a worker ({live} live) to take it up" if live else f"no worker is running: {WITHOUT_PAGE}"
    )
    watch_to_its_end(run_id, progress, patience_seconds=TAKE_UP_SECONDS if live else 0)
    return print_outcome(run_id, as_json=as_json)


def _is_left(session: Session, run: PipelineRun) -> bool:
    """Whether nobody is at work on a run that has not ended; the lease of one that is dead ends with that."""
    if run.completed_at is not None:
        return False
    if not is_held(run):
        return True
    if is_dead(run.lease_owner):
        runs.expire_leases(session, owner=run.lease_owner, run_ids=[run.run_id])
        return True
    return False
