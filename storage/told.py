"""Who was told, and who was not: of a run and of an incident."""

from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, defer

from storage.records import PassedOver
from storage.tables import Notification, PipelineRun, StageExecution
from storage.vocabulary import Stage, StageStatus


def messages_of_run(session: Session, run_id: str, *, limit: int | None = None) -> list[Notification]:
    """The first messages that come from a run or are in its hands, in order, without the text that was said."""
    mine = or_(Notification.run_id == run_id, Notification.sender_run_id == run_id)
    query = select(Notification).where(mine).order_by(Notification.id).limit(limit)
    return list(session.scalars(query.options(defer(Notification.message))))


def passed_over_of_runs(session: Session, run_pks: Collection[int]) -> list[PassedOver]:
    """The channels that these runs did not tell of a change, and why, in order; each once."""
    outputs = session.scalars(
        select(StageExecution.output_snapshot)
        .where(
            StageExecution.pipeline_run_id.in_(run_pks),
            StageExecution.stage == Stage.NOTIFY,
            StageExecution.status == StageStatus.SUCCEEDED,
        )
        .order_by(StageExecution.id)
    )
    found = (
        PassedOver.model_validate(each) for output in outputs for each in (output or {}).get("passed_over", ())
    )
    return list({(each.channel, each.incident_id, each.reason): each for each in found}.values())


def passed_over_of_incident(session: Session, incident_id: int, runs: Collection[PipelineRun]) -> list[PassedOver]:
    """The same about one incident."""
    found = passed_over_of_runs(session, [run.id for run in runs])
    return [each for each in found if each.incident_id == incident_id]
