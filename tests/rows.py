"""Rows for tests that look at what is stored, without the ingest that would write them."""

from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import update
from sqlalchemy.orm import Session

from storage import inbox
from storage.alerts import add_history
from storage.inbox import NewDelivery
from storage.tables import Alert, Delivery, Incident, Notification
from storage.tables.base import utc_now
from storage.vocabulary import (
    AlertEvent,
    AlertStatus,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
    Severity,
)

BODY = b'{"name": "x"}'

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


def add_notification(session: Session, **given: Any) -> int:
    """A dead letter of channel `ops` about an incident of its own, in whatever is not given. Returns its id."""
    fields = {
        "channel": "ops",
        "driver": "generic",
        "incident_id": given.get("incident_id") or add_incident(session).id,
        "episode": 1,
        "reason": NotificationReason.FIRING,
        "status": NotificationStatus.DEAD,
        "idempotency_key": str(uuid4()),
        "trace_id": "trace-1",
        "attempts": 9,
        "title": "[FIRING] warning: Disk full on db-1",
    }
    row = Notification(**(fields | given))
    session.add(row)
    session.flush()
    return row.id


def add_delivery(session: Session, *, body: bytes = BODY, **given: Any) -> str:
    """A delivery that was accepted and then got these columns. Returns its id.

    An empty body is one that is no longer kept: its size stays.
    """
    new = NewDelivery(
        delivery_id=str(uuid4()),
        trace_id="trace-1",
        source="generic",
        pipeline="direct",
        environment="test",
        body=body or BODY,
        sha256="0" * 64,
    )
    inbox.accept(session, [new])
    session.execute(update(Delivery).where(Delivery.delivery_id == new.delivery_id).values(body=body, **given))
    return new.delivery_id
