"""Messages that must wait though nothing is wrong with them: for their turn, or until their channel is well."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.notifications import UNSENT
from storage.redaction import redact_text
from storage.storable import storable_text
from storage.tables import Notification
from storage.tables.base import utc_now
from storage.vocabulary import NotificationStatus


def hold(row: Notification, *, why: str, due_at: datetime) -> None:
    """Leave a message, which nobody has begun to send, for later, and say why."""
    row.status = NotificationStatus.PENDING
    row.error_message = redact_text(storable_text(why))
    row.due_at = due_at


def postpone(row: Notification, *, due_at: datetime) -> None:
    """Leave a message, which nobody has begun to send, for its turn; nothing has gone wrong."""
    if row.status is NotificationStatus.SENDING:
        row.status = NotificationStatus.PENDING
    row.due_at = due_at


def hurry(session: Session, channel: str) -> None:
    """Let what was held back or failed go at once: its channel is well again, and its pace holds for them.

    What is being worked on is left alone.
    """
    held = (
        select(Notification)
        .where(
            Notification.channel == channel,
            Notification.status.in_((NotificationStatus.PENDING, NotificationStatus.FAILED)),
            Notification.error_message != "",
            Notification.due_at > utc_now(),
        )
        .order_by(Notification.id)
        .with_for_update(skip_locked=True)
    )
    for row in session.scalars(held):
        row.due_at = utc_now()


def count_unsent(session: Session, channel: str) -> int:
    """How many messages to a channel wait, or are on their way."""
    unsent = select(func.count()).where(Notification.channel == channel, Notification.status.in_(UNSENT))
    return session.scalar(unsent) or 0


def give_up(row: Notification, *, why: str) -> None:
    """A dead letter, without another try, and why."""
    row.status = NotificationStatus.DEAD
    row.error_type = "GivenUp"
    row.error_message = redact_text(storable_text(why))
