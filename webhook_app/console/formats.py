"""How a value is shown: times, words, numbers, JSON. Everything passes through the one redaction."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from markupsafe import Markup, escape

from storage.redaction import redact, redact_text
from storage.tables.base import utc_now

NOTHING = Markup('<span class="nothing">&ndash;</span>')
CELL_MAX_CHARS = 160
# A body may have megabytes; nobody reads them on a page.
BLOCK_MAX_CHARS = 200_000
# A longer text of a row's page does not share its line with another.
SHORT_LINE_CHARS = 60
WORD_MAX_CHARS = 14
# What each word of the tables means to somebody who looks: good, bad, of concern, going on, or none of these.
TONES = {
    "bad": {"critical", "FAILED", "dead", "failed", "firing", "quarantined", "refused", "failing"},
    "concern": {"warning", "unknown", "RETRYING", "open", "acknowledged", "stale"},
    "good": {"ok", "SUCCEEDED", "NOTIFIED", "sent", "resolved", "done", "closed", "well"},
    "going": {"PENDING", "RUNNING", "INGESTED", "CHECKED", "ANALYZED", "pending", "sending", "waiting", "claimed"},
}


def tone(word: str) -> str:
    """The tone of a word: bad, concern, good, going, or plain."""
    return next((name for name, words in TONES.items() if str(word) in words), "plain")


def badge(word: str) -> Markup:
    """A word of the tables."""
    return Markup('<span class="badge badge-{}">{}</span>').format(tone(word), word)


def moment(at: datetime | None) -> Markup:
    """A time as how long ago it was; the time itself, in UTC, for whoever points at it."""
    if at is None:
        return NOTHING
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC", ago(at)
    )


def clock(at: datetime) -> Markup:
    """A time as it is, in UTC; how long ago it was, for whoever points at it."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), ago(at), f"{at:%Y-%m-%d %H:%M:%S}"
    )


def ago(at: datetime) -> str:
    """How long ago, in one unit: 40 s ago, 3 min ago, 2 h ago, 5 d ago; or in how long it will be."""
    seconds = (utc_now() - at).total_seconds()
    text = duration(abs(seconds) * 1000)
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def duration(milliseconds: float | None) -> str:
    """A duration in one unit."""
    if milliseconds is None:
        return ""
    seconds = milliseconds / 1000
    for bound, unit_seconds, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < bound:
            amount = seconds / unit_seconds
            if unit == "s" and amount < 1:
                return f"{milliseconds:.0f} ms"
            return f"{amount:.1f} s" if unit == "s" and amount < 10 else f"{amount:.0f} {unit}"  # noqa: PLR2004
    return f"{seconds / 86_400:.0f} d"


def count_text(count: int, most: int) -> str:
    """How many there are, as far as they were counted: one more than `most`."""
    return f"more than {most:,}" if count > most else f"{count:,}"


def json_text(value: Any) -> str:
    """A JSON value as text, without its secrets."""
    return json.dumps(redact(value), indent=2, ensure_ascii=False, default=str)


def shortened(text: str, max_chars: int = CELL_MAX_CHARS) -> str:
    """A text without its secrets, visibly cut."""
    safe = redact_text(text)
    return safe if len(safe) <= max_chars else f"{safe[: max_chars - 1]}…"


def _text(value: str) -> Markup:
    if not value:
        return NOTHING
    shown = escape(shortened(value))
    # In a narrow column a short word is kept whole, such as the name of a source.
    return Markup('<span class="word">{}</span>').format(shown) if len(value) <= WORD_MAX_CHARS else shown


def _block(value: Any) -> Markup:
    if not value:
        return NOTHING
    said = json_text(value)
    more = f"\n… cut here: {len(said):,} characters in all" if len(said) > BLOCK_MAX_CHARS else ""
    return Markup('<pre class="block" tabindex="0">{}{}</pre>').format(said[:BLOCK_MAX_CHARS], more)


def _inline_json(value: Any) -> Markup:
    if not value:
        return NOTHING
    if isinstance(value, Mapping) and all(isinstance(each, str | int | float) for each in value.values()):
        pairs = ", ".join(f"{name}={each}" for name, each in redact(dict(value)).items())
        return escape(shortened(pairs))
    return escape(shortened(json.dumps(redact(value), ensure_ascii=False, default=str)))


def _long_text(value: str) -> Markup:
    if not value:
        return NOTHING
    has_own_line = len(value) > SHORT_LINE_CHARS or "\n" in value
    return Markup('<span class="long{}">{}</span>').format(" lengthy" if has_own_line else "", redact_text(value))


Formatter = Callable[[Any, Any, str], Any]

# By type, the first that fits; a word before a text, because it is one.
IN_LISTS: dict[type, Formatter] = {
    Markup: lambda _view, value, _name: value,
    StrEnum: lambda _view, value, _name: badge(value),
    bool: lambda _view, value, _name: "yes" if value else "no",
    datetime: lambda _view, value, _name: moment(value),
    dict: lambda _view, value, _name: _inline_json(value),
    list: lambda _view, value, _name: _inline_json(value),
    str: lambda _view, value, _name: _text(value),
    type(None): lambda _view, _value, _name: NOTHING,
}
IN_DETAILS: dict[type, Formatter] = IN_LISTS | {
    dict: lambda _view, value, _name: _block(value),
    list: lambda _view, value, _name: _block(value),
    str: lambda _view, value, _name: _long_text(value),
}
# What people call some columns, in every table.
CALLED = {
    "checker_name": "Checker",
    "definition_name": "Pipeline",
    "definition_version": "Version",
    "error_message": "Error",
    "hostname": "Host",
    "last_error_type": "Error",
    "total_attempts": "Attempts",
    "total_duration_ms": "Duration",
}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def _csv_text(value: str) -> str:
    safe = redact_text(value)
    # A spreadsheet would run it: https://owasp.org/www-community/attacks/CSV_Injection
    return f"'{safe}" if safe.startswith(FORMULA_STARTS) else safe


IN_CSV: dict[type, Formatter] = {
    datetime: lambda _view, value, _name: value.isoformat(),
    bool: lambda _view, value, _name: "yes" if value else "no",
    dict: lambda _view, value, _name: _csv_text(json.dumps(redact(value), ensure_ascii=False, default=str)),
    list: lambda _view, value, _name: _csv_text(json.dumps(redact(value), ensure_ascii=False, default=str)),
    str: lambda _view, value, _name: _csv_text(value),
    type(None): lambda _view, _value, _name: "",
}


def cell(related: Any, row: Any, name: str) -> Any:
    """A value of a row in a table beside another row's page; `related` may format it by itself."""
    own = related.formatters.get(name)
    value = own(None, None, row, name) if own else getattr(row, name)
    found = next((formatter for kind, formatter in IN_LISTS.items() if isinstance(value, kind)), None)
    return found(None, value, name) if found else value


def label(name: str) -> str:
    """A column's name for people: created_at is Created, trace_id Trace, duration_ms Duration."""
    if name in CALLED:
        return CALLED[name]
    for suffix in ("_at", "_id", "_ms"):
        name = name.removesuffix(suffix)
    return name.replace("_", " ").capitalize()


FILTERS = {
    "badge": badge,
    "cell": cell,
    "clock": clock,
    "duration": duration,
    "json_text": json_text,
    "label": label,
    "moment": moment,
    "shortened": shortened,
    "tone": tone,
}
