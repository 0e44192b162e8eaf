"""`watchkeeper up`: what it refuses and says why, what it gives up on, and the light mode."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from databases import open_folder
from sinks import HttpSink
from stack import LiveStack, free_port, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture
def home() -> Iterator[Path]:
    with open_folder() as home:
        yield home


@pytest.fixture(scope="module")
def sink() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def light(sink: HttpSink) -> Iterator[LiveStack]:
    """The light mode: everything on SQLite."""
    with open_folder() as home:
        stack = LiveStack(home, {"WATCHKEEPER_DATABASE_URL": f"sqlite:///{home / 'watchkeeper.db'}"})
        try:
            stack.start(120)
            stack.add_channel("sink", "generic", {"endpoint": sink.url})
            yield stack
        finally:
            stack.close()


def test_a_taken_port_is_said_at_once(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = time.monotonic()
        ended = up(home, WATCHKEEPER_PREFECT_PORT=str(port))

    assert ended.returncode == 1
    assert f"127.0.0.1:{port} cannot be used" in ended.stderr
    assert "WATCHKEEPER_PREFECT_PORT" in ended.stderr
    assert time.monotonic() - started < 20


def test_a_part_that_will_not_stay_up_ends_it_with_the_reason(home: Path) -> None:
    port = free_port()
    # Prefect refuses this setting when it is imported, which only the worker does.
    broken = {"PREFECT_CLIENT_MAX_RETRIES": "many", "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}

    ended = up(home, "--no-server", "--port", str(port), **light_mode(home), **broken)

    assert ended.returncode == 1
    assert "worker will not stay up: exited 5 times, last with exit code 1" in ended.stderr
    assert "Input should be a valid integer" in ended.stderr
    assert not processes_of(home)


def test_an_address_that_others_reach_needs_a_token(home: Path) -> None:
    ended = up(home, "--host", "0.0.0.0", **light_mode(home))

    assert ended.returncode == 1
    assert "WATCHKEEPER_WEBHOOK_TOKEN" in ended.stderr


def test_a_setting_that_cannot_be_used_is_named(home: Path) -> None:
    ended = up(home, WATCHKEEPER_SLOTS="many")

    assert ended.returncode == 2
    assert "WATCHKEEPER_SLOTS" in ended.stderr


def test_the_worker_alone_needs_to_know_where_prefect_is(home: Path) -> None:
    ended = up(home, "--no-server", "--no-web", **light_mode(home))

    assert ended.returncode == 1
    assert "PREFECT_API_URL" in ended.stderr


def test_light_mode_runs_the_direct_pipeline_to_the_end(light: LiveStack, sink: HttpSink) -> None:
    run = light.wait_for_run(light.post(alert("light")))

    assert (run["status"], run["via"]) == ("NOTIFIED", "prefect")
    assert sum(b"light" in request.body for request in sink.requests) == 1


def test_light_mode_works_a_small_storm_with_one_run_at_a_time(light: LiveStack, sink: HttpSink) -> None:
    accepted = [light.post(alert(f"storm-{number}")) for number in range(30)]

    runs = [light.wait_for_run(one, 90) for one in accepted]

    assert {run["status"] for run in runs} == {"NOTIFIED"}
    assert sum(b"storm-" in request.body for request in sink.requests) == 30


def test_a_second_one_with_the_same_data_is_refused(light: LiveStack) -> None:
    ended = up(light.home, "--port", str(free_port()), **light_mode(light.home))

    assert ended.returncode == 1
    assert "runs already with its data in" in ended.stderr
    assert light.web.get("/alerts/webhook/").status_code == 200


def test_a_killed_one_takes_its_parts_along_and_the_next_works_what_was_left(
    light: LiveStack, sink: HttpSink
) -> None:
    accepted = light.post(alert("left-behind"))

    assert light.process is not None
    os.kill(light.process.pid, signal.SIGKILL)
    light.process.wait()
    wait_until(lambda: not processes_of(light.home), 90, what="the end of all parts")
    light.start(120)
    run = light.wait_for_run(accepted)

    assert run["status"] == "NOTIFIED"
    assert sum(b"left-behind" in request.body for request in sink.requests) >= 1


def test_it_ends_well_when_told_to(light: LiveStack) -> None:
    code = light.stop()

    assert code == 0
    assert not processes_of(light.home)


def up(home: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`watchkeeper up` that is expected to end by itself."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WATCHKEEPER_", "PREFECT_"))}
    command = [sys.executable, "-m", "deployments.cli", "up", *arguments]
    environment = {**kept, "WATCHKEEPER_HOME": str(home), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def light_mode(home: Path) -> dict[str, str]:
    return {"WATCHKEEPER_DATABASE_URL": f"sqlite:///{home / 'watchkeeper.db'}"}


def processes_of(home: Path) -> list[psutil.Process]:
    """What runs with its data in a home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WATCHKEEPER_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def alert(name: str) -> dict[str, Any]:
    return {"name": name, "severity": "critical", "fingerprint": name}
