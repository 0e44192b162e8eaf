"""Destinations and the messages to them (seeds: Notify App; `notifications` is ours)."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, BigId, utc_now, word
from storage.vocabulary import NotificationReason, NotificationStatus


class NotificationChannel(Base):
    """A configured destination. Secrets in `config` may be references (design.md, section 5)."""

    __tablename__ = "notification_channels"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    driver: Mapped[str] = mapped_column(String(32), index=True)
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    policy: Mapped[dict[str, Any]] = mapped_column(default=dict)
    is_active: Mapped[bool] = mapped_column(default=True, index=True)
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class ChannelState(Base):
    """How a channel has fared, by its name: what its limit of messages and its circuit stand on.

    `failures` counts the tries that failed since the last that went well. Until `rests_until` nothing is tried.
    `next_slot_at` is when, at an even pace, the next message would be due.
    """

    __tablename__ = "channel_states"

    channel: Mapped[str] = mapped_column(String(128), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None]
    rests_until: Mapped[datetime | None]
    next_slot_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(Text, default="")
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


UNSENT = text("status IN ('pending', 'sending', 'failed')")


class Notification(Base):
    """One message to one channel: outbox, send log and dead letter in one.

    The row is written before sending. `claim` rises with each try, so that a try that was thought dead
    cannot write over its successor's result. `idempotency_key` goes to the destination with every try.
    `run_id` is the run that it comes from, `sender_run_id` the one that has it in hand; until that is over nobody
    else sends it. `due_at` is when it may be tried next; `waiting_since` when it last became anybody's to send.
    `instead_of` names the channel for which it stands in.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("channel", "incident_id", "episode", "reason", "sequence"),
        Index("ix_notifications_status_id", "status", "id"),
        # The newest of a channel, for the list of channels and that of its messages.
        Index("ix_notifications_channel_created_at", "channel", "created_at"),
        Index("ix_notifications_figures", "created_at", "channel", "status"),
        Index("ix_notifications_due", "due_at", postgresql_where=UNSENT, sqlite_where=UNSENT),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    channel: Mapped[str] = mapped_column(String(128))
    driver: Mapped[str] = mapped_column(String(32))
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    episode: Mapped[int]
    reason: Mapped[NotificationReason] = mapped_column(word(NotificationReason))
    sequence: Mapped[int] = mapped_column(default=0)
    status: Mapped[NotificationStatus] = mapped_column(word(NotificationStatus))
    idempotency_key: Mapped[str] = mapped_column(String(36), unique=True)
    run_id: Mapped[str] = mapped_column(String(36), default="", index=True)
    sender_run_id: Mapped[str | None] = mapped_column(String(36), index=True)
    trace_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    instead_of: Mapped[str] = mapped_column(String(128), default="")
    due_at: Mapped[datetime] = mapped_column(default=utc_now)
    waiting_since: Mapped[datetime] = mapped_column(default=utc_now)
    title: Mapped[str] = mapped_column(Text, default="")
    message: Mapped[str] = mapped_column(Text, default="")
    claim: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    provider_id: Mapped[str] = mapped_column(Text, default="")
    error_type: Mapped[str] = mapped_column(String(128), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    # When the last try began: what it says is no older.
    claimed_at: Mapped[datetime | None]
    # The newest `joined_at` of the incident's alerts that could be seen then: a later one is news to the channel.
    knew_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
