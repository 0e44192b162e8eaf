"""Alerts, the incidents they belong to, and the history of both (seeds: Alerts App)."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storage.tables.base import Base, BigId, utc_now, word
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus, Severity


class Incident(Base):
    """Alerts worked together. At most one live incident per group, kept so by the database."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index(
            "uq_incidents_live_group",
            "group_key",
            unique=True,
            postgresql_where=text("status IN ('open', 'acknowledged')"),
            sqlite_where=text("status IN ('open', 'acknowledged')"),
        ),
        Index("ix_incidents_group_key_id", "group_key", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    status: Mapped[IncidentStatus] = mapped_column(word(IncidentStatus), index=True)
    severity: Mapped[Severity] = mapped_column(word(Severity), index=True)
    description: Mapped[str] = mapped_column(Text, default="")
    summary: Mapped[str] = mapped_column(Text, default="")
    environment: Mapped[str] = mapped_column(default="production")
    group_key: Mapped[str] = mapped_column(String(128))
    group_label: Mapped[str] = mapped_column(Text, default="")
    episode: Mapped[int] = mapped_column(default=1)
    truncated_alerts: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    acknowledged_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    # `metadata` is taken by SQLAlchemy as an attribute name; the column keeps the seeds' name.
    details: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)


class Alert(Base):
    """One signal from one source, in its present or last episode."""

    __tablename__ = "alerts"
    __table_args__ = (UniqueConstraint("source", "fingerprint"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(256), index=True)
    source: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(Text)
    severity: Mapped[Severity] = mapped_column(word(Severity))
    raw_severity: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[AlertStatus] = mapped_column(word(AlertStatus), index=True)
    description: Mapped[str] = mapped_column(Text, default="")
    labels: Mapped[dict[str, str]] = mapped_column(default=dict)
    annotations: Mapped[dict[str, str]] = mapped_column(default=dict)
    raw_payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    environment: Mapped[str] = mapped_column(default="production")
    episode: Mapped[str] = mapped_column(Text, default="")
    started_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    received_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    trace_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    # Set only to let a new alert and its new incident be written together; never read.
    incident: Mapped[Incident | None] = relationship(lazy="raise")


class AlertHistory(Base):
    """What happened to an alert, in order."""

    __tablename__ = "alert_history"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"), index=True)
    event: Mapped[AlertEvent] = mapped_column(word(AlertEvent))
    old_status: Mapped[str] = mapped_column(String(24), default="")
    new_status: Mapped[str] = mapped_column(String(24), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
