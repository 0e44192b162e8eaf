"""The process in which apprise sends one message: `python -m tasks.notify.apprise_child`.

It reads an order and answers with an outcome, both JSON. A process of its own can be ended, and an exchange
of apprise's cannot: its services bound each step, not the whole. Nor does anything that they log get out of here,
or any connection that the guard would not let through the outbound door.
"""

import json
import logging
import re
import signal
import socket
import sys
from collections.abc import Collection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from tasks.addresses import Reach, refusal
from tasks.notify.apprise_service import fitted, load


class _Guard:
    """Refuses connections to addresses beyond reach, save to the operator's own proxies."""

    def __init__(self, reach: Reach, proxies: Collection[str]) -> None:
        self.refused = ""
        self._reach = reach
        self._proxies = proxies

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of what the interpreter is about to do: https://docs.python.org/3/library/audit_events.html."""
        if event not in {"socket.connect", "socket.sendto"} or not isinstance(arguments[1], tuple):
            return
        for address in _addresses_of(arguments[1][0]):
            if address in self._proxies:
                continue
            if refused := refusal(ip_address(address.partition("%")[0]), self._reach):
                self.refused = refused
                raise PermissionError(refused)


class _StatusCodes(logging.Handler):
    """Keeps the last HTTP status that a service said it failed with: most of them log `error=404`."""

    code: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Look for one."""
        if found := re.search(r"\berror=(\d{3})\b", record.getMessage()):
            self.code = int(found[1])


def main() -> None:
    """Send the message that is ordered, and say how it went."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a service prints is no answer of ours
    json.dump(_carry_out(json.load(sys.stdin)), answers)


def _carry_out(order: dict[str, Any]) -> dict[str, Any]:
    import apprise  # noqa: PLC0415  (the name of this project's driver file, too: only ever imported late)

    service = load(order["url"])
    service.socket_connect_timeout = service.socket_read_timeout = order["seconds"]
    title, text = fitted(service, order["title"], order["text"])
    codes, guard = _StatusCodes(), _Guard(Reach(order["reach"]), _proxy_addresses())
    logging.getLogger("apprise").addHandler(codes)
    sys.addaudithook(guard)
    signal.setitimer(signal.ITIMER_REAL, order["seconds"])  # SIGALRM ends this process
    sender = apprise.Apprise()
    sender.add(service)
    is_sent = sender.notify(
        body=text, title=title, notify_type=order["type"], body_format=apprise.NotifyFormat.TEXT
    )
    signal.setitimer(signal.ITIMER_REAL, 0)
    return {"is_sent": bool(is_sent), "code": codes.code, "refused": guard.refused}


def _proxy_addresses() -> set[str]:
    hosts = filter(None, (urlsplit(url).hostname for url in getproxies().values()))
    return {address for host in hosts for address in _addresses_of(host)}


def _addresses_of(host: str) -> list[str]:
    """The host's addresses; none of a name that cannot be looked up, and so not be connected to either."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
    except OSError:
        return []


if __name__ == "__main__":
    main()
