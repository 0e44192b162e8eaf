"""Times as senders write them, read as aware UTC."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Any

# RFC 3339 allows nine fraction digits (Go prints them); datetime.fromisoformat reads six.
_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")
_MILLISECONDS_FROM = 1e11
_NANOSECONDS_FROM = 1e17


def read_time(value: Any) -> datetime | None:
    """RFC 3339 text, or a number of seconds, milliseconds or nanoseconds since 1970.

    Aware UTC, or naive where the text names no offset: the time is then in the sender's own zone. None for
    what is unset or unreadable: absent, empty, or Go's zero time in year 1.
    """
    moment = _from_text(value) if isinstance(value, str) else _from_number(value)
    return moment if moment and moment.year > 1 else None


def in_utc(moment: datetime, zone: tzinfo) -> datetime:
    """A time of `read_time` as aware UTC, taking a naive one to be in this zone."""
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:  # within hours of year 9999
        return moment.replace(tzinfo=UTC)


def _from_text(text: str) -> datetime | None:
    text = text.strip()
    try:
        return _from_number(float(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(_LONG_FRACTION.sub(r"\1", text))
        return moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _from_number(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        seconds = (
            value / 1e9 if value >= _NANOSECONDS_FROM else value / 1e3 if value >= _MILLISECONDS_FROM else value
        )
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
