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
        # Lists are newest first: what is asked for stands before the time, so that the index has the order.
        Index("ix_pipeline_runs_status_created_at", "status", "created_at"),
        Index("ix_pipeline_runs_definition_name_created_at", "definition_name", "created_at"),
        Index("ix_pipeline_runs_source_created_at", "source", "created_at"),
        Index("ix_pipeline_runs_environment_created_at", "environment", "created_at"),
        Index("ix_pipeline_runs_via_created_at", "via", "created_at"),
        Index("ix_pipeline_runs_incident_id_created_at", "incident_id", "created_at"),
        # All that the figures of an hour read of the runs that ended in it (storage/hours.py).
        Index(
            "ix_pipeline_runs_ended",
            "completed_at",
            "status",
            "last_error_type",
            postgresql_where=text("completed_at IS NOT NULL"),
            sqlite_where=text("completed_at IS NOT NULL"),
        ),
        Index(
            "ix_pipeline_runs_going",
            "created_at",
            postgresql_where=text("completed_at IS NULL"),
            sqlite_where=text("completed_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    trace_id: Mapped[str] = mapped_column(String(64), index=True)
    run_id: Mapped[str] = mapped_column(String(36), unique=True)
    definition_name: Mapped[str] = mapped_column(String(128))
    definition_version: Mapped[int] = mapped_column(default=0)
    status: Mapped[RunStatus] = mapped_column(word(RunStatus))
    current_stage: Mapped[str | None] = mapped_column(String(128))
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    source: Mapped[str] = mapped_column(String(32), default="")
    alert_fingerprint: Mapped[str] = mapped_column(String(256), default="", index=True)
    environment: Mapped[str] = mapped_column(default="production")
    # Config of this run alone, by node type: for every node of the type, before the definition's own keys.
    node_configs: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # The definition of a run whose definition is saved under no name.
    definition_config: Mapped[dict[str, Any] | None]
    normalized_payload_ref: Mapped[str] = mapped_column(String(128), default="")
    checker_output_ref: Mapped[str] = mapped_column(String(128), default="")
    intelligence_output_ref: Mapped[str] = mapped_column(String(128), default="")
    notify_output_ref: Mapped[str] = mapped_column(String(128), default="")
    intelligence_fallback_used: Mapped[bool] = mapped_column(default=False)
    total_attempts: Mapped[int] = mapped_column(default=0)
    # Executions since the run was last over: those that did not end by themselves, and the one that goes on.
    unended_attempts: Mapped[int] = mapped_column(default=0)
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
    # When it was last taken up again after it was over; each node has its full number of tries from then on.
    resumed_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    total_duration_ms: Mapped[float | None]


class StageExecution(Base):
    """One attempt at one node of a run.

    A definition may hold two nodes of one type, so the node's id stands in the key beside the stage.
    """

    __tablename__ = "stage_executions"
    __table_args__ = (
        UniqueConstraint("pipeline_run_id", "stage", "node_id", "attempt"),
        # All that the figures read (storage/figures.py), beside outputs of kilobytes.
        Index("ix_stage_executions_figures", "pipeline_run_id", "stage", "status", "error_type", "duration_ms"),
    )

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
    # When it is to run by itself (tasks/definition/schedule.py); None: nothing is wished here.
    schedule: Mapped[dict[str, Any] | None]
    created_by: Mapped[str] = mapped_column(String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class DefinitionVersion(Base):
    """A definition as it was at one version: what a run of that version goes on with."""

    __tablename__ = "definition_versions"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_by: Mapped[str] = mapped_column(String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class RouteSet(Base):
    """The rules that say which pipeline takes which delivery, as one whole; the highest version holds."""

    __tablename__ = "route_sets"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # See tasks/definition/routes.py.
    rules: Mapped[list[Any]] = mapped_column(default=list)
    # The pipeline of what no rule takes; empty: the installation's setting.
    default_pipeline: Mapped[str] = mapped_column(String(128), default="")
    created_by: Mapped[str] = mapped_column(String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Worker(Base):
    """A worker process that lives, or did a moment ago."""

    __tablename__ = "workers"

    owner: Mapped[str] = mapped_column(String(128), primary_key=True)
    hostname: Mapped[str] = mapped_column(String(255), default="")
    pid: Mapped[int]
    slots: Mapped[int] = mapped_column(default=0)
    in_flight: Mapped[int] = mapped_column(default=0)
    # Whether it reaches Prefect's server.
    has_prefect: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
