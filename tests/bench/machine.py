"""What several benchmarks share, started when first asked for: the default stack, a sink, and a stock server."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import httpx
import processes
from databases import open_folder
from report import progress
from sinks import HttpSink
from stack import LiveStack, free_port, live_stack, wait_until


@dataclass(frozen=True)
class StockServer:
    """A Prefect server as it comes: SQLite, default settings. `folder` holds nothing that Prefect would read."""

    folder: Path
    env: dict[str, str]


class Machine:
    """Everything it started is stopped at the end of its `with` block."""

    def __init__(self) -> None:
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._started.close()

    @cached_property
    def sink(self) -> HttpSink:
        """Where the default stack's notifications go."""
        return self._started.enter_context(HttpSink())

    @cached_property
    def stack(self) -> LiveStack:
        """`watchkeeper up` with nothing set, telling the sink."""
        progress("starting the default stack")
        stack = self._started.enter_context(live_stack())
        stack.add_channel("sink", "generic", {"endpoint": self.sink.url})
        return stack

    @cached_property
    def stock(self) -> StockServer:
        """`prefect server start`, writing our flows' results to the default stack's database."""
        progress("starting a stock Prefect server")
        return self._started.enter_context(stock_server(self.stack))


@contextmanager
def stock_server(stack: LiveStack) -> Iterator[StockServer]:
    """A stock server in an empty folder. Only what the sandbox needs is set: its port, and no analytics."""
    with open_folder() as folder:
        port = free_port()
        env = {key: value for key, value in stack.env.items() if not key.startswith(("WATCHKEEPER_", "PREFECT_"))}
        env |= {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "WATCHKEEPER_HOME": str(stack.home),
            "WATCHKEEPER_DATABASE_URL": stack.database.engine.url.render_as_string(hide_password=False),
        }
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
        with processes.running(command, env=env, cwd=folder, log_path=folder / "server.log"):
            wait_until(lambda: _is_healthy(env["PREFECT_API_URL"]), 60, what="the stock server")
            yield StockServer(folder, env)


def _is_healthy(api_url: str) -> bool:
    try:
        return httpx.get(f"{api_url}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
