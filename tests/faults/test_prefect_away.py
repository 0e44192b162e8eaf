"""Prefect's server away, back, or another one: alerts do not depend on the orchestrator."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from databases import open_folder
from prefect.client.orchestration import SyncPrefectClient
from sinks import HttpSink
from stack import LiveStack, free_port, wait_until

from deployments.stack import prefect_settings_folder
from storage import definitions
from storage.embedded import EmbeddedServer
from tasks.definition.presets import preset

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

DIRECT_AFTER_SECONDS = 3


class OwnPrefect:
    """A Prefect server that the test starts and stops, beside a stack that was told where it will be."""

    def __init__(self, stack: LiveStack, port: int) -> None:
        self._stack = stack
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}/api"

    def start(self, database: str = "prefect") -> None:
        """Start it on one of the embedded databases and wait until it answers."""
        embedded = EmbeddedServer(self._stack.home)
        with (
            suppress(psycopg.errors.DuplicateDatabase),
            psycopg.connect(embedded.url("postgres", "postgresql"), autocommit=True) as connection,
        ):
            connection.execute(f'CREATE DATABASE "{database}"')
        command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--log-level", "warning"]
        environment = {
            **self._stack.env,
            "PREFECT_HOME": str(self._stack.home / "own-prefect"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": embedded.url(database, "postgresql+asyncpg"),
        }
        with (self._stack.home / "own-prefect.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, cwd=prefect_settings_folder(), stdout=log, stderr=log
            )
        wait_until(self._answers, 90, what="the Prefect server")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def has_flow_run(self, flow_run_id: str) -> bool:
        """Whether this server knows a flow run."""
        with SyncPrefectClient(self.url) as client:
            return client.read_flow_run(UUID(flow_run_id)) is not None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def stack_without_server(**environment: str) -> Iterator[tuple[LiveStack, OwnPrefect]]:
    """A stack whose Prefect server is not there yet."""
    port = free_port()
    environment = {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "WATCHKEEPER_LEASE_SECONDS": "6",
        **environment,
    }
    with open_folder() as home:
        stack = LiveStack(home, environment, "--no-server")
        prefect = OwnPrefect(stack, port)
        try:
            stack.start()
            yield stack, prefect
        finally:
            prefect.kill()
            stack.close()


@pytest.fixture(scope="module")
def sink() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def parts(sink: HttpSink) -> Iterator[tuple[LiveStack, OwnPrefect]]:
    environment = {
        "WATCHKEEPER_DIRECT_AFTER_SECONDS": str(DIRECT_AFTER_SECONDS),
        "ORCHESTRATION_BACKOFF_FACTOR": "0.5",
    }
    with stack_without_server(**environment) as (stack, prefect):
        stack.add_channel("sink", "generic", {"endpoint": sink.url})
        slow = preset("health-checked").model_dump(mode="json")
        slow["nodes"][1]["config"]["checkers"]["cpu"] = {"samples": 15, "sample_interval": 0.2}
        with stack.database.write() as session:
            definitions.save(session, name="health-checked", config=slow)
        yield stack, prefect


@pytest.fixture
def stack(parts: tuple[LiveStack, OwnPrefect]) -> LiveStack:
    return parts[0]


@pytest.fixture
def prefect(parts: tuple[LiveStack, OwnPrefect]) -> OwnPrefect:
    return parts[1]


def test_a_webhook_is_worked_directly_when_prefect_stays_away(stack: LiveStack) -> None:
    posted = time.monotonic()

    run = stack.wait_for_run(stack.post(alert("away")))

    print(f"told {time.monotonic() - posted:.1f} s after the webhook, without Prefect")
    assert (run["status"], run["via"], run["flow_run_id"]) == ("NOTIFIED", "direct", None)


def test_a_direct_run_is_put_down_and_tried_again_until_its_message_is_out(
    stack: LiveStack, sink: HttpSink
) -> None:
    before = len(sink.requests)
    sink.answer_with(503, 503)

    run = stack.wait_for_run(stack.post(alert("put-down"), pipeline="full"))

    tries = sink.requests[before:]
    assert (run["status"], run["via"], run["total_attempts"]) == ("NOTIFIED", "direct", 3)
    assert [stage["status"] for stage in run["stages"] if stage["node_id"] == "notify"] == [
        "RETRYING",
        "RETRYING",
        "SUCCEEDED",
    ]
    assert sum(stage["node_id"] == "check" for stage in run["stages"]) == 1
    assert len(tries) == 3
    assert len({request.headers["Idempotency-Key"] for request in tries}) == 1


def test_a_direct_run_that_waits_holds_up_nobody(stack: LiveStack, sink: HttpSink) -> None:
    sink.answer_with(503)
    first = stack.post(alert("direct-waiting"))
    wait_until(
        lambda: any(b"direct-waiting" in request.body for request in sink.requests), 10, what="its first try"
    )
    posted = time.monotonic()

    second = stack.wait_for_run(stack.post(alert("direct-behind")))

    assert time.monotonic() - posted < 2
    assert (second["status"], stack.wait_for_run(first)["status"]) == ("NOTIFIED", "NOTIFIED")


def test_runs_go_through_prefect_once_it_is_there(stack: LiveStack, prefect: OwnPrefect) -> None:
    prefect.start()
    started = time.monotonic()

    run = first_run_in_prefect(stack, "there")

    print(f"runs went through Prefect {time.monotonic() - started:.1f} s after it answered")
    assert run["status"] == "NOTIFIED"
    assert prefect.has_flow_run(run["flow_run_id"])


def test_a_run_in_flight_when_prefect_dies_still_tells_people_once(
    stack: LiveStack, prefect: OwnPrefect, sink: HttpSink
) -> None:
    accepted = stack.post(alert("in-flight"), pipeline="health-checked")
    wait_until(lambda: stage_runs(stack, accepted, "check"), 20, what="the check stage")
    prefect.kill()
    killed = time.monotonic()

    beside = stack.wait_for_run(stack.post(alert("posted-while-away")), 60)
    beside_seconds = time.monotonic() - killed
    run = stack.wait_for_run(accepted, 150)

    print(f"posted while away: told after {beside_seconds:.1f} s; in flight: {time.monotonic() - killed:.1f} s")
    assert (beside["status"], beside["via"]) == ("NOTIFIED", "direct")
    assert beside_seconds < 30
    assert run["status"] == "NOTIFIED"
    assert sum(b"in-flight" in request.body for request in sink.requests) == 1


def test_another_server_at_the_same_place_gets_its_deployments_again(
    stack: LiveStack, prefect: OwnPrefect
) -> None:
    prefect.start("prefect_fresh")
    started = time.monotonic()

    run = first_run_in_prefect(stack, "fresh")

    print(f"runs went through the fresh server {time.monotonic() - started:.1f} s after it answered")
    assert run["status"] == "NOTIFIED"
    assert prefect.has_flow_run(run["flow_run_id"])


def test_a_wiped_database_under_a_running_server_stops_nothing(stack: LiveStack, prefect: OwnPrefect) -> None:
    with SyncPrefectClient(prefect.url) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)

    run = first_run_in_prefect(stack, "wiped")

    assert run["status"] == "NOTIFIED"
    assert prefect.has_flow_run(run["flow_run_id"])


def test_a_delivery_waits_for_prefect_as_long_as_it_may() -> None:
    with HttpSink() as sink, stack_without_server(WATCHKEEPER_DIRECT_AFTER_SECONDS="120") as (stack, prefect):
        stack.add_channel("sink", "generic", {"endpoint": sink.url})
        accepted = stack.post(alert("patient"))
        time.sleep(1)
        status_before = stack.web.get(accepted["status_url"]).json()["status"]

        prefect.start()
        run = stack.wait_for_run(accepted, 90)

    assert status_before == "waiting"
    assert (run["status"], run["via"]) == ("NOTIFIED", "prefect")


def alert(name: str) -> dict[str, Any]:
    return {"name": name, "severity": "critical", "fingerprint": name}


def stage_runs(stack: LiveStack, accepted: dict[str, Any], node_id: str) -> bool:
    """Whether an attempt at the node is running."""
    runs = [stack.web.get(listed["url"]).json() for listed in stack.web.get(accepted["status_url"]).json()["runs"]]
    return any(
        stage["node_id"] == node_id and stage["status"] == "RUNNING" for run in runs for stage in run["stages"]
    )


def first_run_in_prefect(stack: LiveStack, name: str) -> dict[str, Any]:
    """Post until a run goes through Prefect. Every one of them must tell people."""
    deadline = time.monotonic() + 60
    number = 0
    while time.monotonic() < deadline:
        number += 1
        run = stack.wait_for_run(stack.post(alert(f"{name}-{number}")), 40)
        assert run["status"] == "NOTIFIED", run
        if run["via"] == "prefect":
            return run
        time.sleep(0.5)
    raise AssertionError(f"no run went through Prefect\n{stack.log('worker')[-3000:]}")
