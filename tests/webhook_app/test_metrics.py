"""`/metrics`, read as Prometheus reads it."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from rows import add_delivery, add_incident
from sqlalchemy import delete

from storage import runs, settings, tallies, workers
from storage.database import Database
from storage.tables import PipelineRun
from storage.vocabulary import DeliveryStatus, RunVia, Severity
from tasks import signals
from webhook_app.app import create_app
from webhook_app.metrics import METRICS

Samples = dict[tuple[str, ...], float]


def scrape(client: FlaskClient) -> Samples:
    """Values by the sample's name and the values of its labels, as these are written: by the labels' names."""
    text = client.get("/metrics").text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def end_a_run(database: Database, *, duration_ms: float) -> None:
    with database.write() as session:
        run = runs.create_run(session, definition_name="full", definition_version=1)
        held = runs.lease_run(session, run.run_id, owner="one", lease_seconds=60)
        runs.start(session, held, via=RunVia.DIRECT, flow_run_id=None)
        runs.fail(run, error_type="X", message="x", retryable=False)
        run.total_duration_ms = duration_ms
        session.flush()
        signals.run_ended(session, run)


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_scrape_tells_how_the_installation_fares(client: FlaskClient, database: Database) -> None:
    end_a_run(database, duration_ms=700)
    end_a_run(database, duration_ms=400_000)
    with database.write() as session:
        add_incident(session, severity=Severity.CRITICAL)
        add_delivery(session, status=DeliveryStatus.WAITING)
        runs.queue(session, runs.create_run(session, definition_name="full", definition_version=1))
        tallies.add(session, tallies.NOTIFICATIONS, what="ops", outcome="sent")
        workers.beat(session, owner="one", hostname="h", pid=1, slots=4, in_flight=0, has_prefect=False)

    found = scrape(client)

    assert found["watchkeeper_database_up",] == 1
    assert found["watchkeeper_runs_total", "FAILED", "full"] == 2
    duration = "watchkeeper_run_duration_seconds"
    assert found[f"{duration}_sum", "FAILED", "full"] == pytest.approx(400.7)
    buckets = [found[f"{duration}_bucket", bound, "FAILED", "full"] for bound in ("0.5", "1.0", "300.0", "+Inf")]
    assert buckets == [0, 1, 1, 2]
    assert found["watchkeeper_incidents", "critical", "open"] == 1
    assert found["watchkeeper_deliveries", "waiting"] == 1
    assert 0 <= found["watchkeeper_oldest_waiting_delivery_seconds",] < 60
    assert (found["watchkeeper_runs_queued",], found["watchkeeper_runs_running",]) == (1, 0)
    assert found["watchkeeper_notification_tries_total", "ops", "sent"] == 1
    assert (found["watchkeeper_workers",], found["watchkeeper_workers_with_prefect",]) == (1, 0)
    told = {name for name, *_ in found}
    assert all(any(each.startswith(name) for each in told) for name in METRICS if "stage" not in name)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_counters_do_not_fall_when_runs_are_pruned(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_app.metrics.KEPT_SECONDS", 0.05)
    end_a_run(database, duration_ms=1)
    before = scrape(client)["watchkeeper_runs_total", "FAILED", "full"]
    with database.write() as session:
        session.execute(delete(PipelineRun))
    time.sleep(0.1)

    end_a_run(database, duration_ms=1)

    assert (before, scrape(client)["watchkeeper_runs_total", "FAILED", "full"]) == (1, 2)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_scraper_that_asks_for_openmetrics_gets_it(client: FlaskClient, database: Database) -> None:
    end_a_run(database, duration_ms=1)

    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert "openmetrics" in answer.content_type
    assert {family.name for family in parse_openmetrics(answer.text)} >= {
        "watchkeeper_runs",
        "watchkeeper_workers",
    }


def test_scrape_says_soon_that_the_database_is_away() -> None:
    with silent_server() as port:
        database = Database(f"postgresql://x@127.0.0.1:{port}/x")
        client = create_app(settings.load(), database).test_client()
        begun_at = time.monotonic()

        found = scrape(client)

    assert found["watchkeeper_database_up",] == 0
    assert {name for name, *_ in found} == {"watchkeeper_database_up", "watchkeeper_build_info"}
    assert time.monotonic() - begun_at < 2.5


def test_scrape_needs_the_api_token(door: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert door.get("/metrics", environ_base={"REMOTE_ADDR": "198.51.100.7"}).status_code == 401
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "let-me-in")
    guarded = create_app(settings.load(), Database("sqlite:///:memory:")).test_client()

    assert guarded.get("/metrics").status_code == 401
    assert guarded.get("/metrics", headers={"Authorization": "Bearer let-me-in"}).status_code == 200
