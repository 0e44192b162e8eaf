"""The receiver's process: the Flask app on waitress.

Waitress reads requests before a thread sees them, so a slow client holds a file descriptor and nothing more.
"""

import json
import resource
import signal
import socket
import sys
from http import HTTPStatus
from typing import Any

import waitress
from waitress.channel import HTTPChannel
from waitress.server import MultiSocketServer
from waitress.task import ErrorTask

from deployments import logs
from storage import settings
from tasks.ingest.sources import SOURCES
from webhook_app import exposure, keyring
from webhook_app.app import create_app
from webhook_app.refusals import RefusalLog

# More than webhook_app/places.py gives away, so that webhooks find one.
THREADS = 24
# A client that sends nothing for so long is cut off.
IDLE_SECONDS = 20
MAX_CONNECTIONS = 2000
SPARE_DESCRIPTORS = 100


class JsonErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """What waitress itself refuses (a body over the limit, a malformed request) in our form of an error."""

    refusals = RefusalLog()

    def execute(self) -> None:
        """See ErrorTask.execute."""
        error = self.request.error
        text = f"{error.reason}: {error.body}"
        if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            text = f"the body is larger than {self.channel.adj.max_request_body_size - 1} bytes"
        self.refusals.note(error.code, self._source(), text)
        body = json.dumps({"status": "error", "error": text}).encode() + b"\n"
        self.status = f"{error.code} {error.reason}"
        self.response_headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        self.response_headers.append(("Connection", "close"))
        self.close_on_finish = True
        self.content_length = len(body)
        self.write(body)

    def _source(self) -> str:
        words = getattr(self.request, "path", "").split("/")
        return next((source for source in SOURCES if source in words), "none")


class JsonErrorChannel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection whose refusals are JSON."""

    error_task_class = JsonErrorTask


def main() -> None:
    """Serve until SIGTERM or SIGINT; the requests that are being answered are answered."""
    try:
        current = settings.load()
        logs.set_up(current)
        refusal = exposure.why_not_bound(current.host, keyring.load(current))
    except settings.SettingsError as error:
        refusal = str(error)
    if refusal:
        sys.exit(f"watchkeeper: {refusal}")
    app = create_app(current)
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    server: Any = waitress.create_server(
        app,
        sockets=_sockets(current.host, current.port),
        threads=THREADS,
        connection_limit=min(MAX_CONNECTIONS, max(descriptors - SPARE_DESCRIPTORS, 50)),
        channel_timeout=IDLE_SECONDS,
        cleanup_interval=5,
        max_request_body_size=current.max_body_bytes + 1,  # waitress refuses what has reached its limit
        clear_untrusted_proxy_headers=False,  # they tell that a request does not come from this machine
        asyncore_use_poll=True,
        backlog=1024,
        ident="watchkeeper",
    )
    # A name such as localhost may stand for several addresses, each with a listener of its own.
    for listener in server.map.values() if isinstance(server, MultiSocketServer) else [server]:
        listener.channel_class = JsonErrorChannel

    def stop(_signal: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.run()
    app.extensions["watchkeeper"].acceptor.close()


def _sockets(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host, on a port that several receivers of this machine share."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [_socket(family, address) for family, _, _, _, address in addresses]


def _socket(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(address)
    return listener


if __name__ == "__main__":
    main()
