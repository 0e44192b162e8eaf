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
    """The result of one checker. `skipped`: it does not apply to this host."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    @property
    def rank(self) -> int:
        """Order of concern: skipped, ok, unknown, warning, critical."""
        return _BY_CONCERN.index(self)


_BY_CONCERN = [
    CheckStatus.SKIPPED,
    CheckStatus.OK,
    CheckStatus.UNKNOWN,
    CheckStatus.WARNING,
    CheckStatus.CRITICAL,
]


class AnalysisStatus(StrEnum):
    """The state of one execution of a provider."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class FailureKind(StrEnum):
    """Why a provider gave no answer, as people may be told it: without a word of the provider's."""

    KEY_REFUSED = "key_refused"
    REQUEST_REFUSED = "request_refused"
    NO_CREDIT = "no_credit"
    NO_ANSWER = "no_answer"
    OVERLOADED = "overloaded"
    BROKEN = "broken"
    UNREACHABLE = "unreachable"
    UNFIT_REPLY = "unfit_reply"
    BUDGET_SPENT = "budget_spent"
    NOT_SET_UP = "not_set_up"
    TOO_MANY_INCIDENTS = "too_many_incidents"
    RESTING = "resting"

    @property
    def told(self) -> str:
        """Words of ours that go on after "unavailable: "."""
        return _TOLD[self]


_TOLD = {
    FailureKind.KEY_REFUSED: "it refused the key",
    FailureKind.REQUEST_REFUSED: "it refused the request",
    FailureKind.NO_CREDIT: "the account there has no credit left",
    FailureKind.NO_ANSWER: "it did not answer in time",
    FailureKind.OVERLOADED: "it limits the rate of requests, or is overloaded",
    FailureKind.BROKEN: "it answered with an error of its own",
    FailureKind.UNREACHABLE: "it could not be reached",
    FailureKind.UNFIT_REPLY: "its reply did not fit",
    FailureKind.BUDGET_SPENT: "the day's tokens are spent until 00:00 UTC",
    FailureKind.NOT_SET_UP: "it is not set up",
    FailureKind.TOO_MANY_INCIDENTS: "too many incidents at once",
    FailureKind.RESTING: "it failed several times in a row and is left alone for a moment",
}


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
    """Why a channel is told something.

    `reminder`: it still fires; `updated`: more alerts have joined it; `message`: somebody's own words, about no
    incident.
    """

    FIRING = "firing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"
    ESCALATED = "escalated"
    REMINDER = "reminder"
    UPDATED = "updated"
    MESSAGE = "message"


# What a channel may choose from; the other reasons go where firing goes.
CHOSEN_REASONS = (
    NotificationReason.FIRING,
    NotificationReason.RESOLVED,
    NotificationReason.ACKNOWLEDGED,
    NotificationReason.ESCALATED,
)
# Those that say that something burns; the others only say how it went on.
ALARMS = (
    NotificationReason.FIRING,
    NotificationReason.ESCALATED,
    NotificationReason.REMINDER,
    NotificationReason.UPDATED,
)
# Those that time gives rise to, in no run's wake.
FOLLOW_UPS = (NotificationReason.REMINDER, NotificationReason.UPDATED)


class NotificationStatus(StrEnum):
    """The life of one message to one channel.

    `failed` waits for its next try. `dead` is a dead letter: out of tries or refused for good, kept and
    replayable. `discarded`: not to be sent any more.
    """

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    DEAD = "dead"
    DISCARDED = "discarded"


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


class Role(StrEnum):
    """What a user of the console may do: look, or act as well."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class AuditOutcome(StrEnum):
    """How what somebody wanted ended. `refused`: it was not allowed then, and nothing changed."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
