"""Newest-first pages over large tables, which stay where they are while rows are added.

A page goes on from the last row of the one before (keyset), so page 5,000 costs what page 1 does.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, case, literal, select, tuple_, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.orm.interfaces import ORMOption

from storage.tables.base import Base, BigId, UtcDateTime
from storage.vocabulary import Severity

Row = TypeVar("Row", bound=Base)
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True)
class Place:
    """Where a page ended: what comes after it is older, or of the same time with a lower id."""

    at: datetime
    id: int


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
    at, pk = order
    newest_first = (at.desc(), pk.desc())
    wanted = list(conditions)
    if after is not None:
        wanted.append(tuple_(at, pk) < tuple_(literal(after.at, UtcDateTime()), literal(after.id, BigId)))
    if kinds:
        parts = [
            select(pk.label("id")).where(*wanted, kind).order_by(*newest_first).limit(limit).subquery()
            for kind in kinds
        ]
        wanted = [pk.in_(union_all(*(select(part.c.id) for part in parts)))]
    rows = select(table).where(*wanted).order_by(*newest_first).limit(limit).options(*options)
    return list(session.scalars(rows))


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
