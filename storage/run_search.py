"""Looking for a run by the beginning of its id, and at how far it has come."""

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from storage.tables import PipelineRun, StageExecution

PREFIX_MIN_CHARS = 8


def with_id(session: Session, text: str, *, limit: int = 2) -> list[PipelineRun]:
    """The run of that id, or those whose ids begin so; what is shorter than PREFIX_MIN_CHARS must be whole."""
    exact = session.scalar(select(PipelineRun).where(PipelineRun.run_id == text))
    if exact is not None or len(text) < PREFIX_MIN_CHARS:
        return [exact] if exact else []
    begins = PipelineRun.run_id.startswith(text, autoescape=True)
    return list(session.scalars(select(PipelineRun).where(begins).order_by(PipelineRun.id.desc()).limit(limit)))


def attempts_without_outputs(session: Session, run_pk: int) -> list[StageExecution]:
    """Every attempt of a run in order, without what it brought: for those who look several times a second."""
    heavy = (defer(StageExecution.output_snapshot), defer(StageExecution.error_stack))
    query = select(StageExecution).where(StageExecution.pipeline_run_id == run_pk).order_by(StageExecution.id)
    return list(session.scalars(query.options(*heavy)))
