"""Pipeline runs, their stages, and the definitions they follow (seeds: Orchestration App)."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, BigId, utc_now, word
from storage.vocabulary import RunStatus, RunVia, Stage, StageStatus


class PipelineRun(Base):
    """One execution of a definition.

    It is held under a lease by whoever executes it; `fence` rises with each new holder, and every write of
    an execution names the fence it was given.
    """

    __tablename__ = "pipeline_runs"
    __table_args__ = (
        Index(
            "ix_pipeline_runs_unfinished",
            "lease_expires_at",
            postgresql_where=text("completed_at IS NULL"),
            sqlite_where=text("completed_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    trace_id: Mapped[str] = mapped_column(String(64), index=True)
    run_id: Mapped[str] = mapped_column(String(36), unique=True)
    definition_name: Mapped[str] = mapped_column(String(128), index=True)
    definition_version: Mapped[int] = mapped_column(default=0)
    status: Mapped[RunStatus] = mapped_column(word(RunStatus), index=True)
    current_stage: Mapped[str | None] = mapped_column(String(128))
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    source: Mapped[str] = mapped_column(String(32), default="")
    alert_fingerprint: Mapped[str] = mapped_column(String(256), default="", index=True)
    environment: Mapped[str] = mapped_column(default="production")
    # Config of this run alone, by node type: for every node of the type, before the definition's own keys.
    node_configs: Mapped[dict[str, Any]] = mapped_column(default=dict)
    normalized_payload_ref: Mapped[str] = mapped_column(String(128), default="")
    checker_output_ref: Mapped[str] = mapped_column(String(128), default="")
    intelligence_output_ref: Mapped[str] = mapped_column(String(128), default="")
    notify_output_ref: Mapped[str] = mapped_column(String(128), default="")
    intelligence_fallback_used: Mapped[bool] = mapped_column(default=False)
    total_attempts: Mapped[int] = mapped_column(default=0)
    max_retries: Mapped[int] = mapped_column(default=3)
    last_error_type: Mapped[str] = mapped_column(String(128), default="")
    last_error_message: Mapped[str] = mapped_column(Text, default="")
    last_error_retryable: Mapped[bool] = mapped_column(default=False)
    via: Mapped[RunVia] = mapped_column(word(RunVia), default=RunVia.PREFECT)
    flow_run_id: Mapped[str | None] = mapped_column(String(36), index=True)
    fence: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str] = mapped_column(String(128), default="")
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    total_duration_ms: Mapped[float | None]


class StageExecution(Base):
    """One attempt at one node of a run.

    A definition may hold two nodes of one type, so the node's id stands in the key beside the stage.
    """

    __tablename__ = "stage_executions"
    __table_args__ = (UniqueConstraint("pipeline_run_id", "stage", "node_id", "attempt"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    pipeline_run_id: Mapped[int] = mapped_column(ForeignKey("pipeline_runs.id", ondelete="CASCADE"))
    stage: Mapped[Stage] = mapped_column(word(Stage), index=True)
    node_id: Mapped[str] = mapped_column(String(128))
    status: Mapped[StageStatus] = mapped_column(word(StageStatus))
    attempt: Mapped[int]
    idempotency_key: Mapped[str] = mapped_column(String(256), index=True)
    input_ref: Mapped[str] = mapped_column(String(256), default="")
    output_ref: Mapped[str] = mapped_column(String(256), default="")
    output_snapshot: Mapped[dict[str, Any] | None] = mapped_column()
    error_type: Mapped[str] = mapped_column(String(128), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    error_stack: Mapped[str] = mapped_column(Text, default="")
    error_retryable: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    duration_ms: Mapped[float | None]


class PipelineDefinition(Base):
    """A saved definition."""

    __tablename__ = "pipeline_definitions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[int] = mapped_column(default=1)
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    tags: Mapped[list[Any]] = mapped_column(default=list)
    is_active: Mapped[bool] = mapped_column(default=True, index=True)
    created_by: Mapped[str] = mapped_column(String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
