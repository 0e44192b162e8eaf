"""Along which index a list is read that is narrowed down in several ways at once.

The databases choose by statistics, which mislead where two things are frequent but hardly ever meet: they would
walk through a million rows. So one way leads, along an index of its own, and the others are tested on the rows
that it gives: on WALKED_ROWS at most. Where those do not fill a page, the reader is told how far it went.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    Select,
    Table,
    UniqueConstraint,
    inspect,
    literal,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList

from storage.pages import Order, past, sorting, tested_last, up_to
from storage.tables.base import Base

WALKED_ROWS = 5_000
# As many may be sorted for a page, where an index finds them but not in order.
SORTED_ROWS = 5_000
RANGES = (operators.ge, operators.gt, operators.le, operators.lt)

Kinds = Sequence[ColumnElement[bool]]


@dataclass(frozen=True)
class Lead:
    """What `in_order` is to be given. Rows past `end` were not looked at; None: all were."""

    conditions: list[ColumnElement[bool]]
    kinds: list[ColumnElement[bool]]
    end: tuple[Any, int] | None = None


class _Kind(NamedTuple):
    """One condition along an index; `is_ordered`: which holds the rows in the list's order as well."""

    condition: ColumnElement[bool]
    is_ordered: bool


def choose(
    session: Session,
    table: type[Base],
    narrowings: Sequence[Kinds],
    *,
    order: Order,
    after: tuple[Any, int] | None,
    walked: int = WALKED_ROWS,
) -> Lead:
    """How to read the rows that each narrowing lets through, by one of its conditions.

    At most one statement is asked for it: where each possible lead is after so many rows.
    """
    within = [kinds[0] for kinds in narrowings if _is_range(kinds, order)]
    others = [kinds for kinds in narrowings if not _is_range(kinds, order)]
    leads = {number: found for number, kinds in enumerate(others) if (found := _indexed(table, kinds, order))}
    if not others:
        return Lead(within, [])
    if len(others) == 1 and leads and all(kind.is_ordered for kind in leads[0]):
        return Lead(within, [kind.condition for kind in leads[0]])
    begun = [*within, *past(order, after)]
    ends = _ends(session, leads, order=order, begun=begun, walked=walked)
    chosen, end = _furthest(ends, order)
    rest = [tested_last(or_(*kinds)) for number, kinds in enumerate(others) if number != chosen]
    if not rest:
        end = None
    return Lead([*within, *rest, *up_to(order, end)], [kind.condition for kind in leads.get(chosen, ())], end)


def _ends(
    session: Session,
    leads: dict[int, list[_Kind]],
    *,
    order: Order,
    begun: Kinds,
    walked: int,
) -> dict[int, list[Any]]:
    """By lead, the places to which its kinds come within their share of the rows; -1 is the order by itself.

    A kind that is over before has none. A lead of which too many rows would have to be sorted is left out.
    """
    alone = {-1: [_Kind(literal(value=True), is_ordered=True)]}
    if any(all(kind.is_ordered for kind in kinds) for kinds in leads.values()):
        alone = {}
    parts: list[Select[Any]] = []
    for number, kinds in (leads | alone).items():
        for kind in kinds:
            share = max(1, walked // len(kinds)) if kind.is_ordered else SORTED_ROWS
            # Without an order nothing is asked but what the index holds: no row is looked up.
            place = order if kind.is_ordered else None
            query = select(
                literal(number).label("lead"),
                literal(int(kind.is_ordered)).label("is_ordered"),
                (place.column if place else literal(None, order.column.type)).label("at"),
                (place.pk if place else literal(None, order.pk.type)).label("id"),
            )
            query = query.where(kind.condition) if number >= 0 else query.select_from(order.pk.table)
            query = query.where(*begun).order_by(*sorting(order)) if kind.is_ordered else query
            parts.append(query.offset(share - 1).limit(1))
    rows = session.execute(union_all(*(select(part.subquery()) for part in parts))).all()
    unsorted = {row.lead for row in rows if not row.is_ordered}
    return {
        number: [(row.at, row.id) for row in rows if row.lead == number]
        for number in leads | alone
        if number not in unsorted
    }


def _furthest(ends: dict[int, list[Any]], order: Order) -> tuple[int, Any]:
    """The lead that is over, or comes furthest; and its end, which is the nearest of those of its kinds."""
    nearest, furthest = (max, min) if order.is_descending else (min, max)
    over = next((number for number, places in ends.items() if not places), None)
    if over is not None:
        return over, None
    by_end = {nearest(places): number for number, places in reversed(ends.items())}
    end = furthest(by_end)
    return by_end[end], end


def _is_range(kinds: Kinds, order: Order) -> bool:
    condition = kinds[0]
    is_comparison = isinstance(condition, BinaryExpression) and condition.operator in RANGES
    return len(kinds) == 1 and is_comparison and _name(condition.left) == order.column.key


def _indexed(table: type[Base], kinds: Kinds, order: Order) -> list[_Kind]:
    """The kinds, each along an index; none where one of them has no index."""
    found = [_along_index(table, condition, order) for condition in kinds]
    return [] if None in found else [kind for kind in found if kind]


def _along_index(table: type[Base], condition: ColumnElement[bool], order: Order) -> _Kind | None:
    if names := set(_one_of_several(condition)):
        is_begun = any(index[0] in names for index, where in _indexes(table) if where is None)
        return _Kind(condition, is_ordered=False) if is_begun else None
    names = set(_equal_columns(condition))
    best: _Kind | None = None
    for index, where in _indexes(table):
        wanted = [*index[: len(names)]]
        if not names or index[0] not in names or (where is not None and not _implies(names, where)):
            continue
        is_ordered = set(wanted) == names and index[len(names) : len(names) + 1] == [order.column.key]
        if best is None or (is_ordered and not best.is_ordered):
            best = _Kind(condition if where is None else condition & text(where), is_ordered)
    return best


def _one_of_several(condition: ColumnElement[bool]) -> Iterator[str]:
    """The column of which the condition names several values, or a query that finds them."""
    if isinstance(condition, BinaryExpression) and condition.operator is operators.in_op:
        yield from filter(None, [_name(condition.left)])


def _equal_columns(condition: ColumnElement[bool]) -> Iterator[str]:
    """The columns whose values the condition names; nothing where it says anything else."""
    parts = condition.clauses if isinstance(condition, BooleanClauseList) else [condition]
    for part in parts:
        if not isinstance(part, BinaryExpression) or part.operator not in (operators.eq, operators.is_):
            return
    yield from (name for part in parts if (name := _name(part.left)))


def _name(expression: Any) -> str:
    return str(expression.key) if isinstance(expression, Column) else ""


def _implies(names: Iterable[str], where: str) -> bool:
    """Whether an index of some rows holds all that have such values; an empty text is never looked for."""
    return where in {f"{name} <> ''" for name in names}


def _indexes(table: type[Base]) -> Iterator[tuple[list[str], str | None]]:
    """The columns of each index, and of which rows it is."""
    local = cast("Table", inspect(table).local_table)
    for index in local.indexes:
        yield [column.key for column in index.columns], _where(index)
    for constraint in local.constraints:
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint):
            yield [column.key for column in constraint.columns], None


def _where(index: Index) -> str | None:
    condition = index.dialect_options["postgresql"]["where"]
    return None if condition is None else str(condition)
