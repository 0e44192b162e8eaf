"""What the dashboard shows, read in a number of statements that is the same for ten rows and for a million."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import Select, exists, func, select, text, union_all
from sqlalchemy.orm import Session, load_only

from storage import hours, retention, vitals, workers
from storage.alerts import author_of
from storage.figures import success_percent
from storage.hours import Past, first_part
from storage.schedule_standing import Scheduled, scheduled
from storage.settings import Settings
from storage.tables import CheckRun, Delivery, Incident, NotificationChannel, PipelineRun, Worker
from storage.tables.base import utc_now
from storage.vocabulary import (
    LIVE_INCIDENT,
    DeliveryStatus,
    IncidentStatus,
    NotificationStatus,
    RunStatus,
    Severity,
)

BY_GRAVITY = tuple(sorted(Severity, key=lambda each: each.rank, reverse=True))
INCIDENTS_SHOWN, CHECKS_SHOWN, FAILED_SHOWN, TOP, WORKERS_SHOWN = 8, 10, 5, 5, 10
MONITOR = "local-monitor"


@dataclass(frozen=True)
class ActiveIncidents:
    """The incidents that are not over; `gravest` are the first of them, with who acknowledged each."""

    by_severity: dict[Severity, int]
    acknowledged: int
    gravest: list[tuple[Incident, str]]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_severity.values())


@dataclass(frozen=True)
class PipelineHealth:
    """How the runs went that ended within the day, and those that have not ended."""

    ended: int
    failed: int
    retrying: int
    in_flight: int

    @property
    def succeeded(self) -> int:
        """Those that ended and did not fail."""
        return self.ended - self.failed

    @property
    def success_percent(self) -> float | None:
        """As in the report."""
        return success_percent(self.ended, self.failed)


@dataclass(frozen=True)
class FailingChecker:
    """How often a checker found something within the week."""

    name: str
    critical: int
    warning: int
    unknown: int

    @property
    def total(self) -> int:
        """As in the report."""
        return self.critical + self.warning + self.unknown


@dataclass(frozen=True)
class Inside:
    """How Watchkeeper itself fares."""

    deliveries: dict[DeliveryStatus, int]
    oldest_waiting_seconds: float
    messages: dict[NotificationStatus, int]
    workers: list[Worker]
    schedules: list[Scheduled]
    pruned_at: datetime | None

    @property
    def oldest_waiting_at(self) -> datetime | None:
        """When the delivery came that waits longest."""
        seconds = self.oldest_waiting_seconds
        return utc_now() - timedelta(seconds=seconds) if seconds else None

    @property
    def messages_waiting(self) -> int:
        """Those that are to be sent still."""
        return sum(count for status, count in self.messages.items() if status is not NotificationStatus.DEAD)


@dataclass(frozen=True)
class Beginnings:
    """Whether there is anything yet."""

    has_delivery: bool
    has_channel: bool


def active_incidents(session: Session) -> ActiveIncidents:
    """Two statements."""
    counts = vitals.live_incidents(session)
    by_severity = {each: sum(n for (_, severity), n in counts.items() if severity is each) for each in BY_GRAVITY}
    acknowledged = sum(n for (status, _), n in counts.items() if status is IncidentStatus.ACKNOWLEDGED)
    return ActiveIncidents(by_severity, acknowledged, _gravest(session))


def _gravest(session: Session) -> list[tuple[Incident, str]]:
    found = list(session.scalars(_newest_of_each()))
    # Those that nobody works on yet come before those that somebody does.
    found.sort(key=lambda each: (each.severity.rank, each.status is IncidentStatus.OPEN, each.id), reverse=True)
    return [(each, author_of(each, IncidentStatus.ACKNOWLEDGED)) for each in found[:INCIDENTS_SHOWN]]


@cache
def _newest_of_each() -> Select[tuple[Incident]]:
    """The newest of each severity and status, each along the index that holds them in order."""
    newest = [
        select(Incident.id.label("id"))
        .where(Incident.status == status, Incident.severity == severity)
        .order_by(Incident.created_at.desc())
        .limit(INCIDENTS_SHOWN)
        .subquery()
        for status in LIVE_INCIDENT
        for severity in Severity
    ]
    return select(Incident).where(Incident.id.in_(union_all(*(select(each.c.id) for each in newest))))


def pipeline_health(session: Session, past: Past) -> PipelineHealth:
    """One statement, beside what the past has."""
    # In this form the index of unfinished runs holds it.
    is_going = text("pipeline_runs.completed_at IS NULL")
    query = select(PipelineRun.status, func.count()).where(is_going).group_by(PipelineRun.status)
    going = Counter({status: count for status, count in session.execute(query)})  # noqa: C416  (see vitals.py)
    ended = past.of_day(hours.RUNS)
    failed = sum(count for word, count in ended.items() if first_part(word) == RunStatus.FAILED)
    retrying = going[RunStatus.RETRYING]
    return PipelineHealth(ended.total(), failed, retrying, going.total() - retrying)


def recent_checks(session: Session) -> Sequence[CheckRun]:
    """The newest ones."""
    columns = load_only(CheckRun.checker_name, CheckRun.hostname, CheckRun.status, CheckRun.executed_at)
    newest = (CheckRun.executed_at.desc(), CheckRun.id.desc())
    return session.scalars(select(CheckRun).order_by(*newest).limit(CHECKS_SHOWN).options(columns)).all()


def failed_runs(session: Session) -> Sequence[PipelineRun]:
    """The newest ones."""
    columns = load_only(
        PipelineRun.run_id,
        PipelineRun.definition_name,
        PipelineRun.last_error_type,
        PipelineRun.last_error_message,
        PipelineRun.created_at,
    )
    is_failed = select(PipelineRun).where(PipelineRun.status == RunStatus.FAILED)
    return session.scalars(
        is_failed.order_by(PipelineRun.created_at.desc()).limit(FAILED_SHOWN).options(columns)
    ).all()


def failing_checkers(past: Past) -> list[FailingChecker]:
    """The checkers that found something most often within the week."""
    found: dict[str, Counter[str]] = {}
    for word, count in past.of_week(hours.CHECKS).items():
        status, _, name = word.partition("/")
        found.setdefault(name, Counter())[status] += count
    checkers = [
        FailingChecker(name, *(each[status] for status in ("critical", "warning", "unknown")))
        for name, each in found.items()
    ]
    return sorted(checkers, key=lambda each: each.total, reverse=True)[:TOP]


def error_types(past: Past) -> list[tuple[str, int]]:
    """What runs failed of within the week, most often first."""
    counter = Counter[str]()
    for word, count in past.of_week(hours.RUNS).items():
        status, _, error_type = word.partition("/")
        if status == RunStatus.FAILED:
            counter[error_type] += count
    return counter.most_common(TOP)


def provider_use(past: Past) -> list[tuple[str, int, int]]:
    """The providers that were asked within the week: how often, and the tokens."""
    tokens = past.of_week(hours.TOKENS)
    return [(name, count, tokens[name]) for name, count in past.of_week(hours.ANALYSES).most_common()]


def inside(session: Session, settings: Settings) -> Inside:
    """Six statements."""
    by_setting = {MONITOR: settings.monitor_interval_seconds if settings.monitor else None}
    newest = select(Worker).order_by(Worker.seen_at.desc()).limit(WORKERS_SHOWN)
    prunings = retention.prunings(session)
    return Inside(
        deliveries=vitals.unfinished_deliveries(session),
        oldest_waiting_seconds=vitals.oldest_waiting_seconds(session),
        messages=vitals.unsent_notifications(session),
        workers=list(session.scalars(newest)),
        schedules=scheduled(session, by_setting=by_setting),
        pruned_at=max((each.pruned_at for each in prunings), default=None),
    )


def beginnings(session: Session) -> Beginnings:
    """One statement."""
    query = select(exists(select(Delivery.id)), exists().where(NotificationChannel.is_active))
    has_delivery, has_channel = session.execute(query).one()
    return Beginnings(bool(has_delivery), bool(has_channel))


def is_alive(worker: Worker, now: datetime) -> bool:
    """Whether it was heard of a moment ago."""
    return (now - worker.seen_at).total_seconds() <= workers.ALIVE_SECONDS
