"""The newest run of each definition."""

from collections.abc import Sequence

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from storage.run_list import LONG_FIELDS
from storage.tables import PipelineDefinition, PipelineRun


def last_runs(session: Session, definition_pks: Sequence[int]) -> dict[str, PipelineRun]:
    """The newest run of each of these definitions that has one, by the definition's name."""
    if not definition_pks:
        return {}
    names = session.scalars(select(PipelineDefinition.name).where(PipelineDefinition.id.in_(definition_pks)))
    # One look into the index for each, and each name said: for one that it does not know to be rare, PostgreSQL
    # goes through all runs by their time.
    newest = [
        select(PipelineRun.id)
        .where(PipelineRun.definition_name == name)
        .order_by(PipelineRun.created_at.desc(), PipelineRun.id.desc())
        .limit(1)
        .subquery()
        for name in names
    ]
    if not newest:
        return {}
    ids = union_all(*(select(each.c.id) for each in newest))
    query = select(PipelineRun).where(PipelineRun.id.in_(ids)).options(*LONG_FIELDS)
    return {run.definition_name: run for run in session.scalars(query)}
