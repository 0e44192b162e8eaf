"""The whole stack as its users run it: `watchkeeper up` in a process of its own, in a folder of its own."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from databases import open_folder
from prefect.client.orchestration import SyncPrefectClient

from storage import channels
from storage.database import Database
from storage.embedded import EmbeddedServer

T = TypeVar("T")

# Below those that clients are given (Linux: 32768 and up). Each test process has some of its own.
FIRST_PORT, PORTS = 20_000, 1_000

COMMANDS = {
    "postgresql": "/postgres",
    "prefect-server": "prefect.server.api.server:create_app",
    "worker": "deployments.worker",
    "receiver": "deployments.web",
}


class LiveStack:
    """A running `watchkeeper up`."""

    def __init__(self, home: Path, env: Mapping[str, str], *arguments: str) -> None:
        self.home = home
        self.port, self.prefect_port = free_port(), free_port()
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("WATCHKEEPER_", "PREFECT_"))},
            "WATCHKEEPER_HOME": str(home),
            "WATCHKEEPER_PORT": str(self.port),
            "WATCHKEEPER_PREFECT_PORT": str(self.prefect_port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            **env,
        }
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        url = self.env.get("WATCHKEEPER_DATABASE_URL") or EmbeddedServer(home).url("watchkeeper")
        self.database = Database(url, pool_size=4)
        self.web = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)

    @property
    def prefect_api_url(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}/api"

    @property
    def prefect_auth(self) -> str:
        return (self.home / "prefect-auth").read_text().strip()

    @property
    def client_env(self) -> dict[str, str]:
        """The environment in which `prefect` commands reach this stack's server."""
        return {**self.env, "PREFECT_API_URL": self.prefect_api_url, "PREFECT_API_AUTH_STRING": self.prefect_auth}

    def prefect(self) -> SyncPrefectClient:
        """A client of this stack's Prefect server, to be used in a with block."""
        return SyncPrefectClient(self.prefect_api_url, auth_string=self.prefect_auth)

    def start(self, timeout_seconds: float = 90) -> None:
        """Start it and wait until every part is ready."""
        command = [sys.executable, "-m", "deployments.cli", "up", *self.arguments]
        with (self.home / "up.log").open("ab") as log:
            offset = log.tell()
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        wait_until(
            lambda: b"stop with Ctrl-C" in (self.home / "up.log").read_bytes()[offset:] or self.process.poll(),
            timeout_seconds,
            what="the stack to be ready",
        )
        if self.process.poll() is not None:
            raise AssertionError(f"up ended: {self.said()}")

    def stop(self, timeout_seconds: float = 90) -> int:
        """SIGTERM, and wait for the end. Returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_seconds)

    def said(self) -> str:
        """What `up` printed so far."""
        return (self.home / "up.log").read_text()

    def log(self, part: str) -> str:
        """What a part logged so far."""
        return (self.home / "logs" / f"{part}.log").read_text()

    def pid(self, part: str) -> int | None:
        """The process id of a part now, None while it is down."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            try:
                if any(COMMANDS[part] in word for word in child.cmdline()[:5]):
                    return child.pid
            except psutil.Error:
                continue
        return None

    def kill(self, part: str) -> int:
        """kill -9 a part. Returns the pid it had."""
        pid = wait_until(lambda: self.pid(part), 60, what=f"{part} to be up")
        os.kill(pid, signal.SIGKILL)
        return pid

    def add_channel(self, name: str, driver: str, config: Mapping[str, Any]) -> None:
        """Configure a destination."""
        with self.database.write() as session:
            channels.add_channel(session, name=name, driver=driver, config=config)

    def post(self, payload: Any, *, pipeline: str = "direct", source: str = "generic") -> dict[str, Any]:
        """Send a webhook that must be accepted. Returns the answer."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        response = self.web.post(f"/alerts/webhook/{source}/?pipeline={pipeline}", content=body)
        assert response.status_code == 202, response.text
        return response.json()

    def wait_for_run(self, accepted: Mapping[str, Any], timeout_seconds: float = 60) -> dict[str, Any]:
        """The run of an accepted delivery once it is over, as the API shows it."""

        def find() -> dict[str, Any] | None:
            for listed in self.web.get(accepted["status_url"]).json()["runs"]:
                run = self.web.get(listed["url"]).json()
                if run["completed_at"]:
                    return run
            return None

        return wait_until(find, timeout_seconds, what=f"the run of {accepted['delivery_id']}")

    def close(self) -> None:
        """Stop it if it runs, and let go of what this object holds."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        self.web.close()
        self.database.dispose()


@contextmanager
def live_stack(*arguments: str, **env: str) -> Iterator[LiveStack]:
    """A started stack in a fresh folder, stopped at the end."""
    with open_folder() as home:
        stack = LiveStack(home, env, *arguments)
        try:
            stack.start()
            yield stack
        finally:
            stack.close()


def wait_until(probe: Callable[[], T | None], timeout_seconds: float, *, what: str) -> T:
    """The first true answer of `probe`, asked every 50 ms."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if answer := probe():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_seconds} s in vain for {what}")


def free_port() -> int:
    """A port that nobody listens on now, and that neither another test process nor a client is given meanwhile."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST_PORT + worker * PORTS
    for port in random.sample(range(first, first + PORTS), PORTS):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port in {first} to {first + PORTS}")
