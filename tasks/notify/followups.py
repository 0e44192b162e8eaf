"""Telling people again of what goes on: that an incident still fires, and that more alerts have joined it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from storage import channels, database, followups, notifications
from storage.followups import DueFollowUp, Terms
from storage.notifications import NewNotification
from storage.records import ChannelConfig, IncidentChange
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, Severity

# Messages of one look. What is beyond that comes with the next.
LIMIT = 500


def follow_up() -> int:
    """Reserve the reminders and updates that are due, and take back those that events have overtaken.

    Nobody has them in hand, so the relay gives them to a run. Returns how many were reserved.
    """
    with database.get().read() as session:
        if not _has_work(session):
            return 0
    with database.get().write() as session:
        followups.lock_looking(session)
        for row in followups.find_overtaken(session):
            followups.take_back(row)
        session.flush()
        due = followups.find_due(session, _terms(session), limit=LIMIT)
        _reserve(session, due)
    return len(due)


def terms_of(channel: ChannelConfig, *, now: datetime) -> Terms:
    """When and of what the channel is told again, by its policy. Pure."""
    policy = channel.policy
    wanted = [severity for severity in Severity if severity.rank >= policy.min_severity.rank]
    return Terms(
        channel=channel.name,
        driver=channel.driver,
        remind_before=_before(now, policy.repeat_interval_seconds),
        update_before=_before(now, policy.update_interval_seconds),
        severities=wanted if NotificationReason.FIRING in policy.on else [],
    )


def _has_work(session: Session) -> bool:
    return bool(followups.find_due(session, _terms(session), limit=1) or followups.find_overtaken(session))


def _terms(session: Session) -> list[Terms]:
    now = utc_now()
    return [terms_of(channel, now=now) for channel in channels.active_channels(session)]


def _before(now: datetime, interval_seconds: float) -> datetime | None:
    return now - timedelta(seconds=interval_seconds) if interval_seconds else None


def _reserve(session: Session, due: Iterable[DueFollowUp]) -> None:
    """Each on behalf of the run whose findings it shows again."""
    by_run: dict[tuple[str, str], list[NewNotification]] = defaultdict(list)
    for each in due:
        change = IncidentChange(
            incident_id=each.incident_id, episode=each.episode, reason=each.reason, sequence=each.sequence
        )
        new = NewNotification(channel=each.channel, driver=each.driver, change=change)
        by_run[each.run_id, each.trace_id].append(new)
    for (run_id, trace_id), wanted in by_run.items():
        notifications.reserve(session, wanted, run_id=run_id, trace_id=trace_id)
