"""Ending an alert by hand, where its sender tells no end, or tells it too late.

It is what ingest does with an alert that ends: the alert's own identity and its incident's group are locked as
ingest locks them, at once, so that a webhook of the same moment comes before or after it, never between. What was
received before changes nothing any more; what fires later begins anew (tasks/ingest/episodes.py).
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import incidents
from storage.alerts import add_history
from storage.records import IncidentChange
from storage.tables import Alert, Incident
from storage.tables.base import utc_now
from storage.vocabulary import LIVE_INCIDENT, AlertEvent, AlertStatus, NotificationReason

BY = "ended_by"


class AlertNotFoundError(Exception):
    """There is no alert of that id."""


class AlertEndError(Exception):
    """The alert cannot be ended as it stands; the message says why."""


def end_alert(session: Session, alert_id: int, *, author: str) -> list[IncidentChange]:
    """The alert is resolved, and its incident if it was the last that fired. Returns what to tell."""
    alert = _lock(session, alert_id)
    if alert.status is not AlertStatus.FIRING:
        raise AlertEndError(f"alert {alert_id} is {alert.status} already")
    now = utc_now()
    alert.status = AlertStatus.RESOLVED
    alert.ended_at = max(now, alert.started_at)
    alert.last_received_at = max(now, alert.last_received_at or now)
    session.flush()
    add_history(
        session,
        [
            {
                "alert_id": alert.id,
                "event": AlertEvent.RESOLVED,
                "old_status": AlertStatus.FIRING.value,
                "new_status": AlertStatus.RESOLVED.value,
                "details": {BY: author},
                "created_at": now,
            }
        ],
    )
    return _settle(session, alert.incident_id, author=author)


def _settle(session: Session, incident_id: int | None, *, author: str) -> list[IncidentChange]:
    """The incident's severity is that of what still fires; it is resolved when nothing does."""
    if incident_id is None:
        return []
    incident = session.get_one(Incident, incident_id, populate_existing=True)
    is_live = incident.status in LIVE_INCIDENT
    highest = incidents.firing_severities(session, [incident_id]).get(incident_id)
    if highest is not None:
        if is_live:
            incident.severity = highest
            session.flush()
        return []
    if is_live:
        incidents.resolve(incident, resolved_at=None, author=author)
        session.flush()
    reason = NotificationReason.RESOLVED
    return [IncidentChange(incident_id=incident.id, episode=incident.episode, reason=reason)]


def _lock(session: Session, alert_id: int) -> Alert:
    """The alert as it is now, held until the transaction ends, with its incident's group."""
    known = session.execute(
        select(Alert.source, Alert.fingerprint, Incident.group_key)
        .outerjoin(Incident, Incident.id == Alert.incident_id)
        .where(Alert.id == alert_id)
    ).one_or_none()
    if known is None:
        raise AlertNotFoundError(f"no alert {alert_id}")
    source, fingerprint, group_key = known
    incidents.lock_groups(session, {f"{source}/{fingerprint}", *([group_key] if group_key else [])})
    alert = session.scalars(
        select(Alert).where(Alert.id == alert_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    now_key = session.scalar(select(Incident.group_key).where(Incident.id == alert.incident_id))
    if now_key != group_key:
        raise AlertEndError(f"alert {alert_id} has just moved to another incident; look at it again")
    return alert
