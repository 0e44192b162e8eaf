"""Durations as people write them: 90s, 5m, 4h, 1d, 2w."""

import re

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def read_seconds(text: str) -> float:
    """The seconds. Raises ValueError that says what a duration looks like."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no duration such as 90s, 5m, 4h or 1d")
    return float(found[1]) * _SECONDS[found[2]]


def said(seconds: float) -> str:
    """The shortest text that means it: 300 is 5m."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"
