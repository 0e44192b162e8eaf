"""Opening, joining, reopening and resolving incidents."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from storage.tables import Alert, Incident
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, IncidentStatus, Severity

CHUNK = 1000
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


def last_of_groups(session: Session, group_keys: Iterable[str]) -> dict[str, Incident]:
    """The newest incident of each group; the live one, where there is one, since only the newest can live."""
    wanted = sorted(group_keys)
    found: dict[str, Incident] = {}
    for start in range(0, len(wanted), CHUNK):
        newest = (
            select(func.max(Incident.id))
            .where(Incident.group_key.in_(wanted[start : start + CHUNK]))
            .group_by(Incident.group_key)
        )
        rows = session.scalars(select(Incident).where(Incident.id.in_(newest)))
        found.update((incident.group_key, incident) for incident in rows)
    return found


def by_ids(session: Session, ids: Iterable[int]) -> dict[int, Incident]:
    """Incidents by id."""
    wanted = sorted(ids)
    found: dict[int, Incident] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = session.scalars(select(Incident).where(Incident.id.in_(wanted[start : start + CHUNK])))
        found.update((incident.id, incident) for incident in rows)
    return found


def may_reopen(incident: Incident, started_at: datetime, *, window: timedelta) -> bool:
    """Whether an episode that began then belongs to this ended incident rather than to a new one."""
    is_recent = incident.resolved_at is not None and started_at <= incident.resolved_at + window
    return incident.status is IncidentStatus.RESOLVED and is_recent


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


def resolve(incident: Incident, *, resolved_at: datetime | None) -> None:
    """Its last alert has ended, then or now."""
    incident.status = IncidentStatus.RESOLVED
    incident.resolved_at = resolved_at or utc_now()


def firing_severities(session: Session, incident_ids: Iterable[int]) -> dict[int, Severity]:
    """The highest severity among the firing alerts of each incident; none for one without any."""
    rows = session.execute(
        select(Alert.incident_id, Alert.severity)
        .where(Alert.incident_id.in_(list(incident_ids)), Alert.status == AlertStatus.FIRING)
        .group_by(Alert.incident_id, Alert.severity)
    )
    highest: dict[int, Severity] = {}
    for incident_id, severity in rows:
        if incident_id is not None:
            highest[incident_id] = max(highest.get(incident_id, severity), severity, key=lambda s: s.rank)
    return highest
