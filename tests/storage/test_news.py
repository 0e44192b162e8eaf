"""What messages say of people's deeds and of what happened since the last one, on both databases."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from rows import add_alert, add_incident
from sqlalchemy.orm import Session

from storage import incidents, notifications
from storage.alerts import add_history, view_incidents
from storage.database import Database
from storage.news import find_news
from storage.notifications import ClaimedNotification
from storage.records import News
from storage.tables import Alert, Incident, Notification
from storage.tables.base import utc_now
from storage.vocabulary import AlertEvent, AlertStatus, NotificationReason, NotificationStatus, Severity


def ago(minutes: float) -> datetime:
    return utc_now() - timedelta(minutes=minutes)


def message(session: Session, incident: Incident, reason: NotificationReason, **given: Any) -> ClaimedNotification:
    """A message that is to be sent about the incident."""
    fields = {"status": NotificationStatus.PENDING, "channel": "ops", "sequence": 0}
    row = Notification(
        driver="generic",
        incident_id=incident.id,
        episode=incident.episode,
        reason=reason,
        idempotency_key=str(uuid4()),
        **(fields | given),
    )
    session.add(row)
    session.flush()
    return notifications.as_claimed(row)


def tell_firing(session: Session, incident: Incident, *, minutes_ago: float) -> None:
    sent = {"status": NotificationStatus.SENT, "sent_at": ago(minutes_ago), "claimed_at": ago(minutes_ago + 1)}
    message(session, incident, NotificationReason.FIRING, **sent)


def write(session: Session, alert: Alert, event: AlertEvent, *, minutes_ago: float, **details: str) -> None:
    row = {"alert_id": alert.id, "event": event, "created_at": ago(minutes_ago), "details": details}
    add_history(session, [row])


def test_news_are_what_joined_and_ended_since_the_last_message_was_written(database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session)
        tell_firing(session, incident, minutes_ago=10)
        add_alert(session, name="old", incident_id=incident.id, joined_at=ago(20))
        add_alert(session, name="mild", incident_id=incident.id, joined_at=ago(10.5), severity=Severity.INFO)
        add_alert(session, name="bad", incident_id=incident.id, joined_at=ago(1), severity=Severity.CRITICAL)
        for minutes in (15, 5):
            over = add_alert(session, incident_id=incident.id, joined_at=ago(20), status=AlertStatus.RESOLVED)
            write(session, over, AlertEvent.RESOLVED, minutes_ago=minutes)

        news = find_news(session, message(session, incident, NotificationReason.UPDATED))

    assert [alert.name for alert in news.joined] == ["bad", "mild"]
    assert (news.joined_count, news.ended_count) == (2, 1)
    assert news.since is not None
    assert abs((news.at - news.since).total_seconds() - 600) < 60


def test_channel_that_was_told_nothing_has_no_news(database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session)
        tell_firing(session, incident, minutes_ago=10)
        add_alert(session, incident_id=incident.id, joined_at=ago(1))

        news = find_news(session, message(session, incident, NotificationReason.REMINDER, channel="other"))

    assert news == News(at=news.at)


def test_escalation_names_the_alert_that_got_worse(database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session, severity=Severity.CRITICAL, started_at=ago(60))
        tell_firing(session, incident, minutes_ago=10)
        worse = {"old_severity": "info", "new_severity": "critical"}
        for name, minutes in (("long since", 30), ("now", 1)):
            alert = add_alert(session, name=name, incident_id=incident.id, severity=Severity.CRITICAL)
            write(session, alert, AlertEvent.SEVERITY_CHANGED, minutes_ago=minutes, **worse)
        escalated = message(session, incident, NotificationReason.ESCALATED, sequence=Severity.CRITICAL.rank)

        news = find_news(session, escalated)

    assert news.raised is not None
    assert (news.level, news.raised.name, news.raised_from) == (Severity.CRITICAL, "now", Severity.INFO)


def test_escalation_by_a_worse_alert_that_joined_names_none(database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session, severity=Severity.CRITICAL)
        tell_firing(session, incident, minutes_ago=10)
        add_alert(session, incident_id=incident.id, severity=Severity.CRITICAL, joined_at=ago(1))
        known = add_alert(session, incident_id=incident.id, severity=Severity.CRITICAL)
        worse = {"old_severity": "info", "new_severity": "critical"}
        write(session, known, AlertEvent.SEVERITY_CHANGED, minutes_ago=30, **worse)

        news = find_news(session, message(session, incident, NotificationReason.ESCALATED, sequence=2))

    assert (news.level, news.raised, news.raised_from) == (Severity.CRITICAL, None, None)


def test_view_names_who_acknowledged_and_who_ended_the_present_episode(database: Database) -> None:
    def seen(session: Session, incident: Incident) -> tuple[str, str, str]:
        session.flush()
        view = view_incidents(session, [incident.id])[incident.id]
        return view.acknowledged_by, view.ended_by, view.closing_summary

    with database.write() as session:
        incident = add_incident(session)
        incidents.acknowledge(incident, author="ana")
        acknowledged = seen(session, incident)
        incidents.resolve(incident, resolved_at=None, author="bo")
        incident.summary = "Logs rotated."
        resolved = seen(session, incident)
        incidents.reopen(incident, started_at=utc_now())
        reopened = seen(session, incident)
        incidents.resolve(incident, resolved_at=None)
        ended = seen(session, incident)

    assert (acknowledged, resolved) == (("ana", "", ""), ("ana", "bo", "Logs rotated."))
    assert reopened == ended == ("", "", "")
