"""Looking runs up: newest first, by what they are and what they belong to."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, or_, select, union_all
from sqlalchemy.orm import Session, defer

from storage.pages import Place, newest, tested_last
from storage.tables import Delivery, PipelineRun, RunDelivery
from storage.vocabulary import RunStatus, RunVia

# Left in the database where runs are listed.
LONG_FIELDS = (defer(PipelineRun.definition_config), defer(PipelineRun.node_configs))
ENDED_WELL = tuple(status for status in RunStatus if status not in (RunStatus.PENDING, RunStatus.FAILED))


class RunWord(StrEnum):
    """What a run may be looked up by: its status, that it is over and did not fail, or that it is not over."""

    PENDING = "PENDING"
    INGESTED = "INGESTED"
    CHECKED = "CHECKED"
    ANALYZED = "ANALYZED"
    NOTIFIED = "NOTIFIED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    SKIPPED = "SKIPPED"
    COMPLETED = "COMPLETED"
    RUNNING = "RUNNING"


def list_runs(
    session: Session,
    *,
    words: Collection[RunWord] = (),
    vias: Collection[RunVia] = (),
    pipeline: str = "",
    source: str = "",
    environment: str = "",
    trace_id: str = "",
    incident_id: int | None = None,
    since: datetime | None = None,
    after: Place | None = None,
    limit: int,
) -> list[PipelineRun]:
    """Runs without their long fields, newest first by when they were made; `trace_id` may be one of a delivery."""
    conditions = _matching(vias=vias, pipeline=pipeline, source=source, environment=environment)
    kinds = [kind for word in words for kind in kinds_of(word)]
    if trace_id or incident_id is not None:
        # Few rows have them: an index of another condition would be the wrong one.
        conditions = [tested_last(each) for each in (*conditions, *([or_(*kinds)] if kinds else []))]
        kinds = []
    if trace_id:
        conditions.append(PipelineRun.id.in_(_traced(trace_id)))
    if incident_id is not None:
        conditions.append(PipelineRun.incident_id == incident_id)
    if since is not None:
        conditions.append(PipelineRun.created_at >= since)
    return newest(
        session,
        PipelineRun,
        order=(PipelineRun.created_at, PipelineRun.id),
        conditions=conditions,
        kinds=kinds,
        options=LONG_FIELDS,
        after=after,
        limit=limit,
    )


def changed_runs(
    session: Session, *, words: Collection[RunWord] = (), since: datetime, limit: int
) -> list[PipelineRun]:
    """Runs without their long fields that changed since then, the last changed first."""
    query = select(PipelineRun).where(PipelineRun.updated_at >= since).options(*LONG_FIELDS)
    if words:
        query = query.where(or_(*(kind for word in words for kind in kinds_of(word))))
    return list(session.scalars(query.order_by(PipelineRun.updated_at.desc()).limit(limit)))


def _matching(
    *, vias: Collection[RunVia], pipeline: str, source: str, environment: str
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if vias and set(vias) != set(RunVia):
        conditions.append(PipelineRun.via.in_(vias))
    if pipeline:
        conditions.append(PipelineRun.definition_name == pipeline)
    if source:
        conditions.append(PipelineRun.source == source)
    if environment:
        conditions.append(PipelineRun.environment == environment)
    return conditions


def kinds_of(word: RunWord) -> list[ColumnElement[bool]]:
    """Conditions of which every run that the word means meets one, each along an index of its own."""
    if word is RunWord.RUNNING:
        return [PipelineRun.completed_at.is_(None)]
    if word is not RunWord.COMPLETED:
        return [PipelineRun.status == RunStatus(word)]
    return [and_(PipelineRun.status == status, PipelineRun.completed_at.is_not(None)) for status in ENDED_WELL]


def _traced(trace_id: str) -> ColumnElement[int]:
    own = select(PipelineRun.id).where(PipelineRun.trace_id == trace_id)
    taken = (
        select(RunDelivery.run_id)
        .join(Delivery, Delivery.id == RunDelivery.delivery_id)
        .where(Delivery.trace_id == trace_id)
    )
    return union_all(own, taken).scalar_subquery()
