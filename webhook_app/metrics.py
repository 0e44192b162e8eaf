"""`/metrics`: the installation's figures in Prometheus' text form, read from the database.

Several receivers share a port, so none of them counts for itself. What only rises comes from totals that are kept
beside the rows (storage/tallies.py), so that it goes on rising when old rows are pruned.
"""

import platform
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from typing import Any, cast

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from storage import tallies, vitals
from storage.database import Database
from storage.tallies import BOUNDS, ENDLESS, Total
from storage.vitals import Vitals
from webhook_app.access import require_api_token
from webhook_app.state import state

# A scrape waits no longer than this for the database, and reads it no more often.
WAIT_SECONDS = 1.5
KEPT_SECONDS = 3.0
EXTENSION = "watchkeeper.metrics"

Families = type[CounterMetricFamily] | type[GaugeMetricFamily] | type[HistogramMetricFamily]


@dataclass(frozen=True)
class Described:
    """What a metric is: its type, what it tells, and its labels."""

    family: Families
    help: str
    labels: tuple[str, ...] = ()


COUNTER, GAUGE, HISTOGRAM = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
METRICS: dict[str, Described] = {
    "watchkeeper_database_up": Described(GAUGE, "1 where the database answers; without it only this and the next"),
    "watchkeeper_build_info": Described(GAUGE, "always 1", ("version", "python", "database", "revision")),
    "watchkeeper_runs_total": Described(COUNTER, "runs that ended", ("pipeline", "outcome")),
    "watchkeeper_run_duration_seconds": Described(HISTOGRAM, "from begin to end", ("pipeline", "outcome")),
    "watchkeeper_stages_total": Described(COUNTER, "attempts at stages that ended", ("stage", "outcome")),
    "watchkeeper_stage_duration_seconds": Described(HISTOGRAM, "of one attempt", ("stage", "outcome")),
    "watchkeeper_notification_tries_total": Described(COUNTER, "tries to send a message", ("channel", "outcome")),
    "watchkeeper_notifications": Described(GAUGE, "messages that are not sent", ("status",)),
    "watchkeeper_deliveries": Described(GAUGE, "webhooks that are kept and not done", ("status",)),
    "watchkeeper_deliveries_done_total": Described(COUNTER, "webhooks that runs have dealt with"),
    "watchkeeper_oldest_waiting_delivery_seconds": Described(GAUGE, "age of the webhook that waits longest, or 0"),
    "watchkeeper_runs_queued": Described(GAUGE, "runs that wait for a worker"),
    "watchkeeper_runs_running": Described(GAUGE, "runs that a worker has in hand"),
    "watchkeeper_incidents": Described(GAUGE, "incidents that are not over", ("status", "severity")),
    "watchkeeper_workers": Described(GAUGE, "workers that live"),
    "watchkeeper_workers_with_prefect": Described(GAUGE, "those of them that reach Prefect's server"),
    "watchkeeper_worker_slots": Described(GAUGE, "runs that they take at a time"),
}

metrics = Blueprint("metrics", __name__)


class LatestVitals:
    """The vitals of a moment ago, one reader at a time; None while the database does not answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None
        self._found: Vitals | None = None
        self._found_at = float("-inf")

    def get(self, database: Database) -> Vitals | None:
        """Waits for the database for a moment, and for one that hangs no longer."""
        with self._lock:
            if time.monotonic() - self._found_at < KEPT_SECONDS:
                return self._found
            if self._looking is None or not self._looking.is_alive():
                self._looking = threading.Thread(target=self._look, args=(database,), name="vitals", daemon=True)
                self._looking.start()
            looking = self._looking
        looking.join(WAIT_SECONDS)
        return self._found if time.monotonic() - self._found_at < KEPT_SECONDS else None

    def _look(self, database: Database) -> None:
        try:
            with database.read() as session:
                self._found = vitals.read(session)
        except SQLAlchemyError:
            return
        self._found_at = time.monotonic()


@metrics.record_once
def _install(setup: BlueprintSetupState) -> None:
    setup.app.extensions[EXTENSION] = LatestVitals()


@metrics.get("/metrics")
@require_api_token
def scrape() -> Response:
    """The figures, in the form that the scraper accepts."""
    latest = cast("LatestVitals", current_app.extensions[EXTENSION])
    found = latest.get(state().database)
    registry = CollectorRegistry()
    registry.register(_Figures(found, "sqlite" if state().database.is_sqlite else "postgresql"))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)


class _Figures(Collector):
    """What prometheus_client writes out."""

    def __init__(self, found: Vitals | None, database: str) -> None:
        self._found = found
        self._database = database

    def collect(self) -> Iterable[Metric]:
        """See Collector.collect."""
        found = self._found
        revision = found.revision if found else ""
        build = (version("watchkeeper"), platform.python_version(), self._database, revision)
        yield _metric("watchkeeper_database_up", {(): 1 if found else 0})
        yield _metric("watchkeeper_build_info", {build: 1})
        if found is None:
            return
        yield from _totals(found.totals)
        yield _metric("watchkeeper_notifications", {(key,): value for key, value in found.notifications.items()})
        yield _metric("watchkeeper_deliveries", {(key,): value for key, value in found.deliveries.items()})
        yield _metric("watchkeeper_oldest_waiting_delivery_seconds", {(): found.oldest_waiting_seconds})
        yield _metric("watchkeeper_runs_queued", {(): found.runs_queued})
        yield _metric("watchkeeper_runs_running", {(): found.runs_running})
        yield _metric("watchkeeper_incidents", found.incidents)
        yield _metric("watchkeeper_workers", {(): found.workers})
        yield _metric("watchkeeper_workers_with_prefect", {(): found.workers_with_prefect})
        yield _metric("watchkeeper_worker_slots", {(): found.slots})


def _totals(totals: list[Total]) -> Iterable[Metric]:
    of: dict[str, list[Total]] = defaultdict(list)
    for total in totals:
        of[total.name].append(total)
    yield _counter("watchkeeper_runs_total", of[tallies.RUNS])
    yield _histogram("watchkeeper_run_duration_seconds", of[tallies.RUNS])
    yield _counter("watchkeeper_stages_total", of[tallies.STAGES])
    yield _histogram("watchkeeper_stage_duration_seconds", of[tallies.STAGES])
    yield _counter("watchkeeper_notification_tries_total", of[tallies.NOTIFICATIONS])
    yield _metric("watchkeeper_deliveries_done_total", {(): sum(each.count for each in of[tallies.DELIVERIES])})


def _family(name: str) -> Any:
    described = METRICS[name]
    return described.family(name, described.help, labels=described.labels)


def _metric(name: str, values: Any) -> Metric:
    family = _family(name)
    for labels, value in values.items():
        family.add_metric([str(label) for label in labels], value)
    return cast("Metric", family)


def _counter(name: str, totals: list[Total]) -> Metric:
    return _metric(name, {(total.what, total.outcome): total.count for total in totals})


def _histogram(name: str, totals: list[Total]) -> Metric:
    family = _family(name)
    bounds = [*map(str, BOUNDS), ENDLESS]
    for total in totals:
        counts = accumulate(total.buckets.get(bound, 0) for bound in bounds)
        family.add_metric(
            [total.what, total.outcome], buckets=list(zip(bounds, counts, strict=True)), sum_value=total.seconds
        )
    return cast("Metric", family)
