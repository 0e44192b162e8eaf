"""What a list is asked for by its URL: filters, search, order and place, as conditions of a query."""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import TypeEngine
from werkzeug.datastructures import MultiDict

from storage import search
from storage.storable import storable_text
from storage.tables.base import Base, BigId
from webhook_app import query
from webhook_app.console.filters import Filter
from webhook_app.query import QueryError

Args = MultiDict[str, str]
# The largest number of a column that is not of ids.
INTEGER_MAX = 2**31 - 1


@dataclass(frozen=True)
class Wish:
    """The rows that are wanted: of each narrowing, one condition holds (storage/leads.py)."""

    narrowings: list[list[ColumnElement[bool]]] = field(default_factory=list)
    is_narrowed: bool = False


def read_wish(
    session: Session,
    args: Args,
    table: type[Base],
    filters: Sequence[Filter],
    *,
    search_text: str,
    led_by: Iterable[str],
) -> Wish:
    """What the URL asks for. Raises QueryError that names the parameter.

    `led_by` names the filters whose columns, in this order, begin an index that ends with the list's own order:
    each pair of their values is asked for on its own.
    """
    chosen = {each: each.read(given) for each in filters if (given := args.get(each.name, "").strip())}
    leaders = [each for name in led_by for each in filters if each.name == name]
    pairs = _pairs(chosen, leaders)
    rest = {each: values for each, values in chosen.items() if each not in leaders}
    narrowings = [pairs, *([each.condition(value) for value in values] for each, values in rest.items())]
    if search_text:
        text = query.read_text(MultiDict({"search": search_text}), "search")
        narrowings.append(search.ways(table, search.resolve(session, text)))
    return Wish([each for each in narrowings if each], is_narrowed=bool(chosen or search_text))


def _pairs(chosen: dict[Filter, list[Any]], leaders: list[Filter]) -> list[ColumnElement[bool]]:
    if not any(each in chosen for each in leaders):
        return []
    values = [chosen.get(each) or each.read(",".join(each.options)) for each in leaders]
    return [
        and_(*(leader.condition(value) for leader, value in zip(leaders, pair, strict=True)))
        for pair in product(*values)
    ]


def read_place(text: str, column: InstrumentedAttribute[Any]) -> tuple[Any, int] | None:
    """The value and id of the last row of the page before, as `place_text` gave them. Raises QueryError."""
    if not text:
        return None
    try:
        value, pk = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if column.type.python_type is datetime:
            value = datetime.fromisoformat(value).astimezone(UTC)
        if _is_stored(value, column.type) and _is_stored(pk, BigId):
            return value, pk
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        pass
    raise QueryError("after: not one that a page gave")


def _is_stored(value: Any, kind: TypeEngine[Any]) -> bool:
    """Whether a column of that type can hold it: the databases raise where they are asked for anything else."""
    if isinstance(value, str):
        return kind.python_type is str and storable_text(value) == value
    if isinstance(value, int):
        most = query.ID_MAX if isinstance(kind, BigInteger) else INTEGER_MAX
        return kind.python_type is int and not isinstance(value, bool) and 0 <= value <= most
    return isinstance(value, kind.python_type)


def place_text(value: Any, pk: int) -> str:
    """Where a page ends, for a URL."""
    said = json.dumps([value.isoformat() if isinstance(value, datetime) else value, pk])
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")
