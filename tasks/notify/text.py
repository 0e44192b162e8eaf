"""Texts that are fit to be told: clean, bounded, and in the words of people. Pure."""

import re
from datetime import UTC, datetime, timedelta

MAX_DESCRIPTION_CHARS = 1_000
MAX_LINE_CHARS = 300

# Line and paragraph separators, and the marks that reverse text so that it reads as something else.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shorten(text: str, max_chars: int) -> str:
    """The text, or its beginning and how much was left out."""
    if len(text) <= max_chars:
        return text
    kept = max(max_chars - len(f"… [+{len(text):,} characters]"), 0)
    return f"{text[:kept]}… [+{len(text) - kept:,} characters]"


def one_line(text: str) -> str:
    """Text fit for a heading or a header: no line breaks, no control characters, single spaces."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def plain_text(text: str) -> str:
    """Text fit for a body: line feeds and tabs are all that is left of the control characters."""
    return _UNPRINTABLE.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def bounded_line(text: str) -> str:
    """One clean line of at most MAX_LINE_CHARS."""
    return shorten(one_line(text), MAX_LINE_CHARS)


def humanize_duration(duration: timedelta) -> str:
    """The two largest units of a duration: "45 s", "12 min", "1 h 22 min", "3 d 4 h"."""
    seconds = max(int(duration.total_seconds()), 0)
    if seconds < 60:  # noqa: PLR2004  seconds in a minute
        return f"{seconds} s"
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    units = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (minutes, "min"))
    return " ".join(f"{count} {unit}" for count, unit in units if count)


def humanize_moment(moment: datetime) -> str:
    """A time as people read it: "2026-03-01 02:13 UTC"."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
