"""Times as senders write them, read as aware UTC."""

import re
from datetime import UTC, datetime
from typing import Any

# RFC 3339 allows nine fraction digits (Go prints them); datetime.fromisoformat reads six.
_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")
_MILLISECONDS_FROM = 1e11
_NANOSECONDS_FROM = 1e17


def read_time(value: Any) -> datetime | None:
    """RFC 3339 text, or a number of seconds, milliseconds or nanoseconds since 1970.

    None for what is unset or unreadable: absent, empty, or Go's zero time in year 1.
    """
    moment = _from_text(value) if isinstance(value, str) else _from_number(value)
    return moment if moment and moment.year > 1 else None


def _from_text(text: str) -> datetime | None:
    text = text.strip()
    try:
        return _from_number(float(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(_LONG_FRACTION.sub(r"\1", text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _from_number(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    seconds = value / 1e9 if value >= _NANOSECONDS_FROM else value / 1e3 if value >= _MILLISECONDS_FROM else value
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
