"""A cheap load generator: a process of its own, one thread, raw keep-alive sockets, requests made beforehand.

Run as a program it reads a job as JSON from standard input and prints what came of it as JSON. It must cost
little beside what it measures: it tells what share of a core it took.
"""

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

HEAD_END = b"\r\n\r\n"
READ_BYTES = 65_536
STUCK_SECONDS = 30


@dataclass(frozen=True)
class Load:
    """What came of a job. Times are of the system's monotonic clock, latencies in milliseconds."""

    began_at: float
    ended_at: float
    core_share: float
    latencies_ms: list[float]
    statuses: dict[str, int]

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies_ms) / (self.ended_at - self.began_at)


def run_load(
    *, port: int, path: str, bodies: Sequence[bytes], connections: int, seconds: float | None = None
) -> Load:
    """Post the bodies once each, or over and over for so many seconds."""
    job = {"port": port, "path": path, "connections": connections, "seconds": seconds}
    job["bodies"] = [body.decode() for body in bodies]
    command = [sys.executable, str(Path(__file__))]
    done = subprocess.run(command, input=json.dumps(job).encode(), stdout=subprocess.PIPE, check=True)
    return Load(**json.loads(done.stdout))


class Connection:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._sent_at = 0.0

    def send(self, request: bytes) -> None:
        self._received = b""
        self._sent_at = time.monotonic()
        self.socket.sendall(request)

    def receive(self) -> tuple[str, float] | None:
        """The status and the latency once the answer is whole. Raises ConnectionError when it never will be."""
        part = self.socket.recv(READ_BYTES)
        if not part:
            raise ConnectionError("the server closed a kept-alive connection")
        self._received += part
        head, end, body = self._received.partition(HEAD_END)
        if not end or len(body) < _content_length(head):
            return None
        return head[9:12].decode(), (time.monotonic() - self._sent_at) * 1000


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(b"content-length:") + len(b"content-length:")
    return int(lowered[start:].split(b"\r\n", 1)[0])


def drive(*, port: int, path: str, bodies: Iterable[str], connections: int, seconds: float | None) -> Load:
    """Keep every connection busy until the bodies or the seconds run out."""
    requests = [request_bytes(port, path, body.encode()) for body in bodies]
    deadline = time.monotonic() + seconds if seconds else float("inf")
    waiting: Iterator[bytes] = repeat(requests[0]) if seconds else iter(requests)
    latencies: list[float] = []
    statuses: dict[str, int] = {}
    with selectors.DefaultSelector() as selector:
        began_at, began_cpu = time.monotonic(), time.process_time()
        for _ in range(connections):
            connection = Connection(port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            _send_next(connection, waiting, selector, deadline)
        while selector.get_map():
            ready = selector.select(STUCK_SECONDS)
            if not ready:
                raise TimeoutError(f"no answer for {STUCK_SECONDS} s")
            for key, _ in ready:
                if answer := key.data.receive():
                    statuses[answer[0]] = statuses.get(answer[0], 0) + 1
                    latencies.append(answer[1])
                    _send_next(key.data, waiting, selector, deadline)
        ended_at = time.monotonic()
    share = (time.process_time() - began_cpu) / (ended_at - began_at)
    return Load(began_at, ended_at, share, latencies, statuses)


def _send_next(
    connection: Connection, waiting: Iterator[bytes], selector: selectors.BaseSelector, deadline: float
) -> None:
    request = next(waiting, None) if time.monotonic() < deadline else None
    if request is None:
        selector.unregister(connection.socket)
        connection.socket.close()
    else:
        connection.send(request)


def request_bytes(port: int, path: str, body: bytes) -> bytes:
    """A post as it goes over the wire."""
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: Alertmanager/0.28.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + HEAD_END + body


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    json.dump(asdict(drive(**job)), sys.stdout)


if __name__ == "__main__":
    main()
