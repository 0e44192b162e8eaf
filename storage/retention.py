"""Letting go of what was kept long enough, a few rows at a time; what that is says storage/kept.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, TextClause, delete, literal, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.pages import Place
from storage.tables import DefinitionVersion, PipelineDefinition, PipelineRun, Pruning
from storage.tables.base import BigId, UtcDateTime, utc_now
from storage.upsert import insert_if_absent

Conditions = Sequence[ColumnElement[bool] | TextClause]
# It runs once an hour.
PRUNED_WITHIN = timedelta(hours=2)


@dataclass(frozen=True)
class Kept:
    """A kind of rows, or a part of them, that is kept for a time only.

    `at` is a time with an index, never later than the one that counts: what is younger is not looked at. `is_due`
    says of the rest what may go that was over before a moment. `emptied` is what stands in a part's place;
    where it is None, the row goes. `named_in` are columns of other tables that name the row and go on without it.
    """

    name: str
    id: InstrumentedAttribute[int]
    at: InstrumentedAttribute[datetime]
    is_due: Callable[[datetime], Conditions]
    emptied: Mapping[str, Any] | None = None
    named_in: tuple[InstrumentedAttribute[int | None], ...] = ()

    @property
    def table(self) -> Any:
        """The mapped class of the rows."""
        return self.id.class_


def find_due(
    session: Session, kept: Kept, *, before: datetime, limit: int, after: Place | None = None
) -> list[Place]:
    """What was over before then, oldest first, behind `after`: so what must stay is passed over once.

    It only reads, because on SQLite a writer keeps webhooks out, and this may go through many rows.
    """
    query = select(kept.at, kept.id).where(kept.at < before, *kept.is_due(before))
    if after is not None:
        place = tuple_(literal(after.at, UtcDateTime()), literal(after.id, BigId))
        query = query.where(tuple_(kept.at, kept.id) > place)
    rows = session.execute(query.order_by(kept.at, kept.id).limit(limit))
    return [Place(at=at, id=pk) for at, pk in rows]


def forget(session: Session, kept: Kept, due: Sequence[Place], *, before: datetime) -> int:
    """Let go of those of these that are still due. Returns how many.

    What another worker is just forgetting, or somebody is working with, is passed over.
    """
    still_due = (
        select(kept.id)
        .where(kept.id.in_([place.id for place in due]), *kept.is_due(before))
        .with_for_update(skip_locked=True, of=kept.table)
    )
    locked = list(session.scalars(still_due))
    for column in kept.named_in:
        _execute(session, update(column.class_).where(column.in_(locked)).values({column: None}))
    if kept.emptied is None:
        _execute(session, delete(kept.table).where(kept.id.in_(locked)))
    else:
        _execute(session, update(kept.table).where(kept.id.in_(locked)).values(dict(kept.emptied)))
    return len(locked)


def forget_superseded(session: Session, *, before: datetime) -> int:
    """Let go of versions of definitions that newer ones replaced before then and that no run names.

    They are few: people write them. The newest of a name always stays, since the next counts on from it. Returns
    how many went.
    """
    newer = DefinitionVersion.__table__.alias()
    replaced = select(newer.c.name).where(
        newer.c.name == DefinitionVersion.name,
        newer.c.version > DefinitionVersion.version,
        newer.c.created_at < before,
    )
    holds = select(PipelineDefinition.id).where(
        PipelineDefinition.name == DefinitionVersion.name, PipelineDefinition.version == DefinitionVersion.version
    )
    ran = select(PipelineRun.id).where(
        PipelineRun.definition_name == DefinitionVersion.name,
        PipelineRun.definition_version == DefinitionVersion.version,
    )
    unused = (replaced.exists(), ~holds.exists(), ~ran.exists())
    gone = session.scalars(
        delete(DefinitionVersion).where(*unused).returning(DefinitionVersion.version),
        execution_options={"synchronize_session": False},
    )
    return len(gone.all())


def record(session: Session, name: str, count: int) -> None:
    """Note that this kind was gone through just now, and how much of it went; doctor and metrics read that."""
    first = {"name": name, "last_count": 0, "total_count": 0, "pruned_at": utc_now()}
    session.execute(insert_if_absent(session, Pruning).values(first))
    changed = {
        "last_count": count,
        "total_count": Pruning.total_count + count,
        "pruned_at": utc_now(),
    }
    _execute(session, update(Pruning).where(Pruning.name == name).values(changed))


def prunings(session: Session) -> list[Pruning]:
    """What was last let go of each kind, and when; empty where nothing was ever gone through."""
    return list(session.scalars(select(Pruning).order_by(Pruning.name)))


def _execute(session: Session, statement: Any) -> None:
    session.execute(statement, execution_options={"synchronize_session": False})
