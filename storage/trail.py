"""What alerts and incidents went through: their history, deliveries, runs and messages. Only ever the newest."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, union_all
from sqlalchemy.orm import Session

from storage.tables import (
    Alert,
    AlertHistory,
    AnalysisRun,
    CheckRun,
    Delivery,
    Notification,
    PipelineRun,
    RunDelivery,
)


def history_of_alert(session: Session, alert_id: int, *, limit: int) -> list[AlertHistory]:
    """The newest entries of an alert, oldest of them first."""
    rows = session.scalars(
        select(AlertHistory).where(AlertHistory.alert_id == alert_id).order_by(AlertHistory.id.desc()).limit(limit)
    )
    return list(rows)[::-1]


def count_history(session: Session, alert_id: int) -> int:
    """How many entries an alert has."""
    return session.scalar(select(func.count()).where(AlertHistory.alert_id == alert_id)) or 0


def latest_alerts(session: Session, incident_id: int, *, limit: int) -> dict[int, str]:
    """The alerts of an incident that changed last: their trace_ids by id."""
    rows = session.execute(
        select(Alert.id, Alert.trace_id)
        .where(Alert.incident_id == incident_id)
        .order_by(Alert.updated_at.desc(), Alert.id.desc())
        .limit(limit)
    )
    return {key: value for key, value in rows}  # noqa: C416  (a row is no tuple to the type checker)


def alerts_of_traces(session: Session, trace_ids: Collection[str], *, limit: int) -> list[Alert]:
    """The alerts that what came in under these traces made or changed, the first of them first."""
    touched = select(AlertHistory.alert_id).where(AlertHistory.trace_id.in_(trace_ids))
    return list(session.scalars(select(Alert).where(Alert.id.in_(touched)).order_by(Alert.id).limit(limit)))


def checks_of_traces(session: Session, trace_ids: Collection[str], *, limit: int) -> list[CheckRun]:
    """The newest verdicts under these traces, in order."""
    query = select(CheckRun).where(CheckRun.trace_id.in_(trace_ids)).order_by(CheckRun.id.desc()).limit(limit)
    return list(session.scalars(query))[::-1]


def history_of_alerts(session: Session, alert_ids: Collection[int], *, limit: int) -> list[AlertHistory]:
    """The newest entries of some alerts, oldest of them first.

    Each alert's own newest are read, through the index: thousands of older ones cost nothing.
    """
    if not alert_ids:
        return []
    parts = [
        select(AlertHistory.id)
        .where(AlertHistory.alert_id == alert_id)
        .order_by(AlertHistory.id.desc())
        .limit(limit)
        for alert_id in alert_ids
    ]
    rows = session.scalars(
        select(AlertHistory)
        .where(AlertHistory.id.in_(_any_of(parts)))
        .order_by(AlertHistory.id.desc())
        .limit(limit)
    )
    return list(rows)[::-1]


def deliveries_of_traces(session: Session, trace_ids: Collection[str], *, limit: int) -> list[Delivery]:
    """The newest deliveries that carry one of these trace_ids, newest first."""
    return list(
        session.scalars(
            select(Delivery).where(Delivery.trace_id.in_(trace_ids)).order_by(Delivery.id.desc()).limit(limit)
        )
    )


def runs_of_traces(session: Session, trace_ids: Collection[str], *, limit: int) -> list[PipelineRun]:
    """The newest runs of these trace_ids, or that took a delivery of one, newest first."""
    return _runs(session, _runs_by_trace(trace_ids), limit=limit)


def runs_of_incident(
    session: Session, incident_id: int, *, trace_ids: Collection[str], limit: int
) -> list[PipelineRun]:
    """The newest runs that name an incident, analysed it or told of it, or are of these trace_ids; newest first.

    A run of several incidents names only the gravest, so the others are found by what it did for them.
    """
    told = select(Notification.run_id).where(Notification.incident_id == incident_id)
    analysed = select(AnalysisRun.pipeline_run_id).where(AnalysisRun.incident_id == incident_id)
    parts = [
        select(PipelineRun.id).where(PipelineRun.incident_id == incident_id),
        select(PipelineRun.id).where(PipelineRun.run_id.in_(told)),
        select(PipelineRun.id).where(PipelineRun.run_id.in_(analysed)),
        *_runs_by_trace(trace_ids),
    ]
    return _runs(session, parts, limit=limit)


def notifications_of_incident(session: Session, incident_id: int, *, limit: int) -> list[Notification]:
    """The newest messages about an incident, newest first."""
    return list(
        session.scalars(
            select(Notification)
            .where(Notification.incident_id == incident_id)
            .order_by(Notification.id.desc())
            .limit(limit)
        )
    )


def analyses_of_incident(session: Session, incident_id: int, *, limit: int) -> list[AnalysisRun]:
    """The newest analyses of an incident, failed ones as well; newest first."""
    return _analyses(session, AnalysisRun.incident_id == incident_id, limit=limit)


def analyses_of_run(session: Session, run_id: str, *, limit: int) -> list[AnalysisRun]:
    """The newest analyses that a run made, failed ones as well; newest first."""
    return _analyses(session, AnalysisRun.pipeline_run_id == run_id, limit=limit)


def _analyses(session: Session, condition: ColumnElement[bool], *, limit: int) -> list[AnalysisRun]:
    return list(session.scalars(select(AnalysisRun).where(condition).order_by(AnalysisRun.id.desc()).limit(limit)))


def _runs_by_trace(trace_ids: Collection[str]) -> list[Select[Any]]:
    took = (
        select(RunDelivery.run_id)
        .join(Delivery, Delivery.id == RunDelivery.delivery_id)
        .where(Delivery.trace_id.in_(trace_ids))
    )
    return [
        select(PipelineRun.id).where(PipelineRun.trace_id.in_(trace_ids)),
        select(PipelineRun.id).where(PipelineRun.id.in_(took)),
    ]


def _runs(session: Session, parts: Sequence[Select[Any]], *, limit: int) -> list[PipelineRun]:
    newest = [part.order_by(PipelineRun.id.desc()).limit(limit) for part in parts]
    return list(
        session.scalars(
            select(PipelineRun)
            .where(PipelineRun.id.in_(_any_of(newest)))
            .order_by(PipelineRun.id.desc())
            .limit(limit)
        )
    )


def _any_of(parts: Sequence[Select[Any]]) -> Any:
    # Each in a FROM of its own: SQLite allows no LIMIT within a UNION otherwise.
    limited = [part.subquery() for part in parts]
    return union_all(*(select(*part.c) for part in limited))
