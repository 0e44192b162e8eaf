"""From a webhook to the notification at its destination, one at a time."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import processes
from bodies import webhook
from machine import Machine, StockServer
from probe import Probe, probing
from report import Figure, Section, median, percentile, progress
from sinks import HttpSink
from stack import LiveStack, wait_until

from storage import runs

WARM_UPS = 3
REPETITIONS = 30
STOCK_REPETITIONS = 3
WORK_POOL = "stock"


def measure(machine: Machine) -> Section:
    """The default stack, then the same flow on a stock process worker with a stock server."""
    stack, sink = machine.stack, machine.sink
    progress(f"latency: {WARM_UPS} + {REPETITIONS} webhooks, one at a time")
    ours = [_ours(stack, sink, f"Latency{number}") for number in range(WARM_UPS + REPETITIONS)][WARM_UPS:]
    with stock_worker(machine.stock) as probe:
        stock = [_stock(probe, sink, number) for number in range(STOCK_REPETITIONS)]
    return _section(ours, stock)


def _ours(stack: LiveStack, sink: HttpSink, group: str) -> dict[str, float]:
    """Seconds from before the request is sent until the sink has the notification, and where they went."""
    body = webhook(group, alerts=3)
    seen = len(sink.requests)
    began_at, began_wall = time.monotonic(), time.time()
    accepted = stack.post(body, source="alertmanager")
    seconds = sink.wait_for(seen + 1, 30)[seen].received_at - began_at
    shown = stack.wait_for_run(accepted)
    with stack.database.read() as session:
        run = runs.find_run(session, shown["run_id"])
    assert run is not None
    assert run.started_at is not None
    claimed, started = run.created_at.timestamp() - began_wall, run.started_at.timestamp() - began_wall
    time.sleep(0.1)  # what the run does after its end, so that the next finds the machine at rest
    return {
        "to_sink": seconds,
        "to_claim": claimed,
        "claim_to_begin": started - claimed,
        "begin_to_sink": seconds - started,
    }


@contextmanager
def stock_worker(stock: StockServer) -> Iterator[Probe]:
    """A `prefect worker start --type process` with our flow deployed to its pool."""
    prefect = [sys.executable, "-m", "prefect"]
    with probing(stock.env, stock.folder) as probe:
        command = [*prefect, "worker", "start", "--type", "process", "--pool", WORK_POOL]
        progress("latency: starting a stock process worker")
        log_path = stock.folder / "worker.log"
        with processes.running(command, env=stock.env, cwd=stock.folder, log_path=log_path):
            wait_until(lambda: b"started!" in log_path.read_bytes(), 30, what="the stock worker")
            probe.ask("deploy_direct", work_pool=WORK_POOL)
            yield probe


def _stock(probe: Probe, sink: HttpSink, number: int) -> dict[str, float]:
    """Seconds from the request for a run, and from its begin, until the sink has the notification."""
    progress(f"latency: stock process worker, {number + 1} of {STOCK_REPETITIONS}")
    payload = json.loads(webhook(f"StockLatency{number}", alerts=3))
    seen = len(sink.requests)
    began_at, began_wall = time.monotonic(), time.time()
    run_id = probe.ask(
        "start_run", deployment="direct/stock", parameters={"payload": payload, "source": "alertmanager"}
    )
    received_at = sink.wait_for(seen + 1, 60)[seen].received_at
    run = wait_until(lambda: _final(probe, run_id), 30, what="the end of the stock run")
    return {"to_sink_seconds": received_at - began_at, "to_running_seconds": run["started_at"] - began_wall}


def _final(probe: Probe, run_id: str) -> dict[str, float] | None:
    state = probe.ask("state_of", flow_run_id=run_id)
    return state if state["is_final"] else None


def _section(rounds: list[dict[str, float]], stock: list[dict[str, float]]) -> Section:
    ours = [one["to_sink"] for one in rounds]
    parts = {name: median([one[name] for one in rounds]) for name in rounds[0] if name != "to_sink"}
    stock_seconds = [times["to_sink_seconds"] for times in stock]
    stock_median = median(stock_seconds)
    beside = "stock process worker and server"
    figures = [
        Figure("webhook to notification, p50", percentile(ours, 50), "s", beside, stock_median, at_most=0.6),
        Figure("webhook to notification, p95", percentile(ours, 95), "s", f"slowest of {len(stock)}",
               max(stock_seconds), at_most=1.0),
        Figure("faster than the stock worker", stock_median / percentile(ours, 50), "times", at_least=8),
    ]  # fmt: skip
    notes = [
        f"ours: {REPETITIONS} webhooks after {WARM_UPS} warm-ups, from before the POST is sent to the sink",
        f"ours, medians of the parts: {', '.join(f'{name} {value:.3f} s' for name, value in parts.items())}",
        f"stock: {len(stock)} runs of the same flow with the payload as parameter, from the request for the run",
        f"stock: median {median([one['to_running_seconds'] for one in stock]):.1f} s of it until the run began",
    ]
    samples = {"ours_seconds": rounds, "stock": stock}
    return Section("latency", "one alert through `direct`, one at a time", figures, notes, samples)
