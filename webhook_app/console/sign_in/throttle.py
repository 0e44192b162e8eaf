"""How often somebody may try a password: counted in this process, within moving windows.

By name and address together, so that nobody keeps another person out by failing in their name; by name alone only
loosely, against guesses from many addresses; and by address, against guesses at many names. What is refused is not
counted, so a window ends however often somebody tries on.
"""

import math
import time
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from storage import users

OF_BOTH = (RateLimitItemPerMinute(5, namespace="both"), RateLimitItemPerHour(20, namespace="both"))
OF_NAME = RateLimitItemPerHour(200, namespace="name")
OF_ADDRESS = RateLimitItemPerMinute(30, namespace="address")
OF_NOTES = RateLimitItemPerMinute(1, namespace="note")
# Beyond so many keys those whose window is over are let go.
KEYS_KEPT = 10_000
# Whoever has one IPv6 address has all of its network.
IPV6_NETWORK_BITS = 64

Counted = tuple[RateLimitItem, str]


class Throttle:
    """One per app."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)

    def take(self, name: str, address: str) -> int:
        """Count one try. Returns 0, or in how many seconds the next one is allowed where this one is not."""
        self._tidy()
        wanted = _counted(name, address)
        if all(self._limiter.test(*each) for each in wanted) and all(self._limiter.hit(*each) for each in wanted):
            return 0
        return max(1, *(self._wait_seconds(each) for each in wanted))

    def forget(self, name: str, address: str) -> None:
        """It was the right password: what was counted by that name is nothing any more."""
        for item, key in _counted(name, address):
            if item is not OF_ADDRESS:
                self._limiter.clear(item, key)

    def may_note(self, address: str) -> bool:
        """Whether a refusal is worth an entry: one a minute for each address, lest strangers fill the disk."""
        return self._limiter.hit(OF_NOTES, _network(address))

    def _wait_seconds(self, counted: Counted) -> int:
        stats = self._limiter.get_window_stats(*counted)
        return 0 if stats.remaining > 0 else math.ceil(stats.reset_time - time.time())

    def _tidy(self) -> None:
        if len(self._storage.events) > KEYS_KEPT:
            for key in [key for key, entries in list(self._storage.events.items()) if not entries]:
                self._storage.clear(key)


def _counted(name: str, address: str) -> list[Counted]:
    who = sha256(users.folded(name).encode("utf-8", "replace")).hexdigest()
    where = _network(address)
    return [*((item, f"{who} {where}") for item in OF_BOTH), (OF_NAME, who), (OF_ADDRESS, where)]


def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((found, IPV6_NETWORK_BITS), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)
