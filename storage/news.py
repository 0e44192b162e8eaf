"""What has happened to an incident since a channel was last told of it."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from storage.alerts import BY_CONCERN, view_alert
from storage.notifications import ClaimedNotification
from storage.records import News
from storage.tables import Alert, AlertHistory, Incident, Notification
from storage.tables.base import utc_now
from storage.vocabulary import AlertEvent, AlertStatus, NotificationReason, NotificationStatus, Severity

SHOWN_JOINED = 10


def find_news(session: Session, message: ClaimedNotification) -> News:
    """What the channel of this message does not know yet of its incident."""
    written_at = func.coalesce(Notification.claimed_at, Notification.created_at)
    last = session.execute(
        select(
            func.max(Notification.sent_at).label("sent_at"),
            func.max(written_at).label("written_at"),
            func.max(func.coalesce(Notification.knew_until, written_at)).label("knew_until"),
        ).where(
            Notification.channel == message.channel,
            Notification.incident_id == message.incident_id,
            Notification.episode == message.episode,
            Notification.status == NotificationStatus.SENT,
        )
    ).one()
    news = News(at=utc_now(), since=last.sent_at)
    if message.reason is NotificationReason.ESCALATED:
        return _raised(session, message, news, since=last.written_at)
    if last.written_at is None:
        return news
    return _moved(session, message, news, since=last.written_at, knew_until=last.knew_until)


def _moved(
    session: Session, message: ClaimedNotification, news: News, *, since: datetime, knew_until: datetime
) -> News:
    has_joined = (
        Alert.incident_id == message.incident_id,
        Alert.status == AlertStatus.FIRING,
        Alert.joined_at > knew_until,
    )
    joined = session.scalars(
        select(Alert).where(*has_joined).order_by(BY_CONCERN, Alert.started_at, Alert.id).limit(SHOWN_JOINED)
    )
    has_ended = (Alert.status == AlertStatus.RESOLVED, AlertHistory.event == AlertEvent.RESOLVED)
    ended = (
        select(func.count(Alert.id.distinct()))
        .join(AlertHistory, AlertHistory.alert_id == Alert.id)
        .where(Alert.incident_id == message.incident_id, *has_ended, AlertHistory.created_at > since)
    )
    return news.model_copy(
        update={
            "joined": [view_alert(alert) for alert in joined],
            "joined_count": session.scalar(select(func.count()).where(*has_joined)) or 0,
            "ended_count": session.scalar(ended) or 0,
        }
    )


def _raised(session: Session, message: ClaimedNotification, news: News, *, since: datetime | None) -> News:
    """The alert that got worse, where it was not a worse one that joined."""
    level = next(severity for severity in Severity if severity.rank == message.sequence)
    new_severity: ColumnElement[str] = AlertHistory.details["new_severity"].as_string()
    found = session.execute(
        select(Alert, AlertHistory.details)
        .join(AlertHistory, AlertHistory.alert_id == Alert.id)
        .join(Incident, Incident.id == Alert.incident_id)
        .where(
            Incident.id == message.incident_id,
            Alert.status == AlertStatus.FIRING,
            Alert.severity == level,
            AlertHistory.event == AlertEvent.SEVERITY_CHANGED,
            AlertHistory.created_at > (since or Incident.started_at),
            new_severity == level.value,
        )
        .order_by(AlertHistory.id.desc())
        .limit(1)
    ).first()
    if found is None:
        return news.model_copy(update={"level": level})
    alert, details = found
    was = Severity(details["old_severity"])
    return news.model_copy(update={"level": level, "raised": view_alert(alert), "raised_from": was})
