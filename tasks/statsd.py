"""Counters and timings for statsd over UDP, with tags as DogStatsD writes them: `name:1|c|#key:value,…`.

Format: https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/. Whoever sends never waits: a thread looks
the host up and sends. What finds no place in its queue, or no host, is lost.
"""

import atexit
import logging
import queue
import re
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

log = logging.getLogger("watchkeeper.statsd")

QUEUE_LINES = 1000
LOOK_UP_SECONDS = 60.0
GOODBYE_SECONDS = 1.0
# A datagram of all tags stays under 1432 bytes, so that no network on the way cuts it into pieces.
TAG_MAX_CHARS = 64
_SPECIAL = re.compile(r"[|#,\s]")


class Address(NamedTuple):
    """Where statsd listens."""

    host: str
    port: int


class Statsd:
    """A sender for this process; safe to use from any thread."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Address, str] | None] = queue.Queue(QUEUE_LINES)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def send(self, address: Address, line: str) -> None:
        """Send a line soon. Raises queue.Full when too many wait."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="statsd", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        self._queue.put_nowait((address, line))

    def close(self) -> None:
        """Send what waits, but do not wait for it for long."""
        if self._thread and self._thread.is_alive():
            # Full still: its thread hangs in a look-up, and what waits is lost.
            with suppress(queue.Full):
                self._queue.put(None, timeout=GOODBYE_SECONDS)
                self._thread.join(GOODBYE_SECONDS)
        atexit.unregister(self.close)

    def _run(self) -> None:
        sockets: dict[Address, tuple[socket.socket | None, float]] = {}
        while (order := self._queue.get()) is not None:
            address, line = order
            connected, until = sockets.get(address, (None, 0.0))
            if time.monotonic() >= until:
                if connected:
                    connected.close()
                connected = _connect(address)
                sockets[address] = connected, time.monotonic() + LOOK_UP_SECONDS
            if connected:
                _send(connected, line)
        for connected, _ in sockets.values():
            if connected:
                connected.close()


def lines(prefix: str, name: str, tags: Mapping[str, Any]) -> list[str]:
    """A counter `name`, and where there is a `duration_ms` a timing `name.duration`, both with the other tags."""
    full = f"{prefix}.{name}" if prefix else name
    shown = ",".join(f"{key}:{_plain(value)}" for key, value in tags.items() if key != "duration_ms")
    timing = [f"{full}.duration:{tags['duration_ms']}|ms|#{shown}"] if "duration_ms" in tags else []
    return [f"{full}:1|c|#{shown}", *timing]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _SPECIAL.sub("_", text)[:TAG_MAX_CHARS]


def _connect(address: Address) -> socket.socket | None:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        connected = socket.socket(family, kind, protocol)
        connected.connect(where)
    except (OSError, UnicodeError) as error:
        log.warning("statsd cannot be reached", extra={"host": address.host, "error": type(error).__name__})
        return None
    return connected


def _send(connected: socket.socket, line: str) -> None:
    try:
        connected.send(line.encode(errors="replace"))
    except OSError:
        return  # nobody listens there now, or a buffer is full
