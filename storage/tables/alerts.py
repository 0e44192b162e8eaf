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
        # Lists are read newest first, for each pair of status and severity on its own (storage/pages.py).
        Index("ix_incidents_status_severity_created_at", "status", "severity", "created_at"),
        Index("ix_incidents_environment_created_at", "environment", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    status: Mapped[IncidentStatus] = mapped_column(word(IncidentStatus))
    severity: Mapped[Severity] = mapped_column(word(Severity))
    description: Mapped[str] = mapped_column(Text, default="")
    summary: Mapped[str] = mapped_column(Text, default="")
    environment: Mapped[str] = mapped_column(default="production")
    group_key: Mapped[str] = mapped_column(String(128))
    group_label: Mapped[str] = mapped_column(Text, default="")
    episode: Mapped[int] = mapped_column(default=1)
    truncated_alerts: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now, index=True)
    acknowledged_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None] = mapped_column(index=True)
    closed_at: Mapped[datetime | None]
    # `metadata` is taken by SQLAlchemy as an attribute name; the column keeps the seeds' name.
    details: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)


class Alert(Base):
    """One signal from one source, in its present or last episode."""

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("source", "fingerprint"),
        # Lists are read newest first: what is asked for stands before the time, so that the index has the order.
        Index("ix_alerts_status_severity_received_at", "status", "severity", "received_at"),
        Index("ix_alerts_source_received_at", "source", "received_at"),
        Index("ix_alerts_incident_id_received_at", "incident_id", "received_at"),
        Index("ix_alerts_incident_id_joined_at", "incident_id", "joined_at"),
        Index(
            "ix_alerts_hostname_received_at",
            "hostname",
            "received_at",
            postgresql_where=text("hostname <> ''"),
            sqlite_where=text("hostname <> ''"),
        ),
        Index(
            "ix_alerts_vendor_id",
            "vendor_id",
            postgresql_where=text("vendor_id <> ''"),
            sqlite_where=text("vendor_id <> ''"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(256), index=True)
    source: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(Text)
    severity: Mapped[Severity] = mapped_column(word(Severity))
    raw_severity: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[AlertStatus] = mapped_column(word(AlertStatus))
    description: Mapped[str] = mapped_column(Text, default="")
    labels: Mapped[dict[str, str]] = mapped_column(default=dict)
    annotations: Mapped[dict[str, str]] = mapped_column(default=dict)
    # The host that its labels name, to look for (storage/hostname.py); empty where they name none.
    hostname: Mapped[str] = mapped_column(String(255), default="")
    raw_payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    environment: Mapped[str] = mapped_column(default="production")
    episode: Mapped[str] = mapped_column(Text, default="")
    # The sender's second key, by which some of its events name the alert (Opsgenie's alertId beside the alias).
    vendor_id: Mapped[str] = mapped_column(String(256), default="")
    # When the sender's last event of this episode happened, as it says; older ones are stale.
    occurred_at: Mapped[datetime | None]
    # When the newest delivery that it is made of was received; an older one that names no time is stale.
    last_received_at: Mapped[datetime | None]
    started_at: Mapped[datetime] = mapped_column()
    ended_at: Mapped[datetime | None]
    received_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    # That of the last delivery; the history has them all.
    trace_id: Mapped[str] = mapped_column(String(64), default="")
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    # When it joined its incident or fired anew in it, by our clock: what was said before did not speak of it.
    joined_at: Mapped[datetime | None]
    # Set only to let a new alert and its new incident be written together; never read.
    incident: Mapped[Incident | None] = relationship(lazy="raise")


class AlertHistory(Base):
    """What happened to an alert, in order."""

    __tablename__ = "alert_history"
    __table_args__ = (
        Index("ix_alert_history_alert_id_id", "alert_id", "id"),
        Index("ix_alert_history_figures", "created_at", "event"),
        Index("ix_alert_history_event_created_at", "event", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"))
    event: Mapped[AlertEvent] = mapped_column(word(AlertEvent))
    old_status: Mapped[str] = mapped_column(String(24), default="")
    new_status: Mapped[str] = mapped_column(String(24), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    trace_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
