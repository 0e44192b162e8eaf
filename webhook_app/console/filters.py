"""What a list may be narrowed down by. Names and values are those of the API (webhook_app/query.py)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute
from werkzeug.datastructures import MultiDict

from storage.tables.base import utc_now
from webhook_app import query
from webhook_app.query import QueryError

SPANS = ("15m", "1h", "24h", "7d")


@dataclass(frozen=True)
class Filter:
    """One field of a list's form; `options` are what there is to choose from, without any it is a text.

    `read` gives the values that a text stands for, of which a row must have one; it raises QueryError.
    """

    name: str
    label: str
    read: Callable[[str], list[Any]]
    condition: Callable[[Any], ColumnElement[bool]]
    options: tuple[str, ...] = ()


def words(name: str, column: InstrumentedAttribute[Any], kind: type[StrEnum], *, label: str = "") -> Filter:
    """One or several (comma) of the words of a column."""

    def read(text: str) -> list[Any]:
        return list(query.read_words(MultiDict({name: text}), name, kind))

    options = tuple(word.value for word in kind)
    return Filter(name, label or _label(name), read, lambda word: column == word, options)


def exactly(
    name: str, column: InstrumentedAttribute[Any], *, label: str = "", options: Iterable[str] = ()
) -> Filter:
    """Just that text."""

    def read(text: str) -> list[Any]:
        return [query.read_text(MultiDict({name: text}), name)]

    return Filter(name, label or _label(name), read, lambda text: column == text, tuple(options))


def number(name: str, column: InstrumentedAttribute[Any], *, label: str = "") -> Filter:
    """Just that number."""

    def read(text: str) -> list[Any]:
        return [query.read_number(MultiDict({name: text}), name)]

    return Filter(name, label or _label(name), read, lambda pk: column == pk)


def yes_no(name: str, column: InstrumentedAttribute[bool], *, label: str = "") -> Filter:
    """Whether something is so."""

    def read(text: str) -> list[Any]:
        if text not in ("yes", "no"):
            raise QueryError(f"{name}: yes or no")
        return [text == "yes"]

    return Filter(name, label or _label(name), read, column.is_, ("yes", "no"))


def since(column: InstrumentedAttribute[datetime]) -> Filter:
    """Not older than a duration such as 24h, or than a time."""

    def read(text: str) -> list[Any]:
        return [query.read_since(MultiDict({"since": text}), now=utc_now())]

    return Filter("since", "Since", read, lambda at: column >= at, SPANS)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
