"""How fast a webhook is accepted for good: on disk before the 202."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import processes
import psycopg
from bodies import webhook
from load import Load, run_load
from report import Figure, Section, median, percentile, progress
from sqlalchemy import func, select
from stack import LiveStack, free_port, live_stack, wait_until

from storage.embedded import EmbeddedServer
from storage.tables import Delivery

CONNECTIONS = (1, 8, 32)
REPETITIONS = 3
SECONDS = 2.0
WARM_UP_SECONDS = 1.0
OURS, PLAIN, NOTHING = "ours", "plain", "nothing"
PATHS = {OURS: "/alerts/webhook/generic/?pipeline=direct", PLAIN: "/store?pipeline=direct", NOTHING: "/nothing"}
PERCENTS = (50, 95, 99)
BESIDE = "Flask, SQLAlchemy, a commit per request"


def measure() -> Section:
    """The receiver as users run it, and a plain app on the same database server, in turns."""
    progress("accept: starting PostgreSQL, the receiver and the plain app")
    with live_stack("--no-server", "--no-worker") as stack, plain_app(stack) as plain_port:
        ports = {OURS: stack.port, PLAIN: plain_port, NOTHING: plain_port}
        loads: dict[tuple[str, int], list[Load]] = {}
        warm_ups = [_load(name, port, 8, WARM_UP_SECONDS) for name, port in ports.items()]
        for connections in CONNECTIONS:
            for turn in range(REPETITIONS):
                progress(f"accept: {connections} connections, {turn + 1} of {REPETITIONS}")
                for name, port in ports.items():
                    loads.setdefault((name, connections), []).append(_load(name, port, connections, SECONDS))
        accepted = sum(_accepted(load) for (name, _), several in loads.items() if name == OURS for load in several)
        lost = accepted + _accepted(warm_ups[0]) - _stored(stack)
    return _section(loads, accepted, lost)


@contextmanager
def plain_app(stack: LiveStack) -> Iterator[int]:
    """The plain app's port; it has a database of its own on the stack's server."""
    server = EmbeddedServer(stack.home)
    with psycopg.connect(server.url("postgres", "postgresql"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench_plain")
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("plain_app.py")), str(port), server.url("bench_plain")]
    with processes.running(command, env=stack.env, cwd=stack.home, log_path=stack.home / "plain.log"):
        wait_until(lambda: _answers(port), 20, what="the plain app")
        yield port


def _answers(port: int) -> bool:
    try:
        return httpx.post(f"http://127.0.0.1:{port}/nothing", json={}, trust_env=False).status_code == 202
    except httpx.HTTPError:
        return False


def _load(name: str, port: int, connections: int, seconds: float) -> Load:
    load = run_load(
        port=port,
        path=PATHS[name],
        bodies=[webhook("Accept", alerts=3)],
        connections=connections,
        seconds=seconds,
    )
    if set(load.statuses) != {"202"}:
        raise AssertionError(f"{name} at {connections} connections answered {load.statuses}")
    return load


def _accepted(load: Load) -> int:
    return load.statuses["202"]


def _stored(stack: LiveStack) -> int:
    with stack.database.read() as session:
        return session.scalar(select(func.count()).select_from(Delivery)) or 0


def _section(loads: dict[tuple[str, int], list[Load]], accepted: int, lost: int) -> Section:
    figures = [figure for connections in CONNECTIONS for figure in _figures(loads, connections)]
    figures.append(Figure(f"of {accepted:,} accepted, not in the table", lost, "webhooks", at_most=0))
    nothing = median([load.rate for load in loads[NOTHING, 8]])
    share = max(load.core_share for several in loads.values() for load in several)
    notes = [
        f"a {len(webhook('Accept', alerts=3))} byte body; medians of {REPETITIONS} times {SECONDS:g} s, in turns",
        f"Flask on waitress that stores nothing: {nothing:,.0f}/s at 8 connections",
        f"the load generator took at most {share:.0%} of a core",
    ]
    return Section("accept", "POST of a webhook to 202, stored for good", figures, notes, _samples(loads))


def _figures(loads: dict[tuple[str, int], list[Load]], connections: int) -> list[Figure]:
    ours, plain = loads[OURS, connections], loads[PLAIN, connections]
    has_target = connections == 8
    rate = Figure(
        f"{connections} connections, accepted",
        median([load.rate for load in ours]),
        "/s",
        BESIDE,
        median([load.rate for load in plain]),
        at_least=800 if has_target else None,
    )
    latencies = [
        Figure(
            f"{connections} connections, p{percent}",
            _percentile(ours, percent),
            "ms",
            "the same",
            _percentile(plain, percent),
            at_most=30 if has_target and percent == 99 else None,
            is_below=True,
        )
        for percent in PERCENTS
    ]
    return [rate, *latencies]


def _percentile(loads: list[Load], percent: float) -> float:
    return median([percentile(load.latencies_ms, percent) for load in loads])


def _samples(loads: dict[tuple[str, int], list[Load]]) -> dict[str, Any]:
    return {
        f"{name} at {connections}": [
            {
                "rate": load.rate,
                "core_share": load.core_share,
                **{f"p{percent}_ms": percentile(load.latencies_ms, percent) for percent in PERCENTS},
            }
            for load in several
        ]
        for (name, connections), several in loads.items()
    }
