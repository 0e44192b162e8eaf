"""Opening, joining, reopening and resolving incidents."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from storage.tables import Alert, Incident
from storage.tables.base import utc_now
from storage.vocabulary import LIVE_INCIDENT, AlertStatus, IncidentStatus, Severity

# Groups are locked by bucket: a body of 5,000 groups must not need 5,000 of PostgreSQL's lock slots.
LOCK_BUCKETS = 256
LOCK_SPACE = 0x57434B  # "WCK": keeps our advisory locks apart from others in the database


def lock_groups(session: Session, group_keys: Iterable[str]) -> None:
    """Let one transaction at a time work on these groups. SQLite has one writer anyway."""
    if session.get_bind().dialect.name != "postgresql":
        return
    buckets = sorted({int(hashlib.sha256(key.encode()).hexdigest(), 16) % LOCK_BUCKETS for key in group_keys})
    if buckets:
        # Sorted, so that two transactions cannot each wait for the other.
        session.execute(
            text("SELECT pg_advisory_xact_lock(:space, bucket) FROM unnest(CAST(:buckets AS int[])) AS bucket"),
            {"space": LOCK_SPACE, "buckets": buckets},
        )


def find_joinable(
    session: Session, group_key: str, *, reopen_window: timedelta, started_at: datetime
) -> Incident | None:
    """The live incident of a group, else the last one if it ended within the reopen window before the start."""
    last = session.scalar(
        select(Incident)
        .where(Incident.group_key == group_key)
        .order_by(Incident.status.in_(LIVE_INCIDENT).desc(), Incident.id.desc())
        .limit(1)
    )
    if last is None or last.status in LIVE_INCIDENT:
        return last
    is_recent = last.resolved_at is not None and last.resolved_at >= started_at - reopen_window
    return last if last.status is IncidentStatus.RESOLVED and is_recent else None


def reopen(incident: Incident, *, started_at: datetime) -> None:
    """A new episode of a resolved incident."""
    incident.status = IncidentStatus.OPEN
    incident.episode += 1
    incident.started_at = started_at
    incident.acknowledged_at = None
    incident.resolved_at = None


def acknowledge(incident: Incident) -> None:
    """Somebody works on it."""
    if incident.status is IncidentStatus.OPEN:
        incident.status = IncidentStatus.ACKNOWLEDGED
        incident.acknowledged_at = utc_now()


def resolve(incident: Incident, *, resolved_at: datetime) -> None:
    """Its last alert has ended."""
    incident.status = IncidentStatus.RESOLVED
    incident.resolved_at = resolved_at


def firing_severities(session: Session, incident_ids: Iterable[int]) -> dict[int, Severity]:
    """The highest severity among the firing alerts of each incident; none for one without any."""
    rows = session.execute(
        select(Alert.incident_id, Alert.severity, func.count())
        .where(Alert.incident_id.in_(list(incident_ids)), Alert.status == AlertStatus.FIRING)
        .group_by(Alert.incident_id, Alert.severity)
    )
    highest: dict[int, Severity] = {}
    for incident_id, severity, _ in rows:
        if incident_id is not None:
            highest[incident_id] = max(highest.get(incident_id, severity), severity, key=lambda s: s.rank)
    return highest
