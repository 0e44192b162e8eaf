"""Connections whose every operation ends at one deadline, for httpcore and whatever is built on it.

Timeouts of httpx and httpcore bound one read each, so a server that sends a byte now and then would hold a thread
for ever; and a look-up of a name they do not bound at all.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from typing import Any

import httpcore

from tasks.check.calls import Call, HungError, NoThreadError

MAX_LOOK_UP_SECONDS = 60.0


class _Deadline(threading.local):
    """When the exchange of this thread must end, by the monotonic clock; None outside of one."""

    at: float | None = None


_current = _Deadline()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """What this thread does over DeadlineBackend in the block ends that long from now, with a timeout."""
    _current.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _current.at = None


def is_running() -> bool:
    """Whether this thread is within a deadline's block."""
    return _current.at is not None


def _within_deadline(timeout: float | None) -> float | None:
    if _current.at is None:
        return timeout
    left = _current.at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    """A connection whose every operation also ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _within_deadline(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _within_deadline(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _within_deadline(timeout))
        return _Stream(secured)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class DeadlineBackend(httpcore.SyncBackend):
    """Opens connections that keep the deadline."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection that keeps it too, to the first of the host's addresses that takes it."""
        *others, last = self._addresses_of(host, port, timeout)
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._connect(address, port, timeout, local_address, socket_options)
        return self._connect(last, port, timeout, local_address, socket_options)

    def _addresses_of(self, host: str, port: int, timeout: float | None) -> list[str]:
        """What may be connected to, at least one."""
        return look_up(host, port, timeout)

    def _connect(self, address: str, port: int, timeout: float | None, *options: Any) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(address, port, _within_deadline(timeout), *options))


def look_up(host: str, port: int, timeout: float | None) -> list[str]:
    """The addresses of a host, at least one, in the order in which the system would try them.

    Raises httpcore.ConnectError and TimeoutException. A look-up cannot be stopped: a hanging one is left behind.
    """
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    seconds = _within_deadline(MAX_LOOK_UP_SECONDS if timeout is None else timeout) or 0.0
    call = Call(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM), name="look-up")
    try:
        found = call.result(until=time.monotonic() + seconds)
    except HungError:
        raise httpcore.ConnectTimeout from None
    except (OSError, NoThreadError) as error:
        raise httpcore.ConnectError(error) from error
    return [_spell(sockaddr) for *_, sockaddr in found]


def _spell(sockaddr: tuple[Any, ...]) -> str:
    """The address as text; without its link a link-local one of IPv6 could not be connected to."""
    address, _, *more = sockaddr
    return f"{address}%{more[1]}" if more and more[1] else str(address)
