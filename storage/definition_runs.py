"""The newest run of each definition."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.run_list import LONG_FIELDS
from storage.tables import PipelineDefinition, PipelineRun


def last_runs(session: Session, definition_pks: Sequence[int]) -> dict[str, PipelineRun]:
    """The newest run of each of these definitions that has one, by the definition's name."""
    if not definition_pks:
        return {}
    # One look into the index for each, in place of all runs of all of them.
    newest = (
        select(PipelineRun.id)
        .where(PipelineRun.definition_name == PipelineDefinition.name)
        .order_by(PipelineRun.created_at.desc(), PipelineRun.id.desc())
        .limit(1)
        .correlate(PipelineDefinition)
        .scalar_subquery()
    )
    query = (
        select(PipelineRun)
        .join(PipelineDefinition, PipelineRun.id == newest)
        .where(PipelineDefinition.id.in_(definition_pks))
        .options(*LONG_FIELDS)
    )
    return {run.definition_name: run for run in session.scalars(query)}
