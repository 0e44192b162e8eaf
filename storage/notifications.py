"""The outbox and send log: one row per (channel, incident, episode, reason), written before sending."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import and_, or_, select, tuple_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from storage.records import ChannelConfig, IncidentChange
from storage.tables import Alert, Incident, Notification
from storage.tables.base import utc_now
from storage.upsert import insert_if_absent
from storage.vocabulary import (
    LIVE_INCIDENT,
    AlertStatus,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
)

UNSENT = (NotificationStatus.PENDING, NotificationStatus.SENDING, NotificationStatus.FAILED)
CHUNK = 500


@dataclass(frozen=True)
class ClaimedNotification:
    """A message that this process is to send now."""

    pk: int
    claim: int
    channel: str
    incident_id: int
    episode: int
    reason: NotificationReason
    idempotency_key: str


def reserve(
    session: Session,
    pairs: Iterable[tuple[ChannelConfig, IncidentChange]],
    *,
    run_id: str,
    trace_id: str,
) -> None:
    """Write a pending row for each message that has none yet."""
    rows = [
        {
            "channel": channel.name,
            "driver": channel.driver,
            "incident_id": change.incident_id,
            "episode": change.episode,
            "reason": change.reason,
            "status": NotificationStatus.PENDING,
            "idempotency_key": str(uuid4()),
            "run_id": run_id,
            "trace_id": trace_id,
            "created_at": utc_now(),
            "updated_at": utc_now(),
        }
        for channel, change in pairs
    ]
    if rows:
        session.execute(insert_if_absent(session, Notification), rows)


def of_changes(session: Session, changes: Iterable[IncidentChange]) -> list[Notification]:
    """The rows about these changes, over all channels, in the order in which they were reserved."""
    keys = sorted({(c.incident_id, c.episode, c.reason) for c in changes})
    found: list[Notification] = []
    identity = tuple_(Notification.incident_id, Notification.episode, Notification.reason)
    for start in range(0, len(keys), CHUNK):
        found += session.scalars(select(Notification).where(identity.in_(keys[start : start + CHUNK])))
    return sorted(found, key=lambda row: row.id)


def of_run(session: Session, run_id: str) -> list[Notification]:
    """The messages that a run reserved, in order."""
    return list(
        session.scalars(select(Notification).where(Notification.run_id == run_id).order_by(Notification.id))
    )


def untold(session: Session, *, source: str, prefix: str, since: datetime) -> list[IncidentChange]:
    """What nobody was told of the alerts of a source whose fingerprint begins so: that one fires, or that one is
    over which people were told of. A run that breaks off between finding and telling leaves that behind.
    """
    is_firing = and_(Incident.status.in_(LIVE_INCIDENT), Alert.status == AlertStatus.FIRING)
    is_over = and_(
        Incident.status == IncidentStatus.RESOLVED,
        Incident.resolved_at >= since,
        Alert.status == AlertStatus.RESOLVED,
    )
    rows = session.execute(
        select(Incident.id, Incident.episode, Incident.status)
        .join(Alert, Alert.incident_id == Incident.id)
        .where(
            Alert.source == source, Alert.fingerprint.startswith(prefix, autoescape=True), or_(is_firing, is_over)
        )
        .distinct()
        .order_by(Incident.id)
    )
    firing, resolved = NotificationReason.FIRING, NotificationReason.RESOLVED
    changes = [
        IncidentChange(incident_id=pk, episode=episode, reason=firing if status in LIVE_INCIDENT else resolved)
        for pk, episode, status in rows
    ]
    began = [change.model_copy(update={"reason": firing}) for change in changes]
    told = {(row.incident_id, row.episode, row.reason) for row in of_changes(session, [*changes, *began])}
    return [
        change
        for change in changes
        if (change.incident_id, change.episode, change.reason) not in told
        and (change.reason is firing or (change.incident_id, change.episode, firing) in told)
    ]


def told_channels(session: Session, changes: Iterable[IncidentChange]) -> set[tuple[str, int, int]]:
    """(channel, incident, episode) of each firing message that a channel has, for these incidents."""
    firing = [c.model_copy(update={"reason": NotificationReason.FIRING}) for c in changes]
    return {
        (row.channel, row.incident_id, row.episode)
        for row in of_changes(session, firing)
        if row.status is NotificationStatus.SENT
    }


def claim(rows: Sequence[Notification]) -> list[ClaimedNotification]:
    """Take the unsent ones among these rows, which the caller has locked through the run's fence."""
    claimed = []
    for row in rows:
        if row.status not in UNSENT:
            continue
        row.status = NotificationStatus.SENDING
        row.claim += 1
        row.attempts += 1
        claimed.append(
            ClaimedNotification(
                pk=row.id,
                claim=row.claim,
                channel=row.channel,
                incident_id=row.incident_id,
                episode=row.episode,
                reason=row.reason,
                idempotency_key=row.idempotency_key,
            )
        )
    return claimed


def revive_dead(session: Session, *, run_id: str) -> None:
    """Give the dead letters of a run another life: somebody has started the run again."""
    session.execute(
        update(Notification)
        .where(Notification.run_id == run_id, Notification.status == NotificationStatus.DEAD)
        .values(status=NotificationStatus.FAILED, updated_at=utc_now())
    )


def mark_sent(session: Session, message: ClaimedNotification, *, title: str, provider_id: str) -> bool:
    """Record that the destination has it. False when another try took the message over."""
    return _finish(
        session,
        message,
        status=NotificationStatus.SENT,
        title=title,
        provider_id=provider_id,
        sent_at=utc_now(),
        error_type="",
        error_message="",
    )


def mark_failed(
    session: Session, message: ClaimedNotification, *, title: str, error_type: str, error: str, is_dead: bool
) -> bool:
    """Record why it did not go out; `is_dead` makes it a dead letter."""
    status = NotificationStatus.DEAD if is_dead else NotificationStatus.FAILED
    return _finish(session, message, status=status, title=title, error_type=error_type, error_message=error)


def _finish(session: Session, message: ClaimedNotification, **values: object) -> bool:
    result = session.execute(
        update(Notification)
        .where(
            Notification.id == message.pk,
            Notification.claim == message.claim,
            Notification.status == NotificationStatus.SENDING,
        )
        .values(**values, updated_at=utc_now())
    )
    return isinstance(result, CursorResult) and result.rowcount == 1
