"""Many webhooks at once: each an incident and a notification of its own, in few flow runs."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil
from bodies import webhook
from load import run_load
from probe import probing
from report import Figure, Section, median, progress
from sinks import HttpSink, ReceivedRequest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from stack import LiveStack, live_stack, wait_until

from storage.tables import Alert, Delivery, Incident, Notification, PipelineRun
from storage.vocabulary import DeliveryStatus, NotificationStatus

WEBHOOKS = 2_000
ALERTS = 3
CONNECTIONS = 8
REPETITIONS = 3
SMALL = 50
WAIT_SECONDS = 150
SETTLE_SECONDS = 2.0  # time for a notification that comes twice
MIB = 1024 * 1024


@dataclass(frozen=True)
class Storm:
    """What came of one storm. The counts are what it added."""

    seconds: float
    accept_seconds: float
    pipeline_runs: int
    flow_runs: int
    deliveries_done: int
    alerts: int
    incidents: int
    notifications_sent: int
    told_incidents: int
    messages: int
    worker_peak_mib: float


def measure() -> Section:
    """The default stack, then one that may not coalesce."""
    with open_storms() as storms:
        ours = []
        for turn in range(REPETITIONS):
            progress(f"storm: {WEBHOOKS} webhooks, {turn + 1} of {REPETITIONS}")
            ours.append(storms.let_loose(f"Storm{turn}", WEBHOOKS))
    with open_storms(WATCHKEEPER_BATCH_LIMIT="1") as storms:
        progress(f"storm: {SMALL} webhooks without coalescing")
        single = storms.let_loose("Single", SMALL)
    return _section(ours, single)


class Storms:
    """A stack with a sink, and what counts their storms."""

    def __init__(self, stack: LiveStack, sink: HttpSink) -> None:
        self._stack = stack
        self._sink = sink

    def let_loose(self, name: str, webhooks: int) -> Storm:
        """Post so many webhooks as fast as they are accepted and wait for the last notification."""
        bodies = [webhook(f"{name}x{number}", alerts=ALERTS) for number in range(webhooks)]
        before, seen = self._counts(), len(self._sink.requests)
        with self._peak_memory() as peak:
            load = run_load(
                port=self._stack.port,
                path="/alerts/webhook/alertmanager/?pipeline=direct",
                bodies=bodies,
                connections=CONNECTIONS,
            )
            if load.statuses != {"202": webhooks}:
                raise AssertionError(f"the receiver answered {load.statuses}")
            last = self._wait_for_all(seen, webhooks)
        received = self._sink.requests[seen:]
        after = self._counts()
        return Storm(
            seconds=last - load.began_at,
            accept_seconds=load.ended_at - load.began_at,
            told_incidents=len({_incident(request) for request in received}),
            messages=len(received),
            worker_peak_mib=max(peak) / MIB,
            **{key: after[key] - before[key] for key in after},
        )

    def _wait_for_all(self, seen: int, webhooks: int) -> float:
        """When the last notification came. What is missing after a long wait shows in the counts."""
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self._sink.requests) < seen + webhooks and time.monotonic() < deadline:
            time.sleep(0.1)
        last = self._sink.requests[-1].received_at
        wait_until(self._is_quiet, WAIT_SECONDS, what="the last run's end")
        time.sleep(SETTLE_SECONDS)
        return last

    def _is_quiet(self) -> bool:
        with self._stack.database.read() as session:
            going = select(func.count()).where(PipelineRun.completed_at.is_(None))
            return not session.scalar(going)

    @contextmanager
    def _peak_memory(self) -> Iterator[list[int]]:
        """Sample the worker's resident memory; the list grows while the block runs."""
        worker = psutil.Process(self._stack.pid("worker"))
        samples, is_over = [worker.memory_info().rss], threading.Event()

        def sample() -> None:
            while not is_over.wait(0.05):
                samples.append(worker.memory_info().rss)

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield samples
        finally:
            is_over.set()
            sampler.join()

    def _counts(self) -> dict[str, int]:
        with self._stack.database.read() as session:
            counts = _counts(session)
        with probing(self._stack.client_env, self._stack.home) as probe:
            return counts | {"flow_runs": probe.ask("count_runs")}


@contextmanager
def open_storms(**env: str) -> Iterator[Storms]:
    """A fresh stack with a warm pipeline."""
    progress(f"storm: starting a stack {env or ''}")
    with HttpSink() as sink, live_stack(**env) as stack:
        stack.add_channel("sink", "generic", {"endpoint": sink.url})
        stack.wait_for_run(stack.post(webhook("WarmUp", alerts=ALERTS), source="alertmanager"))
        yield Storms(stack, sink)


def _counts(session: Session) -> dict[str, int]:
    counted = {
        "pipeline_runs": select(func.count()).select_from(PipelineRun),
        "deliveries_done": select(func.count()).where(Delivery.status == DeliveryStatus.DONE),
        "alerts": select(func.count()).select_from(Alert),
        "incidents": select(func.count()).select_from(Incident),
        "notifications_sent": select(func.count()).where(Notification.status == NotificationStatus.SENT),
    }
    return {key: session.scalar(query) or 0 for key, query in counted.items()}


def _incident(request: ReceivedRequest) -> int:
    return json.loads(request.body)["context"]["incident"]["id"]


def _section(ours: list[Storm], single: Storm) -> Section:
    extrapolated = single.seconds * WEBHOOKS / SMALL
    without = "without coalescing, extrapolated"
    lost = max(_lost(storm, WEBHOOKS) for storm in ours)
    twice = max(storm.messages - storm.told_incidents for storm in ours)
    figures = [
        Figure("first post to last notification", median([s.seconds for s in ours]), "s", without, extrapolated,
               at_most=30),
        Figure("pipeline runs", max(s.pipeline_runs for s in ours), "runs", without, WEBHOOKS, at_most=100),
        Figure("Prefect's flow runs", max(s.flow_runs for s in ours), "runs", without, WEBHOOKS, at_most=100),
        Figure("worker's resident memory, peak", max(s.worker_peak_mib for s in ours), "MiB",
               f"at {SMALL} without coalescing", single.worker_peak_mib, at_most=400, is_below=True),
        Figure("lost at any step", lost, "pieces", at_most=0),
        Figure("notifications that came twice", twice, "messages", at_most=0),
    ]  # fmt: skip
    notes = [
        f"median of {REPETITIONS} storms of {WEBHOOKS:,} webhooks with {ALERTS} alerts each; counts are the worst",
        f"all accepted after {median([s.accept_seconds for s in ours]):.1f} s (median)",
        f"without coalescing: {SMALL} webhooks took {single.seconds:.1f} s in {single.flow_runs} flow runs",
        f"what stands beside is that times {WEBHOOKS // SMALL}: an extrapolation, not a measurement",
    ]
    samples = {"ours": [asdict(storm) for storm in ours], f"single, {SMALL} webhooks": asdict(single)}
    return Section("storm", f"{WEBHOOKS:,} webhooks at once through `direct`", figures, notes, samples)


def _lost(storm: Storm, webhooks: int) -> int:
    """The most that is missing anywhere between the inbox and the sink."""
    one_each = (storm.deliveries_done, storm.incidents, storm.notifications_sent, storm.told_incidents)
    return max(webhooks - min(one_each), ALERTS * webhooks - storm.alerts)
