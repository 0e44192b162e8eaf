"""`watchkeeper demo`: one real webhook on its whole way, in a folder of its own."""

import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from deployments.stack import Choice, Stack, plan
from deployments.supervisor import Supervisor
from storage import channels
from storage.database import Database, default_url
from storage.settings import Settings
from webhook_app.notification_fields import passed_over_line

WAIT_SECONDS = 90
POLL_SECONDS = 0.2
NOT_FOR_THE_DEMO = ("PREFECT_", "WATCHKEEPER_", "ORCHESTRATION_")


class DemoError(Exception):
    """The demo did not come to its end; the message says where to look."""


def run(say: Callable[[str], None], *, keep: bool) -> None:
    """Start the stack, send the webhook, print the trace. Raises DemoError, StackError, PartFailed."""
    _forget_installation()
    with _own_folder() as home, _sink(say) as sink_url:
        settings = Settings(home=home, port=_free_port(), prefect_port=_free_port(), environment="demo")
        say(f"working data: {home} (removed at the end)")
        os.environ["WATCHKEEPER_ENVIRONMENT"] = settings.environment
        stack = plan(settings, Choice(), os.environ)
        for note in stack.notes:
            say(note)
        supervisor = Supervisor(stack.parts, say=say)
        supervisor.install_signal_handlers()
        supervisor.start()
        try:
            _show(stack, sink_url, say)
            if keep:
                say("the stack stays up; stop with Ctrl-C")
                supervisor.watch()
        finally:
            supervisor.stop()
    say("stopped, nothing is left behind")


def _show(stack: Stack, sink_url: str, say: Callable[[str], None]) -> None:
    database = Database(default_url(stack.settings), pool_size=1)
    try:
        with database.write() as session:
            channels.add_channel(session, name="demo-sink", driver="generic", config={"endpoint": sink_url})
    finally:
        database.dispose()
    payload = Path(__file__).with_name("demo_webhook.json").read_bytes()
    web = stack.settings.web_url
    say(f"posting an Alertmanager webhook ({len(payload)} bytes) to {web}/alerts/webhook/alertmanager/")
    with httpx.Client(base_url=web, trust_env=False, timeout=10) as client:
        posted = client.post("/alerts/webhook/alertmanager/?pipeline=full", content=payload)
        posted.raise_for_status()
        accepted = posted.json()
        say(f"answered {posted.status_code}: {json.dumps(accepted)}")
        run_fields = _wait_for_run(client, accepted["status_url"])
    _print_trace(run_fields, accepted["trace_id"])
    # The UI asks for the password only at its front page.
    say(f"Prefect UI: log in at {stack.prefect_ui_url}/ with {stack.prefect_auth}")
    say(f"  then this flow run: {stack.prefect_ui_url}/runs/flow-run/{run_fields['flow_run_id']}")
    say(f"receiver, this run: {web}/orchestration/pipeline/{run_fields['run_id']}/")
    say(f"console: {stack.settings.console_url}")
    incident_url = f"{stack.settings.console_url}incidents/details/?id={run_fields['incident_id']}"
    say(f"  there, what happened and why: {incident_url}")


def _wait_for_run(client: httpx.Client, status_url: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        delivery = client.get(status_url).json()
        for listed in delivery["runs"]:
            run: dict[str, Any] = client.get(listed["url"]).json()
            if run["completed_at"]:
                return run
        time.sleep(POLL_SECONDS)
    raise DemoError(f"the run did not end within {WAIT_SECONDS} s; look at the log of the worker")


def _print_trace(run: Mapping[str, Any], trace_id: str) -> None:
    table = Table(title=f"pipeline {run['pipeline']}: {run['status']}", title_justify="left")
    for heading in ("stage", "node", "status", "attempt", "duration"):
        table.add_column(heading, justify="right" if heading in ("attempt", "duration") else "left")
    for stage in run["stages"]:
        duration = f"{stage['duration_ms']:.0f} ms"
        table.add_row(stage["stage"], stage["node_id"], stage["status"], str(stage["attempt"]), duration)
    console = Console()
    console.print(table)
    for line in (
        f"trace {trace_id}, run {run['run_id']}, in all {run['total_duration_ms']:.0f} ms",
        f"incident {run['incident_id']}",
        *(
            f"notification: {message['channel']} ({message['driver']}) {message['status']}: {message['title']}"
            for message in run["notifications"]
        ),
        *map(passed_over_line, run["passed_over"]),
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder that the embedded server's user may enter."""
    home = Path(tempfile.mkdtemp(prefix="watchkeeper-demo-"))
    if os.geteuid() == 0:
        home.chmod(0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _sink(say: Callable[[str], None]) -> Iterator[str]:
    """A local HTTP server that stands for the people who are told."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()
            message = json.loads(body)
            say(f"the sink received: {message.get('title')}\n{message.get('message')}")

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, name="sink", daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    say(f"notifications go to a local sink at {url}")
    try:
        yield url
    finally:
        server.shutdown()


def _forget_installation() -> None:
    for name in [name for name in os.environ if name.startswith(NOT_FOR_THE_DEMO)]:
        del os.environ[name]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
