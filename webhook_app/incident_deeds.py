"""What people do to incidents and alerts, with the messages to the channels that were told of them.

The API and the console both do it so. Each is a transaction's part; it raises what storage/transitions.py and
storage/alert_ending.py raise.
"""

from sqlalchemy.orm import Session

from storage import alert_ending, transitions
from storage.records import IncidentChange
from storage.tables import Incident
from storage.vocabulary import NotificationReason
from tasks.notify.outbox import announce


def acknowledge(session: Session, incident_id: int, *, author: str) -> tuple[Incident, bool]:
    """Somebody works on it; False where somebody did already."""
    incident, has_changed = transitions.acknowledge(session, incident_id, author=author)
    if has_changed:
        _announce(session, incident, NotificationReason.ACKNOWLEDGED)
    return incident, has_changed


def resolve(session: Session, incident_id: int, *, author: str, summary: str = "") -> Incident:
    """It is over, whatever its alerts say."""
    incident = transitions.resolve(session, incident_id, author=author, summary=summary)
    _announce(session, incident, NotificationReason.RESOLVED)
    return incident


def close(session: Session, incident_id: int, *, author: str) -> Incident:
    """Nothing is left to do about it."""
    incident = transitions.close(session, incident_id, author=author)
    _announce(session, incident, NotificationReason.RESOLVED)
    return incident


def add_note(session: Session, incident_id: int, *, author: str, text: str) -> Incident:
    """Something to remember."""
    return transitions.add_note(session, incident_id, author=author, text=text)


def end_alert(session: Session, alert_id: int, *, author: str) -> list[IncidentChange]:
    """An alert is over, though its sender has not said so. Returns what became of its incident."""
    changes = alert_ending.end_alert(session, alert_id, author=author)
    if changes:
        announce(session, changes)
    return changes


def _announce(session: Session, incident: Incident, reason: NotificationReason) -> None:
    """Let the channels know that were told of the incident, through the outbox; once, whoever says it first."""
    change = IncidentChange(incident_id=incident.id, episode=incident.episode, reason=reason)
    announce(session, [change])
