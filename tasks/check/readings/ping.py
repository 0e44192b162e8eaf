"""How a host is reached: by ICMP where this process may, else with the `ping` program, else by TCP."""

import errno
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from tasks.check.readings import icmp, programs

MAX_REASON_CHARS = 120

_REPLY = re.compile(r"^\d+ bytes from .*\btime[=<](\d+(?:\.\d+)?) ?ms", re.MULTILINE)
_NOT_SENT = re.compile(r"\b(?:connect|sendto|sendmsg|sending packet): (.+)")
_SENT_BACK = re.compile(r"\b(Destination \w+ \w+|Packet filtered|Time to live exceeded)")


class Address(NamedTuple):
    """Where a host is, in the form that its family's sockets take."""

    family: socket.AddressFamily
    socket_address: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What came of asking a host. `reason` says why nothing came back; `latency_ms` is the replies' mean."""

    method: str | None = None
    sent: int = 0
    received: int = 0
    latency_ms: float | None = None
    reason: str | None = None

    @property
    def is_reachable(self) -> bool:
        """Whether anything came back."""
        return self.received > 0


class NotAvailableError(Exception):
    """This process cannot ask in this way at all, which says nothing of the host."""


def ask(host: str, *, count: int, timeout_seconds: float, tcp_port: int) -> Answer:
    """Ask a host `count` times, one after the other, by the first method that this process may use.

    Silence is an answer: only a method that cannot be used makes room for the next. Raises NotAvailableError
    if none can be, as when the process is out of sockets. Looking up a name has no limit here.
    """
    try:
        # As bytes, since a name is ASCII here, and the codec for others would be loaded for nothing.
        found = socket.getaddrinfo(host.encode(), tcp_port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        return Answer(reason=f"name cannot be resolved: {error.strerror}")
    address = Address(found[0], found[4])
    refused = NotAvailableError()
    for method, echo in _METHODS.items():
        try:
            return _asked(method, echo, address, count, timeout_seconds)
        except NotAvailableError as error:
            refused = error
    if isinstance(refused.__cause__, OSError) and refused.__cause__.errno == errno.EAFNOSUPPORT:
        return Answer(method, reason=str(refused))  # without IPv6 no address of its kind can be reached
    raise refused


def echo_by_icmp(address: Address, timeout_seconds: float) -> float:
    """Milliseconds until an ICMP echo came back. Raises OSError where none did."""
    with _open_icmp(address.family) as connection:
        connection.connect((address.socket_address[0], 0, *address.socket_address[2:]))
        request = icmp.echo_request(
            address.family, identifier=secrets.randbits(16), token=secrets.token_bytes(icmp.TOKEN_BYTES)
        )
        started = time.monotonic()
        connection.send(request)
        while (left_seconds := started + timeout_seconds - time.monotonic()) > 0:
            connection.settimeout(left_seconds)
            if icmp.is_reply(connection.recv(icmp.MAX_PACKET_BYTES), request, address.family, connection.type):
                return _ms_since(started)
    raise TimeoutError


def echo_by_program(address: Address, timeout_seconds: float) -> float:
    """Milliseconds until an echo came back, as the system's `ping` says."""
    # The limit is ours: the options for one differ from system to system, in name and in unit.
    name = "ping6" if address.family == socket.AF_INET6 and programs.find("ping6") else "ping"
    numeric = socket.getnameinfo(address.socket_address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    try:
        ended = programs.run(name, "-n", "-c", "1", numeric, timeout_seconds=timeout_seconds)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    except OSError as error:
        raise NotAvailableError(error.strerror) from error
    return read_program(f"{ended.output}\n{ended.errors}")


def echo_by_tcp(address: Address, timeout_seconds: float) -> float:
    """Milliseconds until the host accepted or refused a connection."""
    with _open(address.family, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        started = time.monotonic()
        with suppress(ConnectionRefusedError):  # only a host that is there can refuse
            connection.connect(address.socket_address)
        return _ms_since(started)


def read_program(output: str) -> float:
    """The milliseconds that `ping -c 1` tells of, be it of Linux, BusyBox, GNU or BSD.

    Raises OSError with the reason where no echo came back, and NotAvailableError where none was sent.
    """
    if reply := _REPLY.search(output):
        return float(reply[1])
    if reason := _NOT_SENT.search(output) or _SENT_BACK.search(output):
        raise OSError(reason[1].strip())
    if "packets transmitted" in output:
        raise TimeoutError
    raise NotAvailableError(output.strip().rpartition("\n")[2][:MAX_REASON_CHARS])


def _asked(
    method: str, echo: Callable[[Address, float], float], address: Address, count: int, timeout_seconds: float
) -> Answer:
    latencies_ms: list[float] = []
    reason = None
    for _ in range(count):
        try:
            latencies_ms.append(echo(address, timeout_seconds))
        except TimeoutError:
            reason = f"no reply within {timeout_seconds:g} s"
        except ConnectionRefusedError:  # how ICMP's "port unreachable" arrives, a firewall's usual answer
            reason = "turned away by a firewall or a router"
        except OSError as error:
            reason = (error.strerror or str(error))[:MAX_REASON_CHARS]
    if not latencies_ms:
        return Answer(method, sent=count, reason=reason)
    return Answer(method, sent=count, received=len(latencies_ms), latency_ms=round(fmean(latencies_ms), 2))


def _open_icmp(family: socket.AddressFamily) -> socket.socket:
    """The unprivileged kind where the system has it (Linux: net.ipv4.ping_group_range), else the raw one."""
    try:
        return _open(family, socket.SOCK_DGRAM, icmp.PROTOCOL[family])
    except NotAvailableError:
        return _open(family, socket.SOCK_RAW, icmp.PROTOCOL[family])


def _open(family: socket.AddressFamily, kind: int, protocol: int = 0) -> socket.socket:
    try:
        return socket.socket(family, kind, protocol)
    except OSError as error:
        raise NotAvailableError(error.strerror) from error


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000


_METHODS: dict[str, Callable[[Address, float], float]] = {
    "icmp": echo_by_icmp,
    "ping": echo_by_program,
    "tcp": echo_by_tcp,
}
