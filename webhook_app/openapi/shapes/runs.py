"""Runs, what they took, did and gave."""

from datetime import datetime
from typing import Any, Literal

from storage.records import PassedOver
from storage.vocabulary import (
    AnalysisStatus,
    DeliveryStatus,
    FailureKind,
    NotificationReason,
    NotificationStatus,
    RunStatus,
    RunVia,
    Stage,
    StageStatus,
)
from webhook_app.openapi.shapes.base import Page, Shape


class RunShape(Shape):
    """A run of a pipeline. It is over where `completed_at` is set."""

    run_id: str
    trace_id: str
    pipeline: str
    definition_version: int
    status: RunStatus
    current_stage: str | None
    incident_id: int | None
    source: str
    alert_fingerprint: str
    environment: str
    via: RunVia
    flow_run_id: str | None
    flow_run_url: str
    intelligence_fallback_used: bool
    total_attempts: int
    max_retries: int
    last_error_type: str
    last_error_message: str
    last_error_retryable: bool
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    total_duration_ms: float | None


class RunLink(RunShape):
    """A run, and where to look for more."""

    url: str


class RunDelivery(Shape):
    """A delivery that a run took."""

    delivery_id: str
    trace_id: str
    status: DeliveryStatus
    reason: str


class StageShape(Shape):
    """An attempt at a node."""

    node_id: str
    stage: Stage
    status: StageStatus
    attempt: int
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: float | None
    output: dict[str, Any] | None
    error_type: str
    error_message: str
    error_retryable: bool


class AnalysisShape(Shape):
    """Who was asked, what came of it, and what it cost."""

    id: int
    run_id: str
    incident_id: int | None
    provider: str
    model: str
    status: AnalysisStatus
    error: str
    failure_kind: FailureKind | None
    fallback_used: bool
    cached_from: int | None
    summary: str
    probable_cause: str
    confidence: float | None
    recommendations_count: int
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: float


class NotificationShape(Shape):
    """A message to a channel."""

    id: int
    channel: str
    driver: str
    instead_of: str
    incident_id: int
    episode: int
    reason: NotificationReason
    sequence: int
    status: NotificationStatus
    attempts: int
    next_try_at: datetime | None
    title: str
    provider_id: str
    error_type: str
    error_message: str
    trace_id: str
    run_id: str
    created_at: datetime
    sent_at: datetime | None
    url: str


class RunDetails(RunShape):
    """A run with its deliveries, its stages, and who was told or not."""

    deliveries: list[RunDelivery]
    stages: list[StageShape]
    analyses: list[AnalysisShape]
    notifications: list[NotificationShape]
    passed_over: list[PassedOver]


class Runs(Page):
    """A page of runs."""

    pipelines: list[RunLink]


class ChangedRun(RunShape):
    """A run that goes on, or is to stop."""

    status_url: str
    message: str


class QueuedRun(RunShape):
    """A run that was ordered. `flow_run_id` is null until a worker has begun it; `task_id` is the run's."""

    status: Literal["queued"]  # type: ignore[assignment]  # the seeds' word
    run_status: RunStatus
    task_id: str
    status_url: str
    message: str


class FinalError(Shape):
    """Why a run failed, and where."""

    stage: Stage | None
    node_id: str | None
    error_type: str
    message: str
    is_retryable: bool


class RunResult(RunShape):
    """A run that is over, with what its stages and nodes gave."""

    status: Literal["COMPLETED", "FAILED"]  # type: ignore[assignment]  # the seeds' words
    run_status: RunStatus
    ingest: dict[str, Any] | None
    check: dict[str, Any] | None
    analyze: dict[str, Any] | None
    notify: dict[str, Any] | None
    nodes: dict[str, dict[str, Any] | None]
    stages_completed: list[Stage]
    final_error: FinalError | None
    status_url: str
