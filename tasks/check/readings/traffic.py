"""What goes over this host's network interfaces, between two looks."""

import time
from collections.abc import Callable
from typing import Any

import psutil

MAX_INTERFACES = 10


def watch_interfaces() -> Callable[[], list[dict[str, Any]]]:
    """Look at the counters. To be called some time later: what came and went since, the busiest interface first.

    Only interfaces that are up, and not loopback. `error_count` and `drop_count` are of all time.
    """
    before, started_at = _counters(), time.monotonic()

    def busiest() -> list[dict[str, Any]]:
        after, seconds = _counters(), time.monotonic() - started_at
        outward = _outward()
        common = [name for name in after if name in before and name in outward]
        readings = [_reading(name, before[name], after[name], seconds) for name in common]
        return sorted(readings, key=_traffic, reverse=True)[:MAX_INTERFACES]

    return busiest


def _counters() -> dict[str, Any]:
    # psutil's own correction of wrapped counters would remember them for the whole process.
    return dict(psutil.net_io_counters(pernic=True, nowrap=False))


def _outward() -> set[str]:
    stats = psutil.net_if_stats().items()
    return {name for name, state in stats if state.isup and "loopback" not in state.flags.split(",")}


def _reading(name: str, before: Any, after: Any, seconds: float) -> dict[str, Any]:
    return {
        "name": name,
        "received_bytes_per_second": _rate(after.bytes_recv - before.bytes_recv, seconds),
        "sent_bytes_per_second": _rate(after.bytes_sent - before.bytes_sent, seconds),
        "error_count": after.errin + after.errout,
        "drop_count": after.dropin + after.dropout,
    }


def _rate(bytes_moved: int, seconds: float) -> int:
    # Less than before: the counter wrapped, or the interface was made anew.
    return max(0, round(bytes_moved / max(seconds, 0.001)))


def _traffic(reading: dict[str, Any]) -> int:
    return int(reading["received_bytes_per_second"] + reading["sent_bytes_per_second"])
