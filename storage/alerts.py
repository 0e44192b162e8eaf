"""Reading and locking alerts; views of incidents for analysis and messages."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import case, func, insert, select
from sqlalchemy.orm import Session

from storage.records import AlertView, IncidentView
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertStatus, Severity

CHUNK = 1000
ALERTS_SHOWN = 50
BY_CONCERN = case({severity: -severity.rank for severity in Severity}, value=Alert.severity)


def lock_alerts(session: Session, source: str, fingerprints: Iterable[str]) -> dict[str, Alert]:
    """The stored alerts of these identities by fingerprint, locked until the transaction ends."""
    wanted = sorted(set(fingerprints))
    found: dict[str, Alert] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = session.scalars(
            select(Alert)
            .where(Alert.source == source, Alert.fingerprint.in_(wanted[start : start + CHUNK]))
            .order_by(Alert.fingerprint)
            .with_for_update()
        )
        found.update((alert.fingerprint, alert) for alert in rows)
    return found


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
        alerts, counts = _first_alerts(session, chunk), _counts(session, chunk)
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


def _counts(session: Session, incident_ids: Sequence[int]) -> dict[int, list[tuple[Severity, AlertStatus, int]]]:
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
    )


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
