"""What a person may mean who types one word, and the rows of each table that are found by it.

First the word is resolved, to the traces, alerts, incidents and runs that it names: a fixed number of small
statements, each along an index. Then each table has the conditions of which a found row meets one, along an index
too. So a million rows cost what a thousand do. Words within names or messages are not looked for.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage import trail
from storage.hostname import host_key
from storage.tables import (
    Alert,
    AlertHistory,
    AnalysisRun,
    AuditEntry,
    CheckRun,
    Delivery,
    Incident,
    IntelligenceProvider,
    Notification,
    NotificationChannel,
    PipelineDefinition,
    PipelineRun,
    RunDelivery,
    StageExecution,
)
from storage.tables.base import Base
from storage.trail_search import ID_MAX, PREFIX_MIN_CHARS

TEXT_MIN_CHARS = 2
# Of what belongs to the word at one remove, so many, the newest: a host has hundreds of thousands of rows. What
# has the word itself in a column is found whole.
MEANT_MAX = 100
BEGINNINGS_MAX = 20
NUMBERED: dict[str, type[Base]] = {"alert": Alert, "incident": Incident}

Ways = Callable[["Meant"], list[ColumnElement[bool]]]


@dataclass(frozen=True)
class Meant:
    """What a word names. `texts` is itself, or the ids that begin with it where none is equal to it."""

    text: str
    texts: Sequence[str] = ()
    host: str = ""
    alert_ids: Sequence[int] = ()
    incident_ids: Sequence[int] = ()
    traces: Sequence[str] = ()
    named_traces: Sequence[str] = ()
    run_pks: Sequence[int] = ()
    run_ids: Sequence[str] = ()


def resolve(session: Session, text: str) -> Meant:
    """What the word names: an id, the beginning of one, `alert:12`, `incident:12`, a fingerprint or a host."""
    kind, pk = _numbered(text)
    if kind is not None:
        return _around(session, text, [], {pk} if kind is Alert else set(), {pk} if kind is Incident else set())
    if len(text) < TEXT_MIN_CHARS:
        return Meant(text)
    meant = _around(session, text, [text], set(), set())
    if not _names_anything(session, meant) and len(text) >= PREFIX_MIN_CHARS and text.isascii():
        begun = _beginning_with(session, text)
        if begun:
            return _around(session, text, begun, set(), set())
    return meant


def ways(table: type[Base], meant: Meant) -> list[ColumnElement[bool]]:
    """Conditions of which every row of the table that is found meets one; never none."""
    find = _WAYS.get(table)
    return (find(meant) if find else []) or [false()]


def can_search(table: type[Base]) -> bool:
    """Whether rows of the table can be found by a word at all."""
    return table in _WAYS


def _numbered(text: str) -> tuple[type[Base] | None, int]:
    name, colon, number = text.partition(":")
    is_number = number.isascii() and number.isdecimal() and len(number) <= len(str(ID_MAX))
    kind = NUMBERED.get(name) if colon and is_number and int(number) <= ID_MAX else None
    return kind, int(number) if kind else 0


def _around(
    session: Session, text: str, texts: Sequence[str], alert_ids: set[int], incident_ids: set[int]
) -> Meant:
    """What belongs to these texts, alerts and incidents, up to MEANT_MAX of each."""
    host = host_key(text) if texts else ""
    if texts:
        alert_ids |= set(session.scalars(select(Alert.id).where(Alert.fingerprint.in_(texts)).limit(MEANT_MAX)))
    if incident_ids:
        joined = select(Alert.id).where(Alert.incident_id.in_(incident_ids)).order_by(Alert.received_at.desc())
        alert_ids |= set(session.scalars(joined.limit(MEANT_MAX)))
    named = {*texts, *_traces_of_runs(session, texts), *_traces_of_deliveries(session, texts)} - {""}
    # Other alerts of the webhooks that brought a named alert are not meant.
    traces = named | _traces_of_alerts(session, alert_ids)
    if named:
        touched = select(AlertHistory.alert_id).where(AlertHistory.trace_id.in_(named)).distinct()
        alert_ids |= set(session.scalars(touched.order_by(AlertHistory.alert_id.desc()).limit(MEANT_MAX)))
    if host:
        of_host = (
            select(Alert.id, Alert.trace_id)
            .where(Alert.hostname == host, Alert.hostname != "")
            .order_by(Alert.received_at.desc())
            .limit(MEANT_MAX)
        )
        for pk, trace_id in session.execute(of_host):
            alert_ids.add(pk)
            traces.add(trace_id)
    if alert_ids:
        theirs = select(Alert.incident_id).where(Alert.id.in_(alert_ids), Alert.incident_id.is_not(None))
        incident_ids |= {pk for pk in session.scalars(theirs.distinct()) if pk is not None}
    traces -= {""}
    runs = _runs_of(session, texts, traces, incident_ids)
    return Meant(
        text=text,
        texts=texts,
        host=host,
        alert_ids=sorted(alert_ids),
        incident_ids=sorted(incident_ids),
        traces=sorted(traces),
        named_traces=sorted(named),
        run_pks=[pk for pk, _ in runs],
        run_ids=[run_id for _, run_id in runs],
    )


def _traces_of_runs(session: Session, texts: Sequence[str]) -> set[str]:
    """The traces of the runs that are named, and of the deliveries that they took."""
    if not texts:
        return set()
    runs = session.execute(
        select(PipelineRun.id, PipelineRun.trace_id)
        .where(or_(PipelineRun.run_id.in_(texts), PipelineRun.flow_run_id.in_(texts)))
        .limit(MEANT_MAX)
    ).all()
    took = (
        select(Delivery.trace_id)
        .join(RunDelivery, RunDelivery.delivery_id == Delivery.id)
        .where(RunDelivery.run_id.in_([run.id for run in runs]))
        .order_by(RunDelivery.delivery_id.desc())
        .limit(MEANT_MAX)
    )
    return {*(run.trace_id for run in runs), *session.scalars(took)}


def _traces_of_deliveries(session: Session, texts: Sequence[str]) -> set[str]:
    if not texts:
        return set()
    named = or_(Delivery.delivery_id.in_(texts), Delivery.sender_delivery_id.in_(texts))
    return set(session.scalars(select(Delivery.trace_id).where(named).limit(MEANT_MAX)))


def _traces_of_alerts(session: Session, alert_ids: Collection[int]) -> set[str]:
    """The newest of them all, whichever alert has most."""
    return {row.trace_id for row in trail.history_of_alerts(session, alert_ids, limit=MEANT_MAX)}


def _runs_of(
    session: Session, texts: Sequence[str], traces: Collection[str], incident_ids: Collection[int]
) -> list[tuple[int, str]]:
    """The runs that are named, are of these traces, took a delivery of one, or are of these incidents."""
    took = (
        select(RunDelivery.run_id)
        .join(Delivery, Delivery.id == RunDelivery.delivery_id)
        .where(Delivery.trace_id.in_(traces))
        .order_by(RunDelivery.run_id.desc())
        .limit(MEANT_MAX)
    )
    conditions = [
        PipelineRun.run_id.in_(texts),
        PipelineRun.flow_run_id.in_(texts),
        PipelineRun.alert_fingerprint.in_(texts),
        PipelineRun.trace_id.in_(traces),
        PipelineRun.id.in_(set(session.scalars(took)) if traces else ()),
        PipelineRun.incident_id.in_(incident_ids),
    ]
    found: dict[int, str] = {}
    for condition in conditions:
        some = select(PipelineRun.id, PipelineRun.run_id).where(condition).order_by(PipelineRun.id.desc())
        rows = session.execute(some.limit(MEANT_MAX))
        found.update((row.id, row.run_id) for row in rows)
    newest = sorted(found.items(), reverse=True)
    return newest[:MEANT_MAX]


def _names_anything(session: Session, meant: Meant) -> bool:
    if meant.alert_ids or meant.run_pks or len(meant.traces) > 1:
        return True
    looked_at = (CheckRun.hostname, CheckRun.trace_id, Delivery.trace_id, AuditEntry.actor)
    return any(
        session.scalar(select(column).where(column == meant.text).limit(1)) is not None for column in looked_at
    )


_IDS: tuple[InstrumentedAttribute[Any], ...] = (
    PipelineRun.run_id,
    PipelineRun.flow_run_id,
    PipelineRun.trace_id,
    Delivery.delivery_id,
    Delivery.trace_id,
    AlertHistory.trace_id,
    CheckRun.trace_id,
    Alert.fingerprint,
)


def _beginning_with(session: Session, text: str) -> list[str]:
    found = {
        each
        for column in _IDS
        for each in session.scalars(select(column).where(begins(column, text)).distinct().limit(BEGINNINGS_MAX))
    }
    return sorted(found)[:BEGINNINGS_MAX]


def begins(column: InstrumentedAttribute[Any], text: str) -> ColumnElement[bool]:
    """The column's text begins with this ASCII one. As a range as well: not every LIKE goes along an index."""
    return and_(
        column >= text, column < text[:-1] + chr(ord(text[-1]) + 1), column.startswith(text, autoescape=True)
    )


def _alerts(meant: Meant) -> list[ColumnElement[bool]]:
    kind, pk = _numbered(meant.text)
    if kind is Incident:
        return [Alert.incident_id == pk]
    touched = select(AlertHistory.alert_id).where(AlertHistory.trace_id.in_(meant.named_traces))
    return [
        *_one_of(Alert.id, meant.alert_ids),
        *_host(Alert.hostname, meant),
        *([Alert.id.in_(touched)] if meant.named_traces else []),
    ]


def _incidents(meant: Meant) -> list[ColumnElement[bool]]:
    return _one_of(Incident.id, meant.incident_ids)


def _history(meant: Meant) -> list[ColumnElement[bool]]:
    if meant.texts:  # a trace's own entries, not all of the alerts that it touched
        named = select(Alert.id).where(Alert.fingerprint.in_(meant.texts))
        return [*_one_of(AlertHistory.trace_id, meant.traces), AlertHistory.alert_id.in_(named)]
    return _one_of(AlertHistory.alert_id, meant.alert_ids)


def _deliveries(meant: Meant) -> list[ColumnElement[bool]]:
    return [
        *_one_of(Delivery.trace_id, meant.traces),
        *_one_of(Delivery.delivery_id, meant.texts),
        *_one_of(Delivery.sender_delivery_id, meant.texts),
    ]


def _checks(meant: Meant) -> list[ColumnElement[bool]]:
    hosts = dict.fromkeys([*meant.texts, meant.host])
    return [
        *_one_of(CheckRun.trace_id, meant.traces),
        *_one_of(CheckRun.alert_id, meant.alert_ids),
        *(CheckRun.hostname == host for host in hosts if host),
    ]


def _analyses(meant: Meant) -> list[ColumnElement[bool]]:
    return [
        *_one_of(AnalysisRun.incident_id, meant.incident_ids),
        *_one_of(AnalysisRun.pipeline_run_id, meant.run_ids),
        *_one_of(AnalysisRun.trace_id, meant.traces),
    ]


def _notifications(meant: Meant) -> list[ColumnElement[bool]]:
    return [
        *_one_of(Notification.incident_id, meant.incident_ids),
        *_one_of(Notification.run_id, meant.run_ids),
        *_one_of(Notification.sender_run_id, meant.run_ids),
        *_one_of(Notification.trace_id, meant.traces),
        *_one_of(Notification.idempotency_key, meant.texts),
    ]


def _runs(meant: Meant) -> list[ColumnElement[bool]]:
    return _one_of(PipelineRun.id, meant.run_pks)


def _stages(meant: Meant) -> list[ColumnElement[bool]]:
    return _one_of(StageExecution.pipeline_run_id, meant.run_pks)


def _audit(meant: Meant) -> list[ColumnElement[bool]]:
    kind, pk = _numbered(meant.text)
    if kind is None:
        return _one_of(AuditEntry.actor, meant.texts)
    return [and_(AuditEntry.object_type == kind.__tablename__, AuditEntry.object_id == str(pk))]


def _named(column: InstrumentedAttribute[str]) -> Ways:
    """Tables of a few rows: any part of the name will do."""
    return lambda meant: [column.icontains(meant.text, autoescape=True)] if meant.text else []


def _host(column: InstrumentedAttribute[str], meant: Meant) -> list[ColumnElement[bool]]:
    # Said to the database as the index says it, which holds no empty ones.
    return [and_(column == meant.host, column != "")] if meant.host else []


def _one_of(column: InstrumentedAttribute[Any], values: Sequence[Any]) -> list[ColumnElement[bool]]:
    return [column.in_(values)] if values else []


_WAYS: dict[Any, Ways] = {
    Incident: _incidents,
    Alert: _alerts,
    AlertHistory: _history,
    Delivery: _deliveries,
    PipelineRun: _runs,
    StageExecution: _stages,
    CheckRun: _checks,
    AnalysisRun: _analyses,
    Notification: _notifications,
    NotificationChannel: _named(NotificationChannel.name),
    IntelligenceProvider: _named(IntelligenceProvider.name),
    PipelineDefinition: _named(PipelineDefinition.name),
    AuditEntry: _audit,
}
