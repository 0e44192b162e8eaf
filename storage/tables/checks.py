"""Health check executions (seeds: Checkers App)."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, BigId, utc_now, word
from storage.vocabulary import CheckStatus


class CheckRun(Base):
    """One execution of one checker on one host."""

    __tablename__ = "check_runs"
    __table_args__ = (
        Index("ix_check_runs_figures", "executed_at", "checker_name", "status"),
        Index("ix_check_runs_hostname_executed_at", "hostname", "executed_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    checker_name: Mapped[str] = mapped_column(String(64), index=True)
    hostname: Mapped[str] = mapped_column(String(255))
    status: Mapped[CheckStatus] = mapped_column(word(CheckStatus), index=True)
    message: Mapped[str] = mapped_column(Text, default="")
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str] = mapped_column(Text, default="")
    warning_threshold: Mapped[float | None]
    critical_threshold: Mapped[float | None]
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alerts.id", ondelete="SET NULL"), index=True)
    duration_ms: Mapped[float] = mapped_column(default=0.0)
    executed_at: Mapped[datetime] = mapped_column(default=utc_now)
    trace_id: Mapped[str] = mapped_column(String(64), default="", index=True)


class CheckState(Base):
    """What is held to be true of one thing that is checked, and the results that may change it.

    `status` is what people were told or would be; the counts are of the latest results in a row that were at
    least as bad as their name says. An unknown result neither adds to the other counts nor ends them.
    """

    __tablename__ = "check_states"
    __table_args__ = (UniqueConstraint("hostname", "checker_name", "target"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    hostname: Mapped[str] = mapped_column(String(255))
    checker_name: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(512), default="")
    status: Mapped[CheckStatus] = mapped_column(word(CheckStatus), default=CheckStatus.OK)
    bad_in_a_row: Mapped[int] = mapped_column(default=0)
    critical_in_a_row: Mapped[int] = mapped_column(default=0)
    unknown_in_a_row: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
