"""AI providers and their executions (seeds: Intelligence App)."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, BigId, utc_now, word
from storage.vocabulary import AnalysisStatus, FailureKind


class IntelligenceProvider(Base):
    """A configured provider. At most one is active, kept so by the database."""

    __tablename__ = "intelligence_providers"
    __table_args__ = (
        Index(
            "uq_intelligence_providers_active",
            "is_active",
            unique=True,
            postgresql_where=text("is_active"),
            sqlite_where=text("is_active"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    provider: Mapped[str] = mapped_column(String(32))
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    is_active: Mapped[bool] = mapped_column(default=False)
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class AnalysisRun(Base):
    """One execution of a provider about one incident, or an answer given again.

    While it is RUNNING, and where it was cut off, `total_tokens` is what it may cost at most: so two that run
    at once stay within one budget. An answer that was `cached_from_id` cost nothing. `failure_kind` says why it
    failed; where the local rules stood in (`fallback_used`), why they had to.
    """

    __tablename__ = "analysis_runs"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    trace_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    pipeline_run_id: Mapped[str] = mapped_column(String(36), default="", index=True)
    provider: Mapped[str] = mapped_column(String(32))
    provider_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    model_name: Mapped[str] = mapped_column(String(128), default="")
    status: Mapped[AnalysisStatus] = mapped_column(word(AnalysisStatus), index=True)
    error_message: Mapped[str] = mapped_column(Text, default="")
    failure_kind: Mapped[FailureKind | None] = mapped_column(word(FailureKind))
    fallback_used: Mapped[bool] = mapped_column(default=False)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    input_summary: Mapped[str] = mapped_column(Text, default="")
    checker_output_ref: Mapped[str] = mapped_column(String(128), default="")
    recommendations: Mapped[list[Any]] = mapped_column(default=list)
    recommendations_count: Mapped[int] = mapped_column(default=0)
    summary: Mapped[str] = mapped_column(Text, default="")
    probable_cause: Mapped[str] = mapped_column(Text, default="")
    confidence: Mapped[float | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    total_tokens: Mapped[int | None]
    # A digest of provider, model and everything that was asked; empty where no answer may be given again.
    cache_key: Mapped[str] = mapped_column(String(64), default="", index=True)
    cached_from_id: Mapped[int | None] = mapped_column(BigId)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    duration_ms: Mapped[float] = mapped_column(default=0.0)
