"""What people do to an incident: acknowledge, resolve, close, note. What its status forbids is refused by name.

Each locks the incident's group, as ingest does, and then its row: a person and an alert that ends at the
same moment act one after the other, each on what the other left.
"""

from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import incidents
from storage.redaction import redact_text
from storage.tables import Incident
from storage.tables.base import utc_now
from storage.vocabulary import IncidentStatus


class Action(StrEnum):
    """What a person may do."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    CLOSE = "close"
    NOTE = "note"


ALLOWED = {
    IncidentStatus.OPEN: (Action.ACKNOWLEDGE, Action.RESOLVE, Action.CLOSE, Action.NOTE),
    IncidentStatus.ACKNOWLEDGED: (Action.RESOLVE, Action.CLOSE, Action.NOTE),
    IncidentStatus.RESOLVED: (Action.CLOSE, Action.NOTE),
    IncidentStatus.CLOSED: (Action.NOTE,),
}
DONE = {Action.ACKNOWLEDGE: "acknowledged", Action.RESOLVE: "resolved", Action.CLOSE: "closed"}


class IncidentNotFoundError(Exception):
    """There is no incident of that id."""


class TransitionError(Exception):
    """The incident's status does not allow it. Carries that status and what it does allow."""

    def __init__(self, incident: Incident, action: Action) -> None:
        self.status = incident.status
        self.allowed = ALLOWED[incident.status]
        super().__init__(
            f"incident {incident.id} is {self.status} and cannot be {DONE[action]};"
            f" allowed: {', '.join(self.allowed)}"
        )


def acknowledge(session: Session, incident_id: int, *, author: str) -> tuple[Incident, bool]:
    """Somebody works on it. False where somebody did already: a second click is no error, and changes nothing."""
    incident = _lock(session, incident_id)
    if incident.status is IncidentStatus.ACKNOWLEDGED:
        return incident, False
    _check(incident, Action.ACKNOWLEDGE)
    incidents.acknowledge(incident, author=author)
    session.flush()
    return incident, True


def resolve(session: Session, incident_id: int, *, author: str, summary: str = "") -> Incident:
    """It is over, whatever its alerts say; a summary replaces the one before. Its alerts stay as they are."""
    incident = _lock(session, incident_id)
    _check(incident, Action.RESOLVE)
    incidents.resolve(incident, resolved_at=None, author=author)
    incident.summary = redact_text(summary) or incident.summary
    session.flush()
    return incident


def close(session: Session, incident_id: int, *, author: str) -> Incident:
    """Nothing is left to do about it: its group's next episode opens a new incident."""
    incident = _lock(session, incident_id)
    _check(incident, Action.CLOSE)
    incidents.close(incident, author=author)
    session.flush()
    return incident


def add_note(session: Session, incident_id: int, *, author: str, text: str) -> Incident:
    """Keep somebody's words, whatever its status."""
    incident = _lock(session, incident_id)
    incidents.add_note(incident, text=text, author=author, at=utc_now())
    session.flush()
    return incident


def _check(incident: Incident, action: Action) -> None:
    if action not in ALLOWED[incident.status]:
        raise TransitionError(incident, action)


def _lock(session: Session, incident_id: int) -> Incident:
    """The incident as it is now, held until the transaction ends."""
    group_key = session.scalar(select(Incident.group_key).where(Incident.id == incident_id))
    if group_key is not None:
        incidents.lock_groups(session, [group_key])
    incident = session.scalar(
        select(Incident)
        .where(Incident.id == incident_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if incident is None:
        raise IncidentNotFoundError(f"no incident {incident_id}")
    return incident
