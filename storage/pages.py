"""Pages over large tables, newest first or by another column, which stay where they are while rows are added.

A page goes on from the last row of the one before (keyset), so page 5,000 costs what page 1 does.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, case, func, literal, select, tuple_, union, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.orm.interfaces import ORMOption

from storage.tables.base import Base, BigId
from storage.vocabulary import Severity

Row = TypeVar("Row", bound=Base)
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True)
class Place:
    """Where a page ended: what comes after it is older, or of the same time with a lower id."""

    at: datetime
    id: int


@dataclass(frozen=True)
class Order:
    """By what a table is read: a column that is never NULL, and the id among equals. An index holds both."""

    column: InstrumentedAttribute[Any]
    pk: InstrumentedAttribute[int]
    is_descending: bool = True


def newest(
    session: Session,
    table: type[Row],
    *,
    order: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[int]],
    conditions: Sequence[ColumnElement[bool]] = (),
    kinds: Sequence[ColumnElement[bool]] = (),
    options: Sequence[ORMOption] = (),
    after: Place | None = None,
    limit: int,
) -> list[Row]:
    """The newest rows that meet all conditions and are of one of the kinds (of any, where none is given).

    `order` names the time and the id by which the table is read. Each kind is asked for on its own: within
    one, an index holds the rows in order, so reading stops after `limit`; over several it would sort them all.
    """
    place = None if after is None else (after.at, after.id)
    return in_order(
        session,
        table,
        order=Order(*order),
        conditions=conditions,
        kinds=kinds,
        options=options,
        after=place,
        limit=limit,
    )


def in_order(
    session: Session,
    table: type[Row],
    *,
    order: Order,
    conditions: Sequence[ColumnElement[bool]] = (),
    kinds: Sequence[ColumnElement[bool]] = (),
    options: Sequence[ORMOption] = (),
    after: tuple[Any, int] | None = None,
    limit: int,
) -> list[Row]:
    """Like `newest`, by any column; `after` is the last row's value of that column, and its id."""
    wanted = [*conditions, *past(order, after)]
    if kinds:
        parts = [
            select(order.pk.label("id")).where(*wanted, kind).order_by(*sorting(order)).limit(limit).subquery()
            for kind in kinds
        ]
        wanted = [order.pk.in_(union_all(*(select(part.c.id) for part in parts)))]
    rows = select(table).where(*wanted).order_by(*sorting(order)).limit(limit).options(*options)
    return list(session.scalars(rows))


def sorting(order: Order) -> tuple[ColumnElement[Any], ColumnElement[int]]:
    """What to order a query by."""
    column, pk = order.column, order.pk
    return (column.desc(), pk.desc()) if order.is_descending else (column.asc(), pk.asc())


def past(order: Order, place: tuple[Any, int] | None) -> list[ColumnElement[bool]]:
    """That a row comes after a place; nothing where there is none."""
    if place is None:
        return []
    here, there = _compared(order, place)
    return [here < there if order.is_descending else here > there]


def up_to(order: Order, place: tuple[Any, int] | None) -> list[ColumnElement[bool]]:
    """That a row comes before a place or stands there; nothing where there is none."""
    if place is None:
        return []
    here, there = _compared(order, place)
    return [here >= there if order.is_descending else here <= there]


def _compared(order: Order, place: tuple[Any, int]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    there = tuple_(literal(place[0], order.column.type), literal(place[1], BigId))
    return tuple_(order.column, order.pk), there


def count_up_to(
    session: Session,
    pk: InstrumentedAttribute[int],
    *,
    conditions: Sequence[ColumnElement[bool]] = (),
    kinds: Sequence[ColumnElement[bool]] = (),
    limit: int,
) -> int:
    """How many rows meet all conditions and are of one of the kinds, but never more than `limit`."""
    some = [select(pk.label("id")).where(*conditions, *also).limit(limit) for also in _each_of(kinds)]
    found = union(*(select(part.subquery()) for part in some)).subquery()
    return session.scalar(select(func.count()).select_from(select(found).limit(limit).subquery())) or 0


def _each_of(kinds: Sequence[ColumnElement[bool]]) -> list[tuple[ColumnElement[bool], ...]]:
    return [(kind,) for kind in kinds] or [()]


def kinds_of(
    status: InstrumentedAttribute[Word],
    severity: InstrumentedAttribute[Severity],
    *,
    statuses: Collection[Word],
    severities: Collection[Severity],
    all_statuses: Iterable[Word],
) -> list[ColumnElement[bool]]:
    """One condition for each wanted pair of status and severity; none where both are left open."""
    if not statuses and not severities:
        return []
    pairs = product(statuses or all_statuses, severities or Severity)
    return [and_(status == one, severity == other) for one, other in pairs]


def tested_last(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same condition, for rows that another one narrows down: SQLite must choose no index for this one."""
    return case((condition, 1), else_=0) == 1
