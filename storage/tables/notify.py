"""Destinations and the messages to them (seeds: Notify App; `notifications` is ours)."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
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
    is_active: Mapped[bool] = mapped_column(default=True, index=True)
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class Notification(Base):
    """One message to one channel: outbox, send log and dead letter in one.

    The row is written before sending. `claim` rises with each try, so that a try that was thought dead
    cannot write over its successor's result. `idempotency_key` goes to the destination with every try.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("channel", "incident_id", "episode", "reason"),
        Index("ix_notifications_status_id", "status", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    channel: Mapped[str] = mapped_column(String(128))
    driver: Mapped[str] = mapped_column(String(32))
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    episode: Mapped[int]
    reason: Mapped[NotificationReason] = mapped_column(word(NotificationReason))
    status: Mapped[NotificationStatus] = mapped_column(word(NotificationStatus))
    idempotency_key: Mapped[str] = mapped_column(String(36), unique=True)
    run_id: Mapped[str] = mapped_column(String(36), default="", index=True)
    trace_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    title: Mapped[str] = mapped_column(Text, default="")
    claim: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    provider_id: Mapped[str] = mapped_column(Text, default="")
    error_type: Mapped[str] = mapped_column(String(128), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    sent_at: Mapped[datetime | None]
