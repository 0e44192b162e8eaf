"""What `watchkeeper monitor-pipeline` does."""

import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from deployments.commands.check_output import print_json, print_lines
from deployments.commands.monitor_rows import (
    FITS_CHANGES,
    HEADINGS,
    change_line,
    detail_lines,
    line_of,
    lines_of,
    listed,
    run_whole,
    table_of,
)
from deployments.commands.resume_actions import find_one
from deployments.commands.rows_output import print_rows, print_strict_json, say
from deployments.commands.run_pipeline.result import FAILED, fate
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage.database import Database
from storage.run_list import RunWord, changed_runs, list_runs
from storage.settings import load
from storage.tables import PipelineRun
from storage.tables.base import utc_now

POLL_SECONDS = 1.0
# Changes that are looked at in one poll; older ones of the same moment are overtaken by then.
CHANGES_MAX = 1000
# How long a change may take to be seen after its time.
LATE = timedelta(seconds=10)


def list_all(*, status: str, limit: int, follow: bool, as_json: bool) -> int:
    """Print runs, newest first, and with `follow` every change from then on."""
    wanted = read_status(status)
    with installed_database(load()) as database:
        since = utc_now()
        with database.read() as session:
            rows = list_runs(session, words=wanted, limit=limit)
        if follow:
            _follow(database, rows, wanted, since=since, as_json=as_json)
        elif as_json:
            print_strict_json({"count": len(rows), "pipelines": [listed(row) for row in rows]})
        elif rows:
            print_rows(lambda: table_of(rows), lambda: lines_of(rows))
        else:
            say(f"no runs that are {status.lower()}" if wanted else "no runs")
    return 0


def show(run_id: str, *, follow: bool, as_json: bool) -> int:
    """Print one run whole; with `follow` once it is over, after every change. Returns the exit code."""
    with installed_database(load()) as database:
        with database.read() as session:
            row = find_one(session, run_id)
        if follow and row.completed_at is None:
            _follow_one(database, row, as_json=as_json)
        with database.read() as session:
            row = find_one(session, row.run_id)
            whole = run_whole(session, row)
    if as_json:
        print_json(whole)
    else:
        print_lines(detail_lines(whole))
    return 1 if follow and fate(row) == FAILED else 0


def read_status(text: str) -> list[RunWord]:
    """--status as it was typed, empty where it was not. Raises WrongUseError that lists the words."""
    words = {word.lower(): word for word in RunWord}
    if text and text.lower() not in words:
        raise WrongUseError(f"--status: unknown status {text!r}; one of {', '.join(words)}")
    return [words[text.lower()]] if text else []


def _follow(
    database: Database,
    rows: Iterable[PipelineRun],
    wanted: Sequence[RunWord],
    *,
    since: datetime,
    as_json: bool,
) -> None:
    """The list, oldest first, and then a line for every change, until Ctrl-C."""
    seen: dict[str, object] = {}
    if not as_json:
        say(f"{'time':8} {line_of(HEADINGS, narrow=FITS_CHANGES)}")
    news = list(rows)[::-1]
    while True:
        for row in news:
            if seen.get(row.run_id) != (state := _state(row)):
                seen[row.run_id] = state
                _print_change(row, as_json=as_json)
        time.sleep(POLL_SECONDS)
        looked_at = utc_now()
        with database.read() as session:
            # A transaction that began before the last look may have ended after it.
            news = changed_runs(session, words=wanted, since=since - LATE, limit=CHANGES_MAX)[::-1]
        since = looked_at


def _follow_one(database: Database, row: PipelineRun, *, as_json: bool) -> None:
    """A line for every change of a run until it is over."""
    state: object = None
    while True:
        if _state(row) != state:
            state = _state(row)
            _print_change(row, as_json=as_json)
        if row.completed_at is not None:
            return
        time.sleep(POLL_SECONDS)
        with database.read() as session:
            row = find_one(session, row.run_id)


def _state(row: PipelineRun) -> object:
    """What makes a change worth a line: a renewed lease is none."""
    return row.status, row.current_stage, row.completed_at, row.total_attempts


def _print_change(row: PipelineRun, *, as_json: bool) -> None:
    if as_json:
        print_strict_json(listed(row))
    else:
        say(change_line(row))
    sys.stdout.flush()
