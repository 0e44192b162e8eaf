"""Whether old rows are let go of without the receiver noticing."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import processes
from bodies import webhook
from load import Load
from old_rows import ROWS_OF_ONE, add_old_webhooks, count_rows
from receivers import receiver_over
from report import Figure, Section, percentile, progress
from sqlalchemy import func, select
from stack import LiveStack
from steady import SteadyLoad

from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus

ROWS = 100_000
PER_SECOND = 100
CONNECTIONS = 8
QUIET_SECONDS = 20
WAIT_SECONDS = 600
ROOT = Path(__file__).parents[2]
PRUNE = (
    "import asyncio; from flows.pruning import prune; from storage.settings import load; "
    "print(asyncio.run(prune(load())))"
)


@dataclass(frozen=True)
class Pruned:
    """What came of it on one kind of database."""

    quiet: Load
    busy: Load
    rows: int
    left: int
    seconds: float


def measure() -> Section:
    """The receiver as users run it under a steady load, without and with the pruning of old rows beside it."""
    found = {kind: _measure(kind) for kind in ("PostgreSQL", "SQLite")}
    figures = [figure for kind, pruned in found.items() for figure in _figures(kind, pruned)]
    notes = [
        f"{PER_SECOND} posts a second over {CONNECTIONS} connections; a latency counts from when the post was due",
        f"{ROWS:,} rows: runs with their stages, deliveries of 1.7 KB, check runs, history, messages, analyses",
        "pruned by a process of its own, as the worker does it",
    ]
    samples = {
        kind: {"seconds": pruned.seconds, "quiet": _percentiles(pruned.quiet), "busy": _percentiles(pruned.busy)}
        for kind, pruned in found.items()
    }
    return Section("retention", "letting go of old rows beside a steady load", figures, notes, samples)


def _measure(kind: str) -> Pruned:
    with receiver_over(kind) as stack:
        progress(f"retention: writing {ROWS:,} old rows to {kind}")
        add_old_webhooks(stack.database, ROWS // ROWS_OF_ONE, days_ago=365)
        before = sum(count_rows(stack.database).values())
        progress(f"retention: {QUIET_SECONDS} s of load on {kind}, then pruning beside it")
        _load(stack, time.sleep, 3)
        quiet, _ = _load(stack, time.sleep, QUIET_SECONDS)
        busy, seconds = _load(stack, lambda _: _prune(stack), 0)
        accepted = sum(load.statuses.get("202", 0) for load in (quiet, busy))
        left = sum(count_rows(stack.database).values()) - _young(stack)
        if accepted > _young(stack):
            raise AssertionError(f"{accepted} posts were accepted, and {_young(stack)} are there")
    return Pruned(quiet, busy, before, left, seconds)


def _load(stack: LiveStack, wait: Callable[[float], object], seconds: float) -> tuple[Load, float]:
    """A steady load for as long as `wait` takes, and how long that was."""
    load = SteadyLoad(
        port=stack.port,
        path="/alerts/webhook/alertmanager/?pipeline=direct",
        body=webhook("Retention", alerts=3),
        connections=CONNECTIONS,
        per_second=PER_SECOND,
    )
    began_at = time.monotonic()
    load.start()
    wait(seconds)
    took = time.monotonic() - began_at
    return load.stop(), took


def _prune(stack: LiveStack) -> None:
    command = [sys.executable, "-c", PRUNE]
    log_path = stack.home / "prune.log"
    with processes.running(command, env=stack.env, cwd=ROOT, log_path=log_path) as process:
        if process.wait(WAIT_SECONDS):
            raise AssertionError(log_path.read_text())


def _young(stack: LiveStack) -> int:
    """The deliveries that were accepted just now; nothing works on them here."""
    with stack.database.read() as session:
        return session.scalar(select(func.count()).where(Delivery.status == DeliveryStatus.WAITING)) or 0


def _figures(kind: str, pruned: Pruned) -> list[Figure]:
    return [
        Figure(
            f"{kind}: p99 of a post while pruning",
            percentile(pruned.busy.latencies_ms, 99),
            "ms",
            "without pruning",
            percentile(pruned.quiet.latencies_ms, 99),
            at_most=100,
            is_below=True,
        ),
        Figure(
            f"{kind}: slowest post while pruning",
            max(pruned.busy.latencies_ms),
            "ms",
            "without pruning",
            max(pruned.quiet.latencies_ms),
        ),
        Figure(
            f"{kind}: posts refused while pruning",
            _refused(pruned.busy),
            "posts",
            "without pruning",
            _refused(pruned.quiet),
            at_most=0,
        ),
        # The newest answer about the one incident stays.
        Figure(f"{kind}: old rows left of {pruned.rows:,}", pruned.left, "rows", at_most=1),
        Figure(f"{kind}: all of them gone after", pruned.seconds, "s"),
    ]


def _refused(load: Load) -> int:
    return sum(count for status, count in load.statuses.items() if status != "202")


def _percentiles(load: Load) -> dict[str, float]:
    return {f"p{percent}_ms": percentile(load.latencies_ms, percent) for percent in (50, 95, 99)}
