"""What `watchkeeper run-pipeline` does."""

import logging
from contextlib import suppress
from typing import Any

from deployments.commands.check_output import print_json
from deployments.commands.run_pipeline.checks_output import checks_fields, print_checks
from deployments.commands.run_pipeline.command import Asked
from deployments.commands.run_pipeline.dry import look_ahead, looking_only, print_dry_run
from deployments.commands.run_pipeline.flags import check_flags
from deployments.commands.run_pipeline.follow import (
    INTERRUPTED,
    TAKE_UP_SECONDS,
    WITHOUT_PAGE,
    count_workers,
    end,
    leave,
    leave_to_others,
    see_through,
)
from deployments.commands.run_pipeline.order import RunOrder, make_order, read_given, store_order
from deployments.commands.run_pipeline.progress import Progress, progress_of
from deployments.commands.run_pipeline.result import FAILED, print_result, result_of
from deployments.commands.run_pipeline.text import print_texts
from deployments.installed import installed_database
from storage import database
from storage.database import Database
from storage.settings import load


def run(asked: Asked) -> int:
    """Run the pipeline. Returns the exit code: 1 where the run failed."""
    check_flags(asked)
    settings = load()
    given = read_given(asked, settings)
    if given.config is not None:
        make_order(given, None)  # its faults are found before a database is started
    if asked.dry_run:
        with looking_only(settings) as session:
            order = make_order(given, session)
            rehearsal = look_ahead(order, session)
        print_dry_run(order, rehearsal)  # when nothing waits for the session's locks any more
        return 0
    hush()
    with suppress(Interrupted), installed_database(settings) as opened:
        with opened.read() as session:
            order = make_order(given, session)
        return end(_run(asked, order, opened))
    return leave(INTERRUPTED)


class Interrupted(Exception):  # noqa: N818  (it is no error)
    """Ctrl-C, once everything is said and put down: what was started for the command is now stopped."""


def hush() -> None:
    """Keep the log off the terminal: what it says is told by the progress and the result."""
    logging.getLogger("watchkeeper").addHandler(logging.NullHandler())


def watch_to_its_end(run_id: str, progress: Progress, *, patience_seconds: float) -> None:
    """See the run through; Ctrl-C puts it down and says what becomes of it. Raises Interrupted then."""
    try:
        with progress:
            see_through(run_id, progress, patience_seconds=patience_seconds)
    except KeyboardInterrupt:
        progress_of(is_silent=False).say(f"watchkeeper: {leave_to_others(run_id)}")
        raise Interrupted from None


def print_outcome(run_id: str, *, as_json: bool) -> int:
    """The result. Returns the exit code."""
    with database.get().read() as session:
        result = result_of(session, run_id)
        if not as_json:
            print_result(session, run_id)
    if as_json:
        print_json(result)
    return 1 if result["status"] == FAILED else 0


def _run(asked: Asked, order: RunOrder, opened: Database) -> int:
    progress = progress_of(is_silent=asked.as_json, is_quiet=asked.checks_only)
    # What checks this host, or stands in a file of this host, is not for a worker, which may be elsewhere.
    is_for_here = asked.checks_only or order.given.config is not None
    live = 0 if is_for_here else count_workers()
    with opened.write() as session:
        run_id = store_order(session, order, is_queued=live > 0).run_id
    if not asked.as_json and not asked.checks_only:
        print_texts(_begun(order))
    if live:
        progress.say(f"waiting for a worker ({live} live) to take it up")
    else:
        progress.say(WITHOUT_PAGE if is_for_here else f"no worker is running: {WITHOUT_PAGE}")
    watch_to_its_end(run_id, progress, patience_seconds=TAKE_UP_SECONDS if live else 0)
    return (
        _print_checks(run_id, as_json=asked.as_json)
        if asked.checks_only
        else print_outcome(run_id, as_json=asked.as_json)
    )


def _begun(order: RunOrder) -> list[str]:
    given = order.given
    name = f"  Config: {given.config_path}" if given.config_path else f"  Definition: {order.named.name}"
    source = [f"  Source: {order.source}"] if order.source else []
    return ["Starting pipeline...", *source, f"  Environment: {given.environment}", name]


def _print_checks(run_id: str, *, as_json: bool) -> int:
    with database.get().read() as session:
        result: dict[str, Any] = result_of(session, run_id) | checks_fields(session, run_id)
    if as_json:
        print_json(result)
    else:
        print_checks(result)
    return 1 if result["status"] == FAILED else 0
