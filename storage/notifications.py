"""The outbox and send log: one row per (channel, incident, episode, reason, sequence), written before sending.

A message belongs to the run that has it in hand (`sender_run_id`) until that run is over. What is then still
unsent and due is taken over by a later run.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import and_, exists, or_, select, tuple_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from storage import channels
from storage.records import IncidentChange
from storage.redaction import redact_text
from storage.storable import storable_text
from storage.tables import Alert, Incident, Notification, NotificationChannel, PipelineRun
from storage.tables.base import utc_now
from storage.upsert import insert_if_absent
from storage.vocabulary import (
    ALARMS,
    LIVE_INCIDENT,
    AlertStatus,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
)

UNSENT = (NotificationStatus.PENDING, NotificationStatus.SENDING, NotificationStatus.FAILED)
CHUNK = 500


@dataclass(frozen=True)
class NewNotification:
    """A message to be sent. `instead_of` names the channel for which this one stands in."""

    channel: str
    driver: str
    change: IncidentChange
    instead_of: str = ""


@dataclass(frozen=True)
class ClaimedNotification:
    """A message that this process is to send, at `send_at` or later. `run_id` is the run that it comes from."""

    pk: int
    claim: int
    attempts: int
    channel: str
    incident_id: int
    episode: int
    reason: NotificationReason
    sequence: int
    idempotency_key: str
    run_id: str
    trace_id: str
    instead_of: str
    send_at: datetime


@dataclass(frozen=True)
class Said:
    """What a try said, or would have: kept so that people can look it up."""

    title: str = ""
    message: str = ""


def reserve(
    session: Session,
    wanted: Iterable[NewNotification],
    *,
    run_id: str = "",
    trace_id: str = "",
    sender_run_id: str | None = None,
) -> None:
    """Write a pending row for each message that has none yet, in the hands of a run or of nobody."""
    now = utc_now()
    rows = [
        {
            "channel": each.channel,
            "driver": each.driver,
            "incident_id": each.change.incident_id,
            "episode": each.change.episode,
            "reason": each.change.reason,
            "sequence": each.change.sequence,
            "status": NotificationStatus.PENDING,
            "idempotency_key": str(uuid4()),
            "run_id": run_id,
            "sender_run_id": sender_run_id,
            "trace_id": trace_id,
            "instead_of": each.instead_of,
            "due_at": now,
            "created_at": now,
            "updated_at": now,
        }
        # Two runs that reserve the same ones do so in the same order, or each might wait for the other.
        for each in sorted(wanted, key=lambda each: (each.change.incident_id, each.channel))
    ]
    if rows:
        session.execute(insert_if_absent(session, Notification), rows)


def of_episodes(
    session: Session,
    episodes: Collection[tuple[int, int]],
    *,
    reasons: Collection[NotificationReason] = tuple(NotificationReason),
) -> list[Notification]:
    """The messages of these reasons about these (incident, episode)s, over all channels, in order."""
    keys = sorted(set(episodes))
    found: list[Notification] = []
    for start in range(0, len(keys), CHUNK):
        chunk = tuple_(Notification.incident_id, Notification.episode).in_(keys[start : start + CHUNK])
        found += session.scalars(select(Notification).where(chunk, Notification.reason.in_(reasons)))
    return sorted(found, key=lambda row: row.id)


def of_run(session: Session, run_id: str) -> list[Notification]:
    """The messages that come from a run or are in its hands, in order."""
    mine = or_(Notification.run_id == run_id, Notification.sender_run_id == run_id)
    return list(session.scalars(select(Notification).where(mine).order_by(Notification.id)))


def unsent_in_hand(session: Session, run_id: str) -> list[Notification]:
    """The messages that a run has to send, in order."""
    return list(
        session.scalars(
            select(Notification)
            .where(Notification.sender_run_id == run_id, Notification.status.in_(UNSENT))
            .order_by(Notification.id)
            .execution_options(populate_existing=True)
        )
    )


def behind_others(session: Session, run_id: str) -> set[int]:
    """The unsent messages in a run's hands that must wait: an earlier one of the same lane is in other hands."""
    earlier = aliased(Notification)
    rows = session.scalars(
        select(Notification.id).where(
            Notification.sender_run_id == run_id,
            Notification.status.in_(UNSENT),
            exists().where(
                earlier.channel == Notification.channel,
                earlier.incident_id == Notification.incident_id,
                earlier.id < Notification.id,
                earlier.status.in_(UNSENT),
                or_(earlier.sender_run_id.is_(None), earlier.sender_run_id != run_id),
            ),
        )
    )
    return set(rows)


def find_waiting(session: Session, *, now: datetime, limit: int, given_up_before: datetime) -> list[Notification]:
    """Unsent messages that are due and in nobody's hands, locked; none that must wait for an earlier one.

    Those to a channel that is switched off wait too, save those from before `given_up_before`, whose time is over.
    What another transaction has locked is left out.
    """
    is_off = exists().where(NotificationChannel.name == Notification.channel, ~NotificationChannel.is_active)
    earlier = aliased(Notification)
    is_held = exists().where(PipelineRun.run_id == Notification.sender_run_id, PipelineRun.completed_at.is_(None))
    earlier_is_held = exists().where(
        PipelineRun.run_id == earlier.sender_run_id, PipelineRun.completed_at.is_(None)
    )
    must_wait = exists().where(
        earlier.channel == Notification.channel,
        earlier.incident_id == Notification.incident_id,
        earlier.id < Notification.id,
        earlier.status.in_(UNSENT),
        or_(earlier.due_at > now, earlier_is_held),
    )
    return list(
        session.scalars(
            select(Notification)
            .where(
                Notification.status.in_(UNSENT),
                Notification.due_at <= now,
                or_(Notification.created_at < given_up_before, ~is_off),
                ~is_held,
                ~must_wait,
            )
            .order_by(Notification.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=Notification)
        )
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
    found = of_episodes(session, {(change.incident_id, change.episode) for change in changes})
    told = {(row.incident_id, row.episode, row.reason) for row in found}
    return [
        change
        for change in changes
        if (change.incident_id, change.episode, change.reason) not in told
        and (change.reason is firing or (change.incident_id, change.episode, firing) in told)
    ]


def claim(row: Notification, *, send_at: datetime, lost_at: datetime) -> ClaimedNotification:
    """Take a message in hand, which the caller has locked through its run's fence, for one try.

    Not before `lost_at` does a later run take it for lost; its own run does at once when it is resumed.
    """
    row.status = NotificationStatus.SENDING
    row.claimed_at = utc_now()
    row.due_at = lost_at
    row.claim += 1
    row.attempts += 1
    return as_claimed(row, send_at=send_at)


def as_claimed(row: Notification, *, send_at: datetime | None = None) -> ClaimedNotification:
    """The message as it crosses rooms."""
    return ClaimedNotification(
        pk=row.id,
        claim=row.claim,
        attempts=row.attempts,
        channel=row.channel,
        incident_id=row.incident_id,
        episode=row.episode,
        reason=row.reason,
        sequence=row.sequence,
        idempotency_key=row.idempotency_key,
        run_id=row.run_id,
        trace_id=row.trace_id,
        instead_of=row.instead_of,
        send_at=send_at or row.due_at,
    )


def revive(session: Session, *, run_id: str) -> None:
    """Let a run send its unsent messages and dead letters once more: somebody has started it again.

    A channel that is being left alone is tried again too.
    """
    session.execute(
        update(Notification)
        .where(
            Notification.run_id == run_id,
            Notification.status.in_((NotificationStatus.DEAD, *UNSENT)),
            or_(
                Notification.sender_run_id.is_(None),
                Notification.sender_run_id == run_id,
                ~exists().where(
                    PipelineRun.run_id == Notification.sender_run_id, PipelineRun.completed_at.is_(None)
                ),
            ),
        )
        .values(
            status=NotificationStatus.FAILED,
            sender_run_id=run_id,
            attempts=0,
            due_at=utc_now(),
            updated_at=utc_now(),
        )
        .execution_options(synchronize_session=False)
    )
    revived = select(Notification.channel).where(Notification.sender_run_id == run_id).distinct()
    channels.wake(session, session.scalars(revived))


def mark_sent(session: Session, message: ClaimedNotification, *, said: Said, provider_id: str) -> bool:
    """Record that the destination has it. False when another try took the message over."""
    return _finish(
        session,
        message,
        status=NotificationStatus.SENT,
        title=said.title,
        message=said.message,
        provider_id=storable_text(provider_id),
        sent_at=utc_now(),
        error_type="",
        error_message="",
    )


def mark_failed(
    session: Session,
    message: ClaimedNotification,
    *,
    said: Said,
    error_type: str,
    error: str,
    due_at: datetime | None,
) -> bool:
    """Record why it did not go out, and when it is to be tried again: without that it is a dead letter."""
    status = NotificationStatus.DEAD if due_at is None else NotificationStatus.FAILED
    return _finish(
        session,
        message,
        status=status,
        title=said.title,
        message=said.message,
        error_type=error_type,
        error_message=redact_text(storable_text(error)),
        **({} if due_at is None else {"due_at": due_at}),
    )


def put_back(session: Session, message: ClaimedNotification, *, due_at: datetime) -> bool:
    """Leave a claimed message for later, as if it had not been claimed: nothing was tried."""
    return _finish(
        session, message, status=NotificationStatus.PENDING, attempts=message.attempts - 1, due_at=due_at
    )


def discard(row: Notification, *, why: str) -> None:
    """Not to be sent any more, and why."""
    row.status = NotificationStatus.DISCARDED
    row.error_message = redact_text(storable_text(why))


def is_begun(rows: Sequence[Notification], *, channel: str) -> bool:
    """Whether a channel has an alarm of an episode, or may still get one; `rows` are the episode's."""
    hopeful = (NotificationStatus.SENT, *UNSENT)
    return any(row.channel == channel and row.reason in ALARMS and row.status in hopeful for row in rows)


def _finish(session: Session, claimed: ClaimedNotification, /, **values: object) -> bool:
    result = session.execute(
        update(Notification)
        .where(
            Notification.id == claimed.pk,
            Notification.claim == claimed.claim,
            Notification.status == NotificationStatus.SENDING,
        )
        .values(**values, updated_at=utc_now())
    )
    return isinstance(result, CursorResult) and result.rowcount == 1
