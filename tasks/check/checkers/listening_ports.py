"""Whether only those ports are open to others that should be."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from socket import SOCK_STREAM
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import psutil
from pydantic import BeforeValidator, Field

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import Checker, CheckerConfig, NotApplicableError, conclude, state
from tasks.check.readings.text import printable

MAX_PORT = 65535
# More than so many are told of in one sum: the cause is one, and the list would only hide it.
MAX_PORTS_TOLD = 50
MAX_NAME_CHARS = 60
# Addresses and processes of one port that are named.
MAX_PARTS = 5

_ENTRY = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?")


class Port(NamedTuple):
    """A port of one protocol."""

    number: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True)
class Listener:
    """Where a port is open, and which processes hold it; none where this user may not know."""

    addresses: Sequence[str]
    pids: Sequence[int]


def _entry(entry: Any) -> str:
    """An entry of the allowlist, which `allows` can read."""
    parts = _ENTRY.fullmatch(str(entry)) if isinstance(entry, (int, str)) else None
    if parts is None or not 1 <= int(parts[1]) <= int(parts[2] or parts[1]) <= MAX_PORT:
        raise ValueError(f"must be PORT or FROM-TO, each with or without /tcp or /udp, from 1 to {MAX_PORT}")
    return parts[0]


@dataclass(frozen=True)
class ListeningPorts(Checker):
    """The ports that other machines can reach, unless a firewall is in the way, and that are not allowed.

    One reading for each. Only this host's own sockets are seen: not those in the network namespaces of
    containers, nor what a firewall rule forwards to them.
    """

    kind: ClassVar[str] = "listening_ports"
    measures: ClassVar[str] = "ports open to other machines that are not on the allowlist"

    class Config(CheckerConfig):
        """`allowed`: 22, "22", "22/tcp", "6000-6010/udp"; without a protocol both. None: nothing was decided.

        `status` is what a port that is not allowed means. UDP is left out by default: there a server's socket
        looks like that of a client which waits for an answer.
        """

        allowed: list[Annotated[str, BeforeValidator(_entry)]] | None = Field(default=None, max_length=1000)
        include_udp: bool = False
        status: Literal["warning", "critical"] = "warning"

    config: Config

    def measure(self) -> CheckResult:
        """Look at every socket of this host once."""
        open_ports = exposed(_sockets(), include_udp=self.config.include_udp)
        if self.config.allowed is None:
            raise NotApplicableError(f"no allowlist is set (config key allowed); {_listed(open_ports)}")
        strange = {port: who for port, who in open_ports.items() if not allows(self.config.allowed, port)}
        told = dict(islice(strange.items(), MAX_PORTS_TOLD))
        names = {pid: _name(pid) for who in told.values() for pid in who.pids}
        metrics = {
            "exposed": [_metrics(port, who, names) for port, who in told.items()],
            "exposed_count": len(strange),
            "allowed_count": len(open_ports) - len(strange),
        }
        status = CheckStatus(self.config.status)
        readings = [state(status, _sentence(*each, names), target=str(each[0])) for each in told.items()]
        if more := len(strange) - len(told):
            readings.append(state(status, f"{more} more ports are open to others, not on the allowlist"))
        good = f"ports open to others: {len(open_ports)}, all on the allowlist"
        return conclude(self.kind, readings, metrics=metrics, good=good)


def exposed(sockets: Iterable[Any], *, include_udp: bool) -> dict[Port, Listener]:
    """The ports, in order, on which psutil's sockets can be reached from elsewhere.

    Every address but a loopback one counts, also those of container bridges and link-local ones.
    """
    found: dict[Port, list[Any]] = {}
    for one in sockets:
        if one.type == SOCK_STREAM:
            is_open, protocol = one.status == psutil.CONN_LISTEN, "tcp"
        else:
            is_open, protocol = include_udp and not one.raddr, "udp"
        if is_open and one.laddr and not _is_loopback(one.laddr.ip):
            found.setdefault(Port(one.laddr.port, protocol), []).append(one)
    return {port: _listener(found[port]) for port in sorted(found)}


def allows(allowed: Sequence[str], port: Port) -> bool:
    """Whether a port is on the allowlist."""
    for parts in filter(None, map(_ENTRY.fullmatch, allowed)):
        is_within = int(parts[1]) <= port.number <= int(parts[2] or parts[1])
        if is_within and parts[3] in (None, port.protocol):
            return True
    return False


def _sockets() -> Sequence[Any]:
    try:
        return psutil.net_connections(kind="inet")
    except psutil.AccessDenied:  # on macOS
        raise PermissionError("only root may see the ports of other users' processes here") from None


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def _listener(sockets: Sequence[Any]) -> Listener:
    addresses = dict.fromkeys(one.laddr.ip for one in sockets)
    pids = dict.fromkeys(one.pid for one in sockets if one.pid is not None)
    return Listener(sorted(addresses), sorted(pids))


def _name(pid: int) -> str:
    try:
        return printable(psutil.Process(pid).name(), MAX_NAME_CHARS)
    except psutil.Error:  # it has ended since
        return "?"


def _metrics(port: Port, listener: Listener, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "port": port.number,
        "protocol": port.protocol,
        "addresses": _some(listener.addresses),
        "processes": [{"pid": pid, "name": names[pid]} for pid in listener.pids[:MAX_PARTS]],
    }


def _sentence(port: Port, listener: Listener, names: Mapping[int, str]) -> str:
    addresses = " and ".join(_some(listener.addresses))
    holders = " and ".join(_some([f"{names[pid]}, pid {pid}" for pid in listener.pids]))
    who = holders or "its process cannot be seen"
    return f"port {port} is open to others on {addresses} ({who}), not on the allowlist"


def _some(parts: Sequence[str]) -> list[str]:
    more = len(parts) - MAX_PARTS
    return [*parts[:MAX_PARTS], *([f"{more} more"] if more > 0 else [])]


def _listed(ports: Iterable[Port]) -> str:
    return f"open to others now: {', '.join(map(str, islice(ports, MAX_PORTS_TOLD))) or 'nothing'}"
