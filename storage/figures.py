"""What happened since a moment, in figures. Each is one statement along an index, for a million alerts as well."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, extract, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.tables import (
    AlertHistory,
    AnalysisRun,
    CheckRun,
    Delivery,
    Incident,
    Notification,
    PipelineRun,
    StageExecution,
)
from storage.vocabulary import AlertEvent, CheckStatus, NotificationStatus, RunStatus, StageStatus

TOP = 10
FAILING = (CheckStatus.WARNING, CheckStatus.CRITICAL, CheckStatus.UNKNOWN)
SECONDS_OF_A_DAY = 86_400


@dataclass(frozen=True)
class Tally:
    """Counts by two words, and what they add up to."""

    counts: dict[tuple[str, str], int]

    def by_first(self) -> dict[str, int]:
        """The counts by the first word, the highest first."""
        return _added((first, count) for (first, _), count in self.counts.items())

    def by_second(self) -> dict[str, int]:
        """The counts by the second word, the highest first."""
        return _added((second, count) for (_, second), count in self.counts.items())

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


def figures(session: Session, *, since: datetime) -> dict[str, Any]:
    """Everything that a report says of the time since then, in the words of the tables.

    Names that people chose are values, never keys: a key that looks like a secret's would hide its figures.
    """
    return {
        "since": since,
        "deliveries": _deliveries(session, since),
        "alerts": _alerts(session, since),
        "incidents": _incidents(session, since),
        "runs": _runs(session, since),
        **_stages(session, since),
        "checks": _checks(session, since),
        "analyses": _analyses(session, since),
        "notifications": _notifications(session, since),
    }


def present(session: Session) -> dict[str, int]:
    """What is open now, however old it is: deliveries that wait, runs in flight, messages that did not arrive."""
    waiting = [NotificationStatus.PENDING, NotificationStatus.FAILED]
    counts = {
        "runs_in_flight": select(func.count()).where(PipelineRun.completed_at.is_(None)),
        "dead_letters": select(func.count()).where(Notification.status == NotificationStatus.DEAD),
        "messages_waiting": select(func.count()).where(Notification.status.in_(waiting)),
    }
    return {name: session.scalar(query) or 0 for name, query in counts.items()}


def success_percent(over: int, failed: int) -> float | None:
    """How many of the runs that are over did not fail, in percent; None where none is over."""
    return round(100 * (over - failed) / over, 2) if over else None


def along_the_time(*columns: ColumnElement[Any] | InstrumentedAttribute[Any]) -> list[ColumnElement[Any]]:
    """The columns as they are, but so that SQLite does not read the whole table along an index of one of them."""
    return [func.coalesce(column, column) for column in columns]


def _deliveries(session: Session, since: datetime) -> dict[str, Any]:
    tally = _tally(session, Delivery.status, Delivery.source, Delivery.received_at >= since)
    return {"total": tally.total, "by_status": tally.by_first(), "by_source": tally.by_second()}


def _alerts(session: Session, since: datetime) -> dict[str, int]:
    events = _counts(session, AlertHistory.event, AlertHistory.created_at >= since)
    names = {"new": AlertEvent.CREATED, "fired_again": AlertEvent.REFIRED, "resolved": AlertEvent.RESOLVED}
    return {name: events.get(event, 0) for name, event in names.items()}


def _incidents(session: Session, since: datetime) -> dict[str, Any]:
    opened = _counts(session, Incident.severity, Incident.created_at >= since)
    resolved = _counts(session, Incident.severity, Incident.resolved_at >= since)
    return {
        "opened": sum(opened.values()),
        "opened_by_severity": opened,
        "resolved": sum(resolved.values()),
        "resolved_by_severity": resolved,
        "median_seconds_to_resolve": _median_seconds_to_resolve(session, since, sum(resolved.values())),
    }


def _median_seconds_to_resolve(session: Session, since: datetime, count: int) -> float | None:
    if not count:
        return None
    seconds = _seconds_between(session, Incident.started_at, Incident.resolved_at)
    query = select(seconds).where(Incident.resolved_at >= since).order_by(seconds)
    middle = session.scalars(query.offset((count - 1) // 2).limit(2 - count % 2)).all()
    return sum(map(float, middle)) / len(middle) if middle else None


def _seconds_between(
    session: Session, start: InstrumentedAttribute[datetime], end: InstrumentedAttribute[datetime | None]
) -> ColumnElement[Any]:
    if session.get_bind().dialect.name == "sqlite":
        return (func.julianday(end) - func.julianday(start)) * SECONDS_OF_A_DAY
    return extract("epoch", end - start)


def _runs(session: Session, since: datetime) -> dict[str, Any]:
    is_over = PipelineRun.completed_at.is_not(None)
    is_retried = PipelineRun.total_attempts > 1
    count = func.count().label("count")
    words = along_the_time(PipelineRun.status, PipelineRun.definition_name)
    rows = session.execute(
        select(*words, is_over, is_retried, count)
        .where(PipelineRun.created_at >= since)
        .group_by(*words, is_over, is_retried)
    ).all()
    over = sum(n for _, _, ended, _, n in rows if ended)
    failed = sum(n for status, _, ended, _, n in rows if ended and status is RunStatus.FAILED)
    return {
        "total": sum(n for *_, n in rows),
        "by_status": _added((status, n) for status, _, _, _, n in rows),
        "by_pipeline": [
            {"pipeline": name, "count": count}
            for name, count in _added((name, n) for _, name, _, _, n in rows).items()
        ],
        "failed": failed,
        "success_percent": success_percent(over, failed),
        "retried": sum(n for _, _, _, again, n in rows if again),
        "in_flight": sum(n for _, _, ended, _, n in rows if not ended),
    }


def _stages(session: Session, since: datetime) -> dict[str, Any]:
    """Attempts at stages of the runs that were made since, and what went wrong in them."""
    first = session.scalar(
        select(PipelineRun.id).where(PipelineRun.created_at >= since).order_by(PipelineRun.created_at).limit(1)
    )
    if first is None:
        return {"stages": [], "errors": []}
    words = along_the_time(StageExecution.stage, StageExecution.status, StageExecution.error_type)
    rows = session.execute(
        select(
            *words,
            func.count(),
            func.count(StageExecution.duration_ms),
            func.coalesce(func.sum(StageExecution.duration_ms), 0.0),
            func.coalesce(func.max(StageExecution.duration_ms), 0.0),
        )
        # Along the index that begins with the run, since ids rise with the time.
        .where(StageExecution.pipeline_run_id >= first)
        .group_by(*words)
    ).all()
    errors = Counter[tuple[str, str]]()
    for stage, _, error_type, count, *_ in rows:
        if error_type:
            errors[stage, error_type] += count
    return {
        "stages": sorted(_stage_figures(rows), key=lambda each: each["mean_ms"], reverse=True),
        "errors": [
            {"stage": stage, "error_type": error_type, "count": count}
            for (stage, error_type), count in errors.most_common(TOP)
        ],
    }


def _stage_figures(rows: Sequence[Any]) -> list[dict[str, Any]]:
    shown = []
    for name in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] is name]
        ended = sum(row[4] for row in mine)
        shown.append(
            {
                "stage": name,
                "attempts": sum(row[3] for row in mine),
                "failed": sum(row[3] for row in mine if row[1] in (StageStatus.FAILED, StageStatus.RETRYING)),
                "mean_ms": round(sum(row[5] for row in mine) / ended, 1) if ended else 0.0,
                "max_ms": round(max(row[6] for row in mine), 1),
            }
        )
    return shown


def _checks(session: Session, since: datetime) -> dict[str, Any]:
    tally = _tally(session, CheckRun.checker_name, CheckRun.status, CheckRun.executed_at >= since)
    failing = _added((name, count) for (name, status), count in tally.counts.items() if status in FAILING)
    return {
        "total": tally.total,
        "by_verdict": tally.by_second(),
        "top_failing": [{"checker": name, "count": count} for name, count in list(failing.items())[:TOP]],
    }


def _analyses(session: Session, since: datetime) -> dict[str, Any]:
    words = along_the_time(AnalysisRun.provider, AnalysisRun.status, AnalysisRun.fallback_used)
    rows = session.execute(
        select(
            *words,
            func.count(),
            func.coalesce(func.sum(AnalysisRun.total_tokens), 0),
        )
        .where(AnalysisRun.created_at >= since)
        .group_by(*words)
    ).all()
    return {
        "total": sum(row[3] for row in rows),
        "by_status": _added((row[1], row[3]) for row in rows),
        "by_provider": [
            {"provider": name, "count": count, "total_tokens": sum(int(row[4]) for row in rows if row[0] == name)}
            for name, count in _added((row[0], row[3]) for row in rows).items()
        ],
        "fallbacks": sum(row[3] for row in rows if row[2]),
    }


def _notifications(session: Session, since: datetime) -> dict[str, Any]:
    tally = _tally(session, Notification.channel, Notification.status, Notification.created_at >= since)
    return {
        "total": tally.total,
        "by_status": tally.by_second(),
        "by_channel": [
            {
                "channel": channel,
                "by_status": _added((status, n) for (name, status), n in tally.counts.items() if name == channel),
            }
            for channel in tally.by_first()
        ],
    }


def _tally(
    session: Session,
    first: InstrumentedAttribute[Any],
    second: InstrumentedAttribute[Any],
    when: ColumnElement[bool],
) -> Tally:
    words = along_the_time(first, second)
    rows = session.execute(select(*words, func.count()).where(when).group_by(*words))
    return Tally({(one, other): count for one, other, count in rows})


def _counts(session: Session, word: InstrumentedAttribute[Any], when: ColumnElement[bool]) -> dict[str, int]:
    words = along_the_time(word)
    query: Select[Any] = select(*words, func.count()).where(when).group_by(*words)
    return _added((name, count) for name, count in session.execute(query))


def _added(pairs: Any) -> dict[str, int]:
    """The counts of each word, the highest first."""
    counter = Counter[str]()
    for word, count in pairs:
        counter[str(word)] += count
    return dict(counter.most_common())
