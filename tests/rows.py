"""Rows for tests that look at what is stored, without the ingest that would write them."""

from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from storage.alerts import add_history
from storage.tables import Alert, Incident
from storage.tables.base import utc_now
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus, Severity

_numbers = count(1)


def add_incident(session: Session, **given: Any) -> Incident:
    """An open incident of a group of its own, in whatever is not given."""
    fields = {
        "title": "Disk full on db-1",
        "status": IncidentStatus.OPEN,
        "severity": Severity.WARNING,
        "group_key": f"group-{next(_numbers)}",
        "started_at": utc_now(),
    }
    incident = Incident(**(fields | given))
    session.add(incident)
    session.flush()
    return incident


def add_alert(session: Session, **given: Any) -> Alert:
    """A firing alert of an identity of its own, in whatever is not given."""
    fields = {
        "fingerprint": f"fingerprint-{next(_numbers)}",
        "source": "generic",
        "name": "Disk full",
        "severity": Severity.WARNING,
        "status": AlertStatus.FIRING,
        "started_at": utc_now(),
        "trace_id": "trace-1",
    }
    alert = Alert(**(fields | given))
    session.add(alert)
    session.flush()
    if given.get("trace_id"):
        add_history(session, [{"alert_id": alert.id, "event": AlertEvent.CREATED, "trace_id": given["trace_id"]}])
    return alert
