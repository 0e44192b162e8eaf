"""Messages change hands: from nobody's, or from those of a run that is over, into a run's."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from storage import channels
from storage.notifications import UNSENT
from storage.tables import ChannelState, Notification, NotificationChannel, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import NotificationStatus

LOCK = 0x57434B4E  # "WCKN"


def find_waiting(session: Session, *, now: datetime, limit: int, given_up_before: datetime) -> list[Notification]:
    """Messages that a run may take in hand, locked; none that must wait for an earlier one of its lane.

    What another transaction has locked is left out. One transaction at a time looks, until it ends.
    """
    _take_turn(session)
    return list(
        session.scalars(
            select(Notification)
            .where(_waits(now, given_up_before))
            # What can only be held back must not keep out what can go.
            .order_by(_rests(Notification, now), Notification.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=Notification)
        )
    )


def has_new(session: Session, *, now: datetime, given_up_before: datetime) -> bool:
    """Whether there is a message that a run may take in hand and that none has had: a person's, or retried."""
    new = select(Notification.id).where(Notification.sender_run_id.is_(None), _waits(now, given_up_before))
    return session.scalar(new.limit(1)) is not None


def revive(session: Session, *, run_id: str) -> None:
    """Let a run send its unsent messages and dead letters once more: somebody has started it again.

    A channel that is being left alone is tried again too. What may still be on its way is left to a later run.
    """
    _take_turn(session)
    now = utc_now()
    is_held = exists().where(PipelineRun.run_id == Notification.sender_run_id, PipelineRun.completed_at.is_(None))
    mine = or_(Notification.run_id == run_id, Notification.sender_run_id == run_id)
    is_free = or_(Notification.sender_run_id == run_id, ~is_held)
    is_on_its_way = and_(Notification.status == NotificationStatus.SENDING, Notification.due_at > now)
    wanted = and_(mine, is_free, Notification.status.in_((NotificationStatus.DEAD, *UNSENT)))
    # The channels before the messages, as senders lock them.
    channels.wake(session, session.scalars(select(Notification.channel).where(wanted).distinct()))
    values = {"sender_run_id": run_id, "attempts": 0, "due_at": now, "waiting_since": now, "updated_at": now}
    for which, changed in (
        (is_on_its_way, {"sender_run_id": None}),
        (~is_on_its_way, {"status": NotificationStatus.FAILED, **values}),
    ):
        session.execute(
            update(Notification).where(wanted, which).values(changed).execution_options(synchronize_session=False)
        )


def _take_turn(session: Session) -> None:
    """One transaction at a time: a look that began before another's end would still find its messages free."""
    # SQLite has one writer at a time anyway.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def _waits(now: datetime, given_up_before: datetime) -> ColumnElement[bool]:
    earlier = aliased(Notification)
    must_wait = exists().where(
        earlier.channel == Notification.channel,
        earlier.incident_id == Notification.incident_id,
        earlier.id < Notification.id,
        earlier.status.in_(UNSENT),
        ~_may_go(earlier, now, given_up_before),
    )
    return and_(Notification.status.in_(UNSENT), _may_go(Notification, now, given_up_before), ~must_wait)


def _may_go(row: type[Notification], now: datetime, given_up_before: datetime) -> ColumnElement[bool]:
    """Due and in nobody's hands. To a channel that is switched off, or that rests and has held the message back
    before, only those may from before `given_up_before`: their time is over.
    """
    is_held = exists().where(PipelineRun.run_id == row.sender_run_id, PipelineRun.completed_at.is_(None))
    is_off = exists().where(NotificationChannel.name == row.channel, ~NotificationChannel.is_active)
    is_held_back = or_(is_off, and_(row.error_message != "", _rests(row, now)))
    return and_(row.due_at <= now, ~is_held, or_(row.waiting_since < given_up_before, ~is_held_back))


def _rests(row: type[Notification], now: datetime) -> ColumnElement[bool]:
    return exists().where(ChannelState.channel == row.channel, ChannelState.rests_until > now)
