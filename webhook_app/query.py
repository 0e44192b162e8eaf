"""Reading what a list is asked for: its filters, its limit, and where its last page ended.

Whatever is not understood is refused by name: a filter that is silently left out shows the wrong rows.
"""

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Response, request
from werkzeug.datastructures import MultiDict

from storage.pages import Place
from storage.storable import storable_text
from tasks.ingest.times import read_time
from webhook_app.answers import error_answer

LIMIT_DEFAULT = 20
LIMIT_MAX = 200
# The largest number that fits into a column of ids; a larger one makes the databases raise.
ID_MAX = 2**63 - 1
TEXT_MAX_CHARS = 200
NAME_SHOWN_CHARS = 40
TRUTHS = {"true": True, "1": True, "false": False, "0": False}

_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
# A plus sign that was not escaped arrives as a space: 2026-01-31T12:00:00 02:00.
_LOST_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}$)")

Word = TypeVar("Word", bound=StrEnum)
Args = MultiDict[str, str]


class QueryError(Exception):
    """A parameter that cannot be used; the message names it."""


def refuse(error: QueryError) -> Response:
    """The answer to a parameter that cannot be used."""
    return error_answer(400, str(error))


def check_names(args: Args, *, known: Iterable[str]) -> None:
    """Refuse parameters that a list does not have."""
    known = tuple(known)
    for name in args:
        if name not in known:
            raise QueryError(f"unknown parameter {shown(name)}; known: {', '.join(known)}")


def shown(name: str) -> str:
    """A name that somebody sent, fit to stand in an answer."""
    return storable_text(name[:NAME_SHOWN_CHARS])


def read_limit(args: Args) -> int:
    """How many rows a page has."""
    limit = read_number(args, "limit", most=LIMIT_MAX)
    return LIMIT_DEFAULT if limit is None else limit


def read_number(args: Args, name: str, *, most: int = ID_MAX) -> int | None:
    """A whole number from 1."""
    given = _one(args, name)
    if given is None:
        return None
    number = read_id(given)
    if number is None or not 1 <= number <= most:
        raise QueryError(f"{name}: a whole number from 1 to {most}")
    return number


def read_id(text: str) -> int | None:
    """An id as it stands in a URL; None for what cannot be one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(ID_MAX))):
        return None
    number = int(text)
    return number if number <= ID_MAX else None


def read_word(args: Args, name: str, kind: type[Word]) -> Word | None:
    """One word of a list of ours; capitals do not matter."""
    given = _one(args, name)
    return None if given is None else _word(name, given, kind)


def read_words(args: Args, name: str, kind: type[Word]) -> list[Word]:
    """Several of them, with commas between; each once."""
    words = (_word(name, given, kind) for text in args.getlist(name) for given in text.split(","))
    return list(dict.fromkeys(words))


def read_truth(args: Args, name: str) -> bool | None:
    """True or false; None where nothing is asked."""
    given = _one(args, name)
    if given is None:
        return None
    if given.casefold() not in TRUTHS:
        raise QueryError(f"{name}: true or false")
    return TRUTHS[given.casefold()]


def read_text(args: Args, name: str) -> str:
    """Text as it would be stored; empty where none is given."""
    given = _one(args, name)
    if given is None:
        return ""
    if not given.strip() or len(given) > TEXT_MAX_CHARS:
        raise QueryError(f"{name}: text of 1 to {TEXT_MAX_CHARS} characters")
    return storable_text(given)


def read_since(args: Args, *, now: datetime) -> datetime | None:
    """A time with its offset, or a duration before now such as 90s, 30m, 2h, 7d, 1w."""
    given = _one(args, "since")
    if given is None:
        return None
    if found := _DURATION.fullmatch(given):
        try:
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            raise QueryError("since: too long ago") from None
    moment = read_time(_LOST_PLUS.sub("+", given)) if _DATE.match(given) else None
    if moment is None or moment.tzinfo is None:
        raise QueryError("since: a time such as 2026-01-31T12:00:00Z, or a duration such as 30m, 2h or 7d")
    return moment


def read_cursor(args: Args) -> Place | None:
    """Where the last page ended, as its `next` says."""
    given = _one(args, "cursor")
    if given is None:
        return None
    try:
        at, pk = _decoded(given).split("~")
        moment, number = datetime.fromisoformat(at).astimezone(UTC), read_id(pk)
    except (ValueError, OverflowError):
        number = None
    if number is None:
        raise QueryError("cursor: not one that an answer gave as `next`")
    return Place(moment, number)


def read_name_cursor(args: Args) -> str:
    """The name with which the last page of a list by name ended; empty before the first."""
    given = _one(args, "cursor")
    if given is None:
        return ""
    try:
        name = storable_text(_decoded(given))
    except ValueError:
        name = ""
    if not name:
        raise QueryError("cursor: not one that an answer gave as `next`")
    return name


def page_fields(name: str, rows: list[dict[str, Any]], *, next_place: Place | None) -> dict[str, Any]:
    """A page of a list, and where to go on; `next` is null on the last one."""
    return _page_fields(name, rows, None if next_place is None else _cursor(next_place))


def named_page_fields(name: str, rows: list[dict[str, Any]], *, last_name: str | None) -> dict[str, Any]:
    """A page of a list by name; None: it is the last one."""
    return _page_fields(name, rows, None if last_name is None else _encoded(last_name))


def _page_fields(name: str, rows: list[dict[str, Any]], cursor: str | None) -> dict[str, Any]:
    kept = [(key, value) for key, value in request.args.items(multi=True) if key != "cursor"]
    here = f"{request.script_root}{request.path}"
    next_url = None if cursor is None else f"{here}?{urlencode([*kept, ('cursor', cursor)])}"
    return {"count": len(rows), "next": cursor, "next_url": next_url, name: rows}


def _cursor(place: Place) -> str:
    return _encoded(f"{place.at.isoformat()}~{place.id}")


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    """Raises ValueError for what `_encoded` does not give: the lax reading would start again at the first page."""
    return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()


def _one(args: Args, name: str) -> str | None:
    given = args.getlist(name)
    if len(given) > 1:
        raise QueryError(f"{name}: given more than once")
    return given[0] if given else None


def _word(name: str, given: str, kind: type[Word]) -> Word:
    for word in kind:
        if word.value.casefold() == given.strip().casefold():
            return word
    raise QueryError(f"{name}: one of {', '.join(kind)}")
