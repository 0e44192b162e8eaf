"""A run seen through to its end: watched while a worker executes it, executed here where nobody does."""

import asyncio
import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

from sqlalchemy.orm import Session

from deployments.commands.run_pipeline.progress import Progress
from flows.direct import run_directly
from flows.execution import PostponedError
from flows.owner import this_process
from storage import database, run_search, runs, workers
from storage.runs import LeaseLostError, RunHeldError
from storage.settings import Settings, load
from storage.stages import StaleAttemptError
from storage.tables import PipelineRun, StageExecution
from storage.tables.base import utc_now
from storage.vocabulary import RunVia

POLL_SECONDS = 0.2
# How long a run is left to the workers that live before it is executed here.
TAKE_UP_SECONDS = 10.0
# How long the threads of an ended run may take to go.
GO_SECONDS = 1.0
THREAD_NAME = "watchkeeper run"
INTERRUPTED = 130

WITHOUT_PAGE = "executed here, without a page in the Prefect UI"


def count_workers() -> int:
    """How many workers live."""
    with database.get().read() as session:
        return len(workers.alive(session))


def see_through(run_id: str, progress: Progress, *, patience_seconds: float) -> None:
    """Until the run is over. Once nobody has had it for `patience_seconds`, it is executed here.

    Raises what broke under the run; it can be resumed then.
    """
    here: _Here | None = None
    free_since: float | None = None
    was_here, told = False, ""
    while True:
        run, attempts = _look(run_id)
        if _is_elsewhere(run, was_here=was_here) and (taken := _taken(run, load())) != told:
            told = taken
            progress.say(taken)
        progress.show(run, attempts, is_here=here is not None)
        if run.completed_at is not None:
            break
        if here is not None:
            here, patience_seconds = _wait(here, progress, patience_seconds)
            continue
        if is_free(run):
            free_since = free_since if free_since is not None else time.monotonic()
            if time.monotonic() - free_since >= patience_seconds:
                if patience_seconds:
                    progress.say(f"no worker took it up within {patience_seconds:.0f} s: {WITHOUT_PAGE}")
                here, free_since, was_here = _Here(run_id), None, True
                continue
        else:
            free_since = None
        time.sleep(POLL_SECONDS)
    if here is not None:
        here.wait(GO_SECONDS)


def is_held(run: PipelineRun) -> bool:
    """Whether somebody executes a run now."""
    return bool(run.lease_owner) and run.lease_expires_at is not None and run.lease_expires_at > utc_now()


def is_free(run: PipelineRun) -> bool:
    """Whether a run could be taken up: nobody has it, and it does not wait for its next try."""
    return run.lease_expires_at is None or run.lease_expires_at <= utc_now()


def leave_to_others(run_id: str) -> str:
    """Put the run down, if it is executed here. Returns what becomes of it, for the one who pressed Ctrl-C."""
    with database.get().write() as session:
        runs.put_down(session, run_id, owner=this_process(), delay_seconds=0)
        run = _found(session, run_id)
        count = len(workers.alive(session))
    watch = f"watchkeeper monitor-pipeline --run-id {run_id} --follow"
    if run.completed_at is not None:
        return f"run {run_id} is over: {run.status}"
    if is_held(run):
        return f"run {run_id} goes on in a worker; `{watch}` shows it"
    if count:
        return (
            f"run {run_id} was put down; a worker goes on after the last stage that succeeded; `{watch}` shows it"
        )
    return f"run {run_id} was put down; `watchkeeper resume {run_id}` goes on after the last stage that succeeded"


def end(code: int) -> int:
    """The exit code; or the end of this process where a stage that nobody waits for any more still hangs in it."""
    if any(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate()):
        leave(code)
    return code


def leave(code: int) -> NoReturn:
    """End this process at once. Python would wait for the threads in which stages still work."""
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


class _Here:
    """An execution in a thread that does not keep the process from ending."""

    def __init__(self, run_id: str) -> None:
        self.error: Exception | None = None
        self._run_id = run_id
        self._thread = threading.Thread(target=self._execute, name=f"{THREAD_NAME} {run_id}", daemon=True)
        self._thread.start()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it is over by then."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _execute(self) -> None:
        try:
            asyncio.run(run_directly(self._run_id))
        except Exception as error:  # noqa: BLE001  (raised, or told, by the thread that waits)
            self.error = error


def _wait(here: _Here, progress: Progress, patience_seconds: float) -> tuple[_Here | None, float]:
    """The execution while it goes on, and how patient to be with others once it does not."""
    if not here.wait(POLL_SECONDS):
        return here, patience_seconds
    match here.error:
        case None:
            return None, patience_seconds
        case PostponedError() as postponed:
            progress.say(f"next try in {postponed.delay_seconds:.0f} s")
            return None, patience_seconds
        case RunHeldError() | LeaseLostError() | StaleAttemptError():
            return None, TAKE_UP_SECONDS
    raise here.error


def _is_elsewhere(run: PipelineRun, *, was_here: bool) -> bool:
    """Whether a worker executes the run, or did so faster than one could look."""
    if run.completed_at is not None:
        return not was_here
    return run.fence > 0 and is_held(run) and run.lease_owner != this_process()


def _taken(run: PipelineRun, settings: Settings) -> str:
    if run.via is RunVia.DIRECT:
        return "a worker took it up, and executes it without Prefect"
    # Where no setting names one, the server is that of `up` on this machine.
    ui = (
        settings
        if settings.flow_run_url("x")
        else settings.model_copy(update={"prefect_ui_url": f"http://127.0.0.1:{settings.prefect_port}"})
    )
    url = ui.flow_run_url(run.flow_run_id)
    return f"a worker took it up: {url}" if url else "a worker took it up"


def _look(run_id: str) -> tuple[PipelineRun, list[StageExecution]]:
    with database.get().read() as session:
        run = _found(session, run_id)
        return run, run_search.attempts_without_outputs(session, run.id)


def _found(session: Session, run_id: str) -> PipelineRun:
    run = runs.find_run(session, run_id)
    if run is None:
        raise runs.RunNotFoundError(f"no pipeline run {run_id}")
    return run
