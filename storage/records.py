"""Frozen records that cross rooms, and the JSON forms that stages leave behind.

Where the seeds' wiki has a data object of the same name, the fields are its fields.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from storage.vocabulary import (
    CHOSEN_REASONS,
    AlertStatus,
    CheckStatus,
    FailureKind,
    IncidentStatus,
    Lifecycle,
    NotificationReason,
    RecommendationPriority,
    RecommendationType,
    Severity,
    Stage,
)


class Record(BaseModel):
    """A value that does not change once made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ParsedAlert(Record):
    """One alert as a source's parser understood it. Times are aware UTC.

    `started_at` is None where the payload names no usable time: the time of receipt then stands for it.
    `occurred_at` is when the sender's event happened, where it says so: what is older than the last one known
    of the same episode is stale. `severity` is None where the payload says none: what is stored stays.
    `episode` is the vendor's own id of this firing-to-resolved stretch, where it has one. `vendor_id` is a
    second key of the alert, beside the fingerprint. `lifecycle` is what somebody did about an alert that goes
    on firing, and `note` their words. A partial one only adds that to a known alert, found by fingerprint or
    vendor id: it says too little to make one. `is_repeated` says that the sender tells the state over and over
    rather than each change once.
    """

    fingerprint: str
    name: str
    status: AlertStatus
    started_at: datetime | None
    severity: Severity | None = None
    raw_severity: str = ""
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    ended_at: datetime | None = None
    occurred_at: datetime | None = None
    lifecycle: Lifecycle | None = None
    note: str = ""
    episode: str | None = None
    group_key: str | None = None
    vendor_id: str = ""
    is_partial: bool = False
    is_repeated: bool = False
    raw_payload: dict[str, Any] = Field(default_factory=dict)


class AlertFault(Record):
    """One alert of a payload that could not be read: where it stood, and why."""

    place: str
    reason: str


class ParsedPayload(Record):
    """What one webhook body becomes. `remark` says why there is no alert in it, where that is as it should be."""

    source: str
    alerts: list[ParsedAlert]
    faults: list[AlertFault] = Field(default_factory=list)
    version: str = ""
    group_key: str | None = None
    receiver: str = ""
    external_url: str = ""
    truncated_alerts: int = 0
    remark: str = ""


class IncidentChange(Record):
    """Something that people should be told: an incident began to fire, got worse, ended.

    `sequence` tells those of one reason in one episode apart: the severity's rank where it got worse, the how
    manieth where it is a reminder or an update.
    """

    incident_id: int
    episode: int
    reason: NotificationReason
    sequence: int = 0


class IngestResult(Record):
    """Output of the ingest stage over all deliveries of a run."""

    stage: Stage = Stage.INGEST
    incident_id: int | None = None
    incident_ids: list[int] = Field(default_factory=list)
    changes: list[IncidentChange] = Field(default_factory=list)
    alert_fingerprint: str = ""
    severity: Severity | None = None
    alerts_seen: int = 0
    alerts_created: int = 0
    alerts_updated: int = 0
    alerts_resolved: int = 0
    incidents_created: int = 0
    incidents_updated: int = 0
    errors: list[str] = Field(default_factory=list)


class Reading(Record):
    """What a checker found of one thing, and its verdict on that.

    `target` names the thing where a checker has several (a mount point, a unit, a URL). `held` is the verdict
    that a thing already known as bad keeps: it stands apart from `status` while a value has come back over its
    threshold by less than the recovery margin.
    """

    status: CheckStatus
    held: CheckStatus
    message: str
    target: str = ""
    value: float | None = None


class CheckResult(Record):
    """One checker's verdict, the worst of its readings. `metrics` are the checker's own, units in their names."""

    checker_name: str
    status: CheckStatus
    message: str
    metrics: dict[str, Any] = Field(default_factory=dict)
    readings: list[Reading] = Field(default_factory=list)
    error: str | None = None
    warning_threshold: float | None = None
    critical_threshold: float | None = None
    duration_ms: float = 0.0


class ChecksResult(Record):
    """Output of the check stage (the seeds' orchestration CheckResult).

    `changes` is filled only where the checks themselves raise alerts, in local monitoring. A checker that does
    not apply to the host is counted as run and as skipped, neither as passed nor as failed.
    """

    stage: Stage = Stage.CHECK
    hostname: str
    evidence: dict[str, Any] = Field(default_factory=dict)
    checks: list[CheckResult] = Field(default_factory=list)
    checks_run: int = 0
    checks_passed: int = 0
    checks_failed: int = 0
    checks_skipped: int = 0
    checker_output_ref: str = ""
    incident_ids: list[int] = Field(default_factory=list)
    changes: list[IncidentChange] = Field(default_factory=list)
    errors: list[str] = Field(default_factory=list)


class Recommendation(Record):
    """One next step."""

    type: RecommendationType
    priority: RecommendationPriority
    title: str
    description: str
    details: dict[str, Any] = Field(default_factory=dict)
    actions: list[str] = Field(default_factory=list)
    incident_id: int | None = None


class Analysis(Record):
    """A provider's answer about one incident."""

    summary: str
    probable_cause: str = ""
    confidence: float | None = Field(default=None, ge=0, le=1)
    recommendations: list[Recommendation] = Field(default_factory=list)
    model_name: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True)
class Tokens:
    """What a provider counted; None where it did not say."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None


class IncidentAnalysis(Record):
    """An analysis that was stored, and how it came about.

    Where the local rules stood in, `instead_of` is the kind of provider that gave no answer, and `failure` why,
    if that is known.
    """

    incident_id: int | None
    provider: str
    fallback_used: bool
    ai_output_ref: str
    analysis: Analysis
    instead_of: str = ""
    failure: FailureKind | None = None


class AnalyzeResult(Record):
    """Output of the analyze stage: one entry per incident that the run touched."""

    stage: Stage = Stage.ANALYZE
    analyses: list[IncidentAnalysis] = Field(default_factory=list)
    fallback_used: bool = False
    errors: list[str] = Field(default_factory=list)


class DeliveryOutcome(Record):
    """What became of one message to one channel."""

    channel: str
    driver: str
    incident_id: int | None
    reason: NotificationReason
    status: str
    provider_id: str = ""
    error: str = ""


class PassedOver(Record):
    """A channel that was not told of a change, and why."""

    channel: str
    incident_id: int
    reason: NotificationReason
    why: str


class NotifyResult(Record):
    """Output of the notify stage. What waits is sent later, by a run of `redelivery`."""

    stage: Stage = Stage.NOTIFY
    deliveries: list[DeliveryOutcome] = Field(default_factory=list)
    passed_over: list[PassedOver] = Field(default_factory=list)
    waiting: int = 0
    channels_attempted: int = 0
    channels_succeeded: int = 0
    channels_failed: int = 0
    notify_output_ref: str = ""
    errors: list[str] = Field(default_factory=list)


class TransformResult(Record):
    """Output of a transform node: what it took from an earlier node's output; None where nothing was there."""

    stage: Stage = Stage.TRANSFORM
    source_node: str
    transformed: Any = None
    errors: list[str] = Field(default_factory=list)


class AlertView(Record):
    """An alert as analysis and messages see it."""

    id: int
    source: str
    fingerprint: str
    name: str
    status: AlertStatus
    severity: Severity
    description: str
    labels: dict[str, str]
    annotations: dict[str, str]
    started_at: datetime
    ended_at: datetime | None


class IncidentView(Record):
    """An incident as analysis and messages see it.

    `alerts` holds at most the first ones by severity and start; the counts are of all. `acknowledged_by` and
    `ended_by` name who did so in the present episode, where somebody did; `closing_summary` is what a
    person wrote of it.
    """

    id: int
    title: str
    status: IncidentStatus
    severity: Severity
    description: str
    episode: int
    started_at: datetime
    resolved_at: datetime | None
    environment: str
    alert_count: int
    firing_alert_count: int
    severity_counts: dict[str, int]
    truncated_alerts: int
    alerts: list[AlertView]
    created_at: datetime | None = None
    closed_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    ended_by: str = ""
    closing_summary: str = ""


class News(Record):
    """What has happened to an incident since a channel was last told of it, at `since`; None: it never was.

    `at` is when that was looked up. `joined` holds the first of the alerts that have joined it and fire,
    `joined_count` counts them all; `ended_count` those that ended. `level` is the severity that it has got to, and
    `raised` the alert that brought it there, once it was `raised_from`, where one did.
    """

    at: datetime
    since: datetime | None = None
    joined: list[AlertView] = Field(default_factory=list)
    joined_count: int = 0
    ended_count: int = 0
    level: Severity | None = None
    raised: AlertView | None = None
    raised_from: Severity | None = None


class EarlierIncident(Record):
    """An incident of the same group that is over: what it was held to be, and what people wrote about it."""

    title: str
    severity: Severity
    status: IncidentStatus
    started_at: datetime
    resolved_at: datetime | None
    probable_cause: str = ""
    notes: list[str] = Field(default_factory=list)


class ProviderConfig(Record):
    """A configured AI provider, with its secrets still as references."""

    name: str
    provider: str
    config: dict[str, Any]


class ChannelPolicy(Record):
    """What a channel is told, and how often.

    `on`: the reasons that it is told of; reminders and updates go with firing. `repeat_interval_seconds`: after so
    long without a message an incident that still fires is told of again; `update_interval_seconds`: the same
    where alerts have joined it; 0 is never. `rate_per_minute`: None is the driver's own, 0 no limit.
    `fallback` names the channel that is told what this one cannot be.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    min_severity: Severity = Severity.INFO
    on: tuple[NotificationReason, ...] = CHOSEN_REASONS
    repeat_interval_seconds: float = Field(default=14_400, ge=0, le=31_536_000)
    update_interval_seconds: float = Field(default=300, ge=0, le=31_536_000)
    rate_per_minute: float | None = Field(default=None, ge=0, le=60_000)
    fallback: str = Field(default="", max_length=128)

    @field_validator("on")
    @classmethod
    def _can_be_chosen(cls, on: tuple[NotificationReason, ...]) -> tuple[NotificationReason, ...]:
        if not set(on) <= set(CHOSEN_REASONS):
            raise ValueError(f"only {', '.join(CHOSEN_REASONS)} can be chosen")
        return tuple(dict.fromkeys(on))


class ChannelConfig(Record):
    """A configured destination, with its secrets still as references."""

    id: int
    name: str
    driver: str
    config: dict[str, Any]
    policy: ChannelPolicy = ChannelPolicy()

    @property
    def is_disabled(self) -> bool:
        """Whether its config says that nothing is to be sent (seeds): it is as good as switched off."""
        return self.config.get("disabled") is True


class Receipt(Record):
    """A destination's word that it has the message."""

    provider_id: str = ""
    detail: str = ""
