"""Another channel is told what a channel cannot be."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from storage import channels, incidents, notifications
from storage.notifications import ClaimedNotification, NewNotification
from storage.records import ChannelConfig, IncidentChange
from storage.vocabulary import ALARMS, NotificationReason, Severity
from tasks.notify.channel_alert import subject_of

STOOD_IN_FOR = (NotificationReason.FIRING, NotificationReason.ESCALATED)


def to_fallback(session: Session, message: ClaimedNotification, *, sender_run_id: str) -> str:
    """Let the channel's fallback have an alarm that waits. Returns its name, or nothing."""
    return _stand_in(session, message, sender_run_id, others=())


def to_anybody(session: Session, message: ClaimedNotification, *, sender_run_id: str) -> str:
    """Let another channel have an alarm that its own will never get: its fallback, else one that has not heard.

    Those come first that want such messages; but better one that does not than nobody.
    """
    incident = incidents.by_ids(session, [message.incident_id]).get(message.incident_id)
    severity = incident.severity if incident else Severity.CRITICAL
    active = channels.active_channels(session)
    return _stand_in(
        session, message, sender_run_id, others=sorted(active, key=lambda each: not _wants(each, severity))
    )


def _wants(channel: ChannelConfig, severity: Severity) -> bool:
    return NotificationReason.FIRING in channel.policy.on and severity.rank >= channel.policy.min_severity.rank


def _stand_in(
    session: Session, message: ClaimedNotification, sender_run_id: str, *, others: Sequence[ChannelConfig]
) -> str:
    if message.reason not in STOOD_IN_FOR:
        return ""
    alarms = notifications.of_episodes(session, {(message.incident_id, message.episode)}, reasons=ALARMS)
    excluded = {message.channel, subject_of(session, message.incident_id)}
    fallback = _fallback_of(session, message.channel)
    if fallback and fallback.name not in excluded and notifications.is_begun(alarms, channel=fallback.name):
        return fallback.name
    heard = {row.channel for row in alarms}
    candidates = [*([fallback] if fallback else []), *others]
    chosen = next((each for each in candidates if each.name not in excluded | heard), None)
    if chosen is None:
        return ""
    change = IncidentChange(
        incident_id=message.incident_id,
        episode=message.episode,
        reason=message.reason,
        sequence=message.sequence,
    )
    notifications.reserve(
        session,
        [NewNotification(channel=chosen.name, driver=chosen.driver, change=change, instead_of=message.channel)],
        run_id=message.run_id,
        trace_id=message.trace_id,
        sender_run_id=sender_run_id,
    )
    return chosen.name


def _fallback_of(session: Session, name: str) -> ChannelConfig | None:
    """The active channel that stands in for this one."""
    own = channels.find(session, name)
    fallback = channels.find(session, channels.record_of(own).policy.fallback) if own else None
    return channels.record_of(fallback) if fallback and fallback.is_active else None
