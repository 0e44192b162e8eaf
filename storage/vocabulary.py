"""The closed word lists of the project, as stored in the database and shown in the API.

The values are the seeds' own (see design.md, section 3): lower case where a person writes them in JSON,
upper case where they are states of a machine.
"""

from enum import StrEnum


class Severity(StrEnum):
    """How bad an alert or incident is."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for critical: the highest of several is `max(…, key=rank)`."""
        return {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}[self]


class AlertStatus(StrEnum):
    """Whether an alert's condition holds now."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Lifecycle(StrEnum):
    """What a sender's people did about an alert that goes on firing."""

    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    NOTE = "note"
    ESCALATED = "escalated"
    ASSIGNED = "assigned"
    UPDATED = "updated"


class AlertEvent(StrEnum):
    """What a row of the alert history says."""

    CREATED = "created"
    REFIRED = "refired"
    REFRESHED = "refreshed"
    SEVERITY_CHANGED = "severity_changed"
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    RESOLVED = "resolved"
    STALE = "stale"
    TRUNCATED = "truncated"


class IncidentStatus(StrEnum):
    """The life of an incident."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    CLOSED = "closed"


LIVE_INCIDENT = (IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED)


class DeliveryStatus(StrEnum):
    """The life of an accepted webhook in the inbox."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    DONE = "done"
    QUARANTINED = "quarantined"
    DISCARDED = "discarded"


class CheckStatus(StrEnum):
    """The result of one checker."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """Order of concern: ok, unknown, warning, critical."""
        return [CheckStatus.OK, CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.CRITICAL].index(self)


class AnalysisStatus(StrEnum):
    """The state of one execution of a provider."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class RecommendationType(StrEnum):
    """What part of a system a recommendation is about."""

    MEMORY = "memory"
    DISK = "disk"
    CPU = "cpu"
    PROCESS = "process"
    NETWORK = "network"
    GENERAL = "general"


class RecommendationPriority(StrEnum):
    """How soon a recommendation should be followed."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class NotificationReason(StrEnum):
    """Why a channel is told something about an incident."""

    FIRING = "firing"
    RESOLVED = "resolved"


class NotificationStatus(StrEnum):
    """The life of one message to one channel. `dead` is a dead letter: out of tries, kept and replayable."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    DEAD = "dead"


class Stage(StrEnum):
    """The kind of work a node does, as the seeds name it on stage executions."""

    INGEST = "INGEST"
    CHECK = "CHECK"
    ANALYZE = "ANALYZE"
    NOTIFY = "NOTIFY"
    TRANSFORM = "TRANSFORM"


class StageStatus(StrEnum):
    """The state of one attempt at a stage."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    SKIPPED = "SKIPPED"


class RunStatus(StrEnum):
    """The state of a pipeline run. A run is over when `completed_at` is set, whatever its status."""

    PENDING = "PENDING"
    INGESTED = "INGESTED"
    CHECKED = "CHECKED"
    ANALYZED = "ANALYZED"
    NOTIFIED = "NOTIFIED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    SKIPPED = "SKIPPED"


class RunVia(StrEnum):
    """What executes a run: Prefect, or the relay itself while Prefect's server is away."""

    PREFECT = "prefect"
    DIRECT = "direct"
