"""Reading and locking alerts; views of incidents for analysis and messages."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, insert, or_, select
from sqlalchemy.orm import Session, defer

from storage.pages import Place, kinds_of, newest, tested_last
from storage.records import AlertView, IncidentView
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import LIVE_INCIDENT, AlertStatus, IncidentStatus, Severity

CHUNK = 1000
ALERTS_SHOWN = 50
BY_CONCERN = case({severity: -severity.rank for severity in Severity}, value=Alert.severity)
# Left in the database where alerts are listed: a sender may put megabytes into them.
LONG_FIELDS = (defer(Alert.raw_payload), defer(Alert.annotations), defer(Alert.description))


def lock_alerts(
    session: Session, source: str, *, fingerprints: Iterable[str], vendor_ids: Iterable[str] = ()
) -> list[Alert]:
    """The stored alerts of a source with these fingerprints or vendor ids, locked until the transaction ends.

    The caller holds the locks of their groups, so that no two transactions wait for each other's alerts.
    """
    return [
        alert
        for identities in _identities(fingerprints, vendor_ids)
        for alert in session.scalars(
            select(Alert).where(Alert.source == source, identities).order_by(Alert.id).with_for_update()
        )
    ]


def joined_groups(
    session: Session, source: str, *, fingerprints: Iterable[str], vendor_ids: Iterable[str] = ()
) -> set[str]:
    """The keys of the groups whose incidents these alerts belong to at present."""
    return {
        group_key
        for identities in _identities(fingerprints, vendor_ids)
        for group_key in session.scalars(
            select(Incident.group_key)
            .join(Alert, Alert.incident_id == Incident.id)
            .where(Alert.source == source, identities)
            .distinct()
        )
    }


def _identities(fingerprints: Iterable[str], vendor_ids: Iterable[str]) -> Iterator[ColumnElement[bool]]:
    for column, values in ((Alert.fingerprint, fingerprints), (Alert.vendor_id, vendor_ids)):
        wanted = sorted(set(values))
        for start in range(0, len(wanted), CHUNK):
            yield column.in_(wanted[start : start + CHUNK])


def firing_alerts(session: Session, *, source: str) -> list[Alert]:
    """The alerts of a source that fire; for sources of ours, which have few."""
    return list(session.scalars(select(Alert).where(Alert.source == source, Alert.status == AlertStatus.FIRING)))


def known_alerts(session: Session, *, source: str, fingerprints: Iterable[str]) -> dict[str, Alert]:
    """The stored alerts of a source with these fingerprints, by them; not locked."""
    return {
        alert.fingerprint: alert
        for identities in _identities(fingerprints, ())
        for alert in session.scalars(select(Alert).where(Alert.source == source, identities))
    }


def add_history(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write history rows, given as column values."""
    if rows:
        session.execute(insert(AlertHistory), list(rows))


def view_incidents(session: Session, incident_ids: Iterable[int]) -> dict[int, IncidentView]:
    """Incidents by id, each with its first alerts by concern and start."""
    wanted = sorted(set(incident_ids))
    views: dict[int, IncidentView] = {}
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        alerts, counts = _first_alerts(session, chunk), count_alerts(session, chunk)
        for incident in session.scalars(select(Incident).where(Incident.id.in_(chunk))):
            views[incident.id] = _view(incident, alerts[incident.id], counts[incident.id])
    return views


def _first_alerts(session: Session, incident_ids: Sequence[int]) -> dict[int, list[Alert]]:
    place = func.row_number().over(
        partition_by=Alert.incident_id, order_by=(Alert.status, BY_CONCERN, Alert.started_at, Alert.id)
    )
    ranked = select(Alert.id, place.label("place")).where(Alert.incident_id.in_(incident_ids)).subquery("ranked")
    rows = session.scalars(
        select(Alert)
        .join(ranked, ranked.c.id == Alert.id)
        .where(ranked.c.place <= ALERTS_SHOWN)
        .order_by(ranked.c.place)
    )
    found: dict[int, list[Alert]] = defaultdict(list)
    for alert in rows:
        found[alert.incident_id or 0].append(alert)
    return found


def count_alerts(
    session: Session, incident_ids: Sequence[int]
) -> dict[int, list[tuple[Severity, AlertStatus, int]]]:
    """How many alerts of each severity and status these incidents have; empty for one without any."""
    rows = session.execute(
        select(Alert.incident_id, Alert.severity, Alert.status, func.count())
        .where(Alert.incident_id.in_(incident_ids))
        .group_by(Alert.incident_id, Alert.severity, Alert.status)
    )
    found: dict[int, list[tuple[Severity, AlertStatus, int]]] = defaultdict(list)
    for incident_id, severity, status, count in rows:
        found[incident_id or 0].append((severity, status, count))
    return found


def _view(
    incident: Incident, alerts: Sequence[Alert], counts: Sequence[tuple[Severity, AlertStatus, int]]
) -> IncidentView:
    by_severity: dict[str, int] = {}
    for severity, _, count in counts:
        by_severity[severity.value] = by_severity.get(severity.value, 0) + count
    ended_by = "" if incident.status in LIVE_INCIDENT else author_of(incident, incident.status)
    return IncidentView(
        id=incident.id,
        title=incident.title,
        status=incident.status,
        severity=incident.severity,
        description=incident.description,
        episode=incident.episode,
        started_at=incident.started_at,
        resolved_at=incident.resolved_at,
        environment=incident.environment,
        alert_count=sum(count for *_, count in counts),
        firing_alert_count=sum(count for _, status, count in counts if status is AlertStatus.FIRING),
        severity_counts=by_severity,
        truncated_alerts=incident.truncated_alerts,
        alerts=[view_alert(alert) for alert in alerts],
        created_at=incident.created_at,
        closed_at=incident.closed_at,
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=author_of(incident, IncidentStatus.ACKNOWLEDGED) if incident.acknowledged_at else "",
        ended_by=ended_by,
        # What was written of an earlier episode stays with the incident.
        closing_summary=incident.summary if ended_by else "",
    )


def author_of(incident: Incident, status: IncidentStatus) -> str:
    """Who moved it to that status last; empty where nobody did, but its alerts or its sender."""
    moves = [move for move in incident.details.get("transitions", []) if move.get("to") == status]
    return str(moves[-1].get("author", "")) if moves else ""


def view_alert(alert: Alert) -> AlertView:
    """A record of an alert's row."""
    return AlertView(
        id=alert.id,
        source=alert.source,
        fingerprint=alert.fingerprint,
        name=alert.name,
        status=alert.status,
        severity=alert.severity,
        description=alert.description,
        labels=alert.labels,
        annotations=alert.annotations,
        started_at=alert.started_at,
        ended_at=alert.ended_at,
    )


def list_alerts(
    session: Session,
    *,
    statuses: Collection[AlertStatus] = (),
    severities: Collection[Severity] = (),
    source: str = "",
    name: str = "",
    trace_id: str = "",
    incident_id: int | None = None,
    since: datetime | None = None,
    after: Place | None = None,
    limit: int,
) -> list[Alert]:
    """Alerts without their long fields, newest first by when they were first received; `name` is a part of it."""
    conditions = matching(source=source, name=name, trace_id=trace_id)
    if incident_id is not None:
        conditions = [Alert.incident_id == incident_id, *map(tested_last, conditions)]
    if since is not None:
        conditions.append(Alert.received_at >= since)
    kinds = kinds_of(
        Alert.status,
        Alert.severity,
        statuses=statuses,
        severities=severities,
        all_statuses=AlertStatus,
    )
    if kinds and (trace_id or incident_id is not None):
        conditions, kinds = [*conditions, tested_last(or_(*kinds))], []
    return newest(
        session,
        Alert,
        order=(Alert.received_at, Alert.id),
        conditions=conditions,
        kinds=kinds,
        options=LONG_FIELDS,
        after=after,
        limit=limit,
    )


def matching(*, source: str = "", name: str = "", trace_id: str = "") -> list[ColumnElement[bool]]:
    """Conditions on alerts; an empty one asks for nothing. SQLite knows capitals of ASCII letters only."""
    conditions: list[ColumnElement[bool]] = []
    if source:
        conditions.append(Alert.source == source)
    if name:
        conditions.append(Alert.name.icontains(name, autoescape=True))
    if trace_id:
        traced = select(AlertHistory.alert_id).where(AlertHistory.trace_id == trace_id)
        conditions = [Alert.id.in_(traced), *map(tested_last, conditions)]
    return conditions


def first_alerts(session: Session, incident_id: int, *, limit: int) -> list[Alert]:
    """The first alerts of an incident by concern and start, without their long fields."""
    return list(
        session.scalars(
            select(Alert)
            .where(Alert.incident_id == incident_id)
            .order_by(Alert.status, BY_CONCERN, Alert.started_at, Alert.id)
            .limit(limit)
            .options(*LONG_FIELDS)
        )
    )
