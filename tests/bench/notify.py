"""Notifications to a slow sink, side by side and one at a time, and what each costs beside the sink's own time."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from databases import fresh_sqlite, postgres_server
from notifying import add_channel, add_incidents, context_of, end_run, hold_run
from report import Figure, Section, median, progress
from sinks import Answer, HttpSink

from storage import database as database_room
from storage.database import Database
from storage.records import IncidentChange
from tasks.http import OutboundRequest, send
from tasks.notify import sending
from tasks.notify.admission import BURST
from tasks.notify.stage import work

MESSAGES = 500
ALONE = 50  # of them one at a time: all would take a minute
SINK_SECONDS = 0.1
LIMIT = 1200  # messages a minute to the channel that has a limit
WINDOW_SECONDS = 3.0
ROUNDS = 3
BODY = b"x" * 2500


def measure() -> Section:
    """The slow sink on PostgreSQL; a sink that answers at once on both databases, in turns."""
    with postgres_server(is_durable=True) as server, tempfile.TemporaryDirectory() as folder:
        with server.fresh() as url, using(url) as database:
            figures, samples = slow_sink(database)
        with server.fresh() as url, fresh_sqlite(Path(folder)) as file_url:
            more, more_samples = cost({"PostgreSQL": url, "SQLite": file_url})
    notes = [
        f"{MESSAGES} messages about as many incidents; the sink takes {SINK_SECONDS * 1000:.0f} ms for each",
        f"one at a time: {ALONE} of them, by the same stage with one sender",
        f"limit: {LIMIT:,} a minute, a sixth of it at once; the free channel has the same messages beside it",
        f"cost: medians of {ROUNDS} rounds of {MESSAGES}, commits that wait for the disk included",
    ]
    return Section("notify", "notifications", [*figures, *more], notes, samples | more_samples)


def slow_sink(database: Database) -> tuple[list[Figure], dict[str, Any]]:
    """Side by side, one at a time, and under a limit."""
    with HttpSink(default=Answer(delay_seconds=SINK_SECONDS)) as sink:
        add_channel(database, "sink", sink.url)
        progress(f"notify: {ALONE} messages one at a time")
        with senders(1):
            alone = ALONE / tell(database, add_incidents(database, ALONE), "sink")
        progress(f"notify: {MESSAGES} messages side by side")
        beside = MESSAGES / tell(database, add_incidents(database, MESSAGES), "sink")
        progress(f"notify: {MESSAGES // 2} messages to a channel with a limit, as many to one without")
        add_channel(database, "limited", f"{sink.url}/limited", rate_per_minute=LIMIT)
        add_channel(database, "free", f"{sink.url}/free")
        tell(database, add_incidents(database, MESSAGES // 2), "limited", "free")
        at = {
            path: [each.received_at for each in sink.requests if each.path == path]
            for path in ("/limited", "/free")
        }
    pace = LIMIT * (1 - BURST) / 60
    allowed = LIMIT * BURST + WINDOW_SECONDS * pace + 1
    figures = [
        Figure("messages to a slow sink", beside, "/s", "one at a time", alone),
        Figure("the same as a ratio", beside / alone, "times", at_least=5.0),
        Figure(f"to a channel with a limit, most in {WINDOW_SECONDS:g} s", most_within(at["/limited"]), "messages",
               "to one without, beside it", most_within(at["/free"]), at_most=allowed),
    ]  # fmt: skip
    return figures, {"slow_sink_per_second": {"beside": beside, "alone": alone}}


def cost(urls: dict[str, str]) -> tuple[list[Figure], dict[str, Any]]:
    """Milliseconds for each message where the sink answers at once."""
    milliseconds: dict[str, list[float]] = {name: [] for name in (*urls, "requests")}
    with HttpSink() as sink:
        for number in range(ROUNDS):
            progress(f"notify: cost, round {number + 1} of {ROUNDS}")
            for name, url in urls.items():
                with using(url) as database:
                    if number == 0:
                        add_channel(database, "sink", sink.url)
                    seconds = tell(database, add_incidents(database, MESSAGES), "sink")
                milliseconds[name].append(seconds / MESSAGES * 1000)
            milliseconds["requests"].append(requests_alone(sink.url) / MESSAGES * 1000)
    middle = {name: median(values) for name, values in milliseconds.items()}
    figures = [
        Figure(f"a message, without the sink's time, {name}", middle[name], "ms", "the request alone",
               middle["requests"])
        for name in urls
    ]  # fmt: skip
    return figures, {"cost_ms": milliseconds}


def tell(database: Database, changes: Sequence[IncidentChange], *names: str) -> float:
    """Seconds of a notify stage that tells these channels."""
    held = hold_run(database)
    began = time.perf_counter()
    work(context_of(held, changes, timeout_seconds=300, channels=list(names)))
    took = time.perf_counter() - began
    end_run(database, held)
    return took


def requests_alone(url: str) -> float:
    """Seconds of as many requests, by as many threads and the same client."""
    began = time.perf_counter()
    with ThreadPoolExecutor(sending.SENDERS) as pool:
        list(pool.map(lambda _: send(OutboundRequest("POST", url, body=BODY)), range(MESSAGES)))
    return time.perf_counter() - began


def most_within(moments: Sequence[float]) -> float:
    """The most messages that came within any window."""
    ordered = sorted(moments)
    return max(sum(begin <= moment < begin + WINDOW_SECONDS for moment in ordered) for begin in ordered)


@contextmanager
def using(url: str) -> Iterator[Database]:
    """This is the process's database in the block."""
    before = os.environ.get("WATCHKEEPER_DATABASE_URL")
    os.environ["WATCHKEEPER_DATABASE_URL"] = url
    database_room.get.cache_clear()
    database = database_room.get()
    try:
        yield database
    finally:
        database.dispose()
        database_room.get.cache_clear()
        if before is None:
            del os.environ["WATCHKEEPER_DATABASE_URL"]
        else:
            os.environ["WATCHKEEPER_DATABASE_URL"] = before


@contextmanager
def senders(count: int) -> Iterator[None]:
    """So many messages at a time in the block."""
    before, sending.SENDERS = sending.SENDERS, count
    try:
        yield
    finally:
        sending.SENDERS = before
