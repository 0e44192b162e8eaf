"""The outbox and send log: one row per (channel, incident, episode, reason, sequence), written before sending.

A message belongs to the run that has it in hand (`sender_run_id`) until that run is over. What is then still
unsent and due is taken over by a later run.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import and_, exists, func, or_, select, tuple_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from storage import tallies
from storage.records import IncidentChange
from storage.redaction import redact_text
from storage.storable import storable_text
from storage.tables import Alert, Incident, Notification
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
# Why a message was discarded by itself: it comes back when its alarm does.
UNBEGUN = "its alarm was not delivered"
UNBEGUN_TYPE = "Unbegun"


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
    """Write a pending row for each message that has none yet, in the hands of a run or of nobody.

    One that was discarded since its alarm had not been delivered waits once more.
    """
    now, wanted = utc_now(), list(wanted)
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
            "waiting_since": now,
            "created_at": now,
            "updated_at": now,
        }
        # Two runs that reserve the same ones do so in the same order, or each might wait for the other.
        for each in sorted(wanted, key=lambda each: (each.change.incident_id, each.channel))
    ]
    if rows:
        session.execute(insert_if_absent(session, Notification), rows)
    later = {_key(each.channel, each.change) for each in wanted if each.change.reason not in ALARMS}
    for row in _unbegun(session, {incident_id for _, incident_id, *_ in later}):
        if _key(row.channel, row) in later:
            row.status, row.error_type, row.error_message = NotificationStatus.PENDING, "", ""
            row.due_at = row.waiting_since = now
            row.attempts, row.sender_run_id = 0, sender_run_id


def _key(channel: str, about: IncidentChange | Notification) -> tuple[str, int, int, NotificationReason, int]:
    return channel, about.incident_id, about.episode, about.reason, about.sequence


def _unbegun(session: Session, incident_ids: Collection[int]) -> list[Notification]:
    """What was discarded by itself about these incidents, locked."""
    keys = sorted(incident_ids)
    found: list[Notification] = []
    for start in range(0, len(keys), CHUNK):
        discarded = select(Notification).where(
            Notification.incident_id.in_(keys[start : start + CHUNK]),
            Notification.status == NotificationStatus.DISCARDED,
            Notification.error_type == UNBEGUN_TYPE,
        )
        found += session.scalars(discarded.order_by(Notification.id).with_for_update())
    return found


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


def unsent_about(session: Session, incident_ids: Collection[int]) -> list[Notification]:
    """The unsent messages about these incidents, over all channels, in order."""
    keys = sorted(set(incident_ids))
    found: list[Notification] = []
    for start in range(0, len(keys), CHUNK):
        chunk = Notification.incident_id.in_(keys[start : start + CHUNK])
        found += session.scalars(select(Notification).where(chunk, Notification.status.in_(UNSENT)))
    return sorted(found, key=lambda row: row.id)


def lock_unchanged(session: Session, rows: Sequence[Notification], *, run_id: str) -> set[int]:
    """Lock those that are still unsent, in a run's hands, and in no newer try since they were read: their ids."""
    found: set[int] = set()
    for start in range(0, len(rows), CHUNK):
        known = [(row.id, row.claim) for row in rows[start : start + CHUNK]]
        locked = session.scalars(
            select(Notification)
            .where(
                tuple_(Notification.id, Notification.claim).in_(known),
                Notification.sender_run_id == run_id,
                Notification.status.in_(UNSENT),
            )
            .order_by(Notification.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        found |= {row.id for row in locked}
    return found


def keep_on_their_way(session: Session, pks: Collection[int], *, run_id: str, lost_at: datetime) -> None:
    """Let nobody take for lost before `lost_at` what a run has in hand and a late sender is still sending."""
    session.execute(
        update(Notification)
        .where(
            Notification.id.in_(sorted(pks)),
            Notification.sender_run_id == run_id,
            Notification.status == NotificationStatus.SENDING,
        )
        .values(due_at=lost_at)
        .execution_options(synchronize_session=False)
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


def note_known(session: Session, pks: Collection[int]) -> None:
    """Write down of which alerts messages that were claimed can tell: of those that can be seen by now.

    The moment alone would not do: an alert may have joined before it in a transaction that is not committed yet.
    """
    newest = select(func.max(Alert.joined_at)).where(Alert.incident_id == Notification.incident_id)
    session.execute(
        update(Notification)
        .where(Notification.id.in_(sorted(pks)))
        .values(knew_until=newest.scalar_subquery())
        .execution_options(synchronize_session=False)
    )


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


def discard_unbegun(row: Notification) -> None:
    """Not to be sent, unless its alarm is after all."""
    discard(row, why=UNBEGUN)
    row.error_type = UNBEGUN_TYPE


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
    is_mine = isinstance(result, CursorResult) and result.rowcount == 1
    if is_mine and (status := values["status"]) is not NotificationStatus.PENDING:
        tallies.add(session, tallies.NOTIFICATIONS, what=claimed.channel, outcome=str(status))
    return is_mine
