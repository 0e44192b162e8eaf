"""What happened in each hour: one that is over is counted once and kept, the present one is counted at each look.

So a look at a week costs what a look at an hour does, however many rows the week has; and what happened stays
counted when its rows are pruned. Hours begin on the hour, in UTC.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, and_, case, delete, func, literal_column, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.database import Database
from storage.figures import FAILING, along_the_time
from storage.tables import AlertHistory, AnalysisRun, CheckRun, Delivery, HourlyFigure, PipelineRun
from storage.tables.base import UtcDateTime
from storage.upsert import insert_if_absent
from storage.vocabulary import RunStatus

HOUR = timedelta(hours=1)
DAY_HOURS, WEEK_HOURS = 24, 168
# So long after its end an hour's last rows are there: transactions have ended, and clocks differ by less.
LATE = timedelta(minutes=15)
KEPT = timedelta(days=35)
# Counted in one go; what is in the way of others is short, and a time that is cut off has lost little.
CHUNK_HOURS = 12

# The figures. A word of two parts is joined by a slash, of which the first part has none.
ALERTS = "alerts"  # by event of the alert history
DELIVERIES = "deliveries"  # by source
RUNS = "runs"  # that ended, by status and, where it is FAILED, error type
CHECKS = "checks"  # that found something, by status and checker
ANALYSES = "analyses"  # by provider
TOKENS = "tokens"  # by provider
# Says that an hour was counted, also where nothing happened in it.
COUNTED = "counted"
WORD_MAX_CHARS = 256


class Count(NamedTuple):
    """How many there were of a word in an hour."""

    hour_at: datetime
    name: str
    word: str
    number: int


@dataclass
class Past:
    """The last week in figures, up to now; `hours` from the oldest to the present one, which is not over yet.

    Those from `open_since` on may still get rows. Of those that are not in `counted` nothing is known.
    """

    hours: list[datetime]
    open_since: datetime
    counted: set[datetime]
    by_hour: dict[str, dict[datetime, Counter[str]]] = field(default_factory=dict)
    last_day: dict[str, Counter[str]] = field(default_factory=dict)
    last_week: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def day_began_at(self) -> datetime:
        """The beginning of the 24 hours of which the present one is the last."""
        return self.hours[-DAY_HOURS]

    def missing(self, hours: int) -> int:
        """How many of the last so many hours are not counted yet."""
        return sum(hour not in self.counted for hour in self.hours[-hours:])

    def of_hour(self, name: str, hour: datetime) -> Counter[str]:
        """The counts of one hour by word."""
        return self.by_hour.get(name, {}).get(hour, Counter())

    def of_day(self, name: str) -> Counter[str]:
        """The counts of the last 24 hours by word."""
        return self.last_day.get(name, Counter())

    def of_week(self, name: str) -> Counter[str]:
        """The counts of the last 7 days by word."""
        return self.last_week.get(name, Counter())

    def add(self, each: Count) -> None:
        """Take in a figure that is in no sum yet."""
        self.add_to_hour(each)
        of_day = each.number if each.hour_at >= self.day_began_at else 0
        self.add_to_sums(each.name, each.word, of_week=each.number, of_day=of_day)

    def add_to_hour(self, each: Count) -> None:
        """Take in a figure of an hour."""
        self.by_hour.setdefault(each.name, {}).setdefault(each.hour_at, Counter())[each.word] += each.number

    def add_to_sums(self, name: str, word: str, *, of_week: int, of_day: int) -> None:
        """Take in a sum over hours."""
        self.last_week.setdefault(name, Counter())[word] += of_week
        if of_day:
            self.last_day.setdefault(name, Counter())[word] += of_day


def hour_of(at: datetime) -> datetime:
    """The beginning of its hour."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def open_since(now: datetime) -> datetime:
    """The beginning of the oldest hour that may still get rows; those before are counted for good."""
    return hour_of(now - LATE)


def last_hours(now: datetime, hours: int) -> list[datetime]:
    """The beginnings of the last so many hours, the present one last."""
    present = hour_of(now)
    return [present - HOUR * back for back in reversed(range(hours))]


def read(session: Session, now: datetime) -> Past:
    """The last week. What is kept is read; what may still change is counted, along the times' indexes."""
    hours, since = last_hours(now, WEEK_HOURS), open_since(now)
    past = Past(hours, since, {hour for hour in hours if hour >= since})
    _add_kept_hours(session, past)
    _add_kept_sums(session, past)
    for each in count(session, since, hours[-1] + HOUR):
        past.add(each)
    return past


def missing(session: Session, now: datetime) -> list[datetime]:
    """The hours of the last week that are over and not counted yet, newest first."""
    over = [hour for hour in last_hours(now, WEEK_HOURS) if hour < open_since(now)]
    known = session.scalars(_counted(over[0], over[-1] + HOUR))
    return sorted(set(over) - set(known), reverse=True)


def fill(database: Database, now: datetime) -> int:
    """Count what is missing of the last week, newest first, and keep it. Returns how many hours that were.

    Several at once are in no one's way: each hour is kept by the first. Raises SQLAlchemyError; what was kept
    until then stays.
    """
    with database.read() as session:
        left = missing(session, now)
    for hours in _chunks(left):
        with database.read() as session:
            counts = count(session, hours[-1], hours[0] + HOUR)
        with database.write() as session:
            keep(session, hours, counts)
            session.execute(delete(HourlyFigure).where(HourlyFigure.hour_at < now - KEPT))
    _add_late_alerts(database, now)
    return len(left)


def _add_late_alerts(database: Database, now: datetime) -> None:
    """Alerts stand in the hour in which their delivery came, and a worker may have taken it up much later.

    What is kept only grows by it: rows that were pruned stay counted.
    """
    start, end = last_hours(now, WEEK_HOURS)[0], open_since(now)
    with database.read() as session:
        known = _kept_alerts(session, start, end)
        found = _grouped(session, ALERTS, AlertHistory.created_at, AlertHistory.event, span=(start, end))
        counted = set(session.scalars(_counted(start, end)))
    late = [each for each in found if each.hour_at in counted and each.number > known.get(each[:3], 0)]
    if not late:
        return
    with database.write() as session:
        session.execute(insert_if_absent(session, HourlyFigure.__table__), [_row(each) for each in sorted(late)])
        for each in late:
            session.execute(
                update(HourlyFigure)
                .where(_is_of(each), HourlyFigure.count < each.number)
                .values(count=each.number)
            )


def _kept_alerts(session: Session, start: datetime, end: datetime) -> dict[tuple[datetime, str, str], int]:
    key = (HourlyFigure.hour_at, HourlyFigure.name, HourlyFigure.word)
    span = (HourlyFigure.hour_at >= start, HourlyFigure.hour_at < end)
    rows = session.execute(select(*key, HourlyFigure.count).where(*span, HourlyFigure.name == ALERTS))
    return {(hour_at, name, word): number for hour_at, name, word, number in rows}


def _counted(start: datetime, end: datetime) -> Select[tuple[datetime]]:
    span = (HourlyFigure.hour_at >= start, HourlyFigure.hour_at < end)
    return select(HourlyFigure.hour_at).where(*span, HourlyFigure.name == COUNTED)


def _is_of(each: Count) -> ColumnElement[bool]:
    return and_(
        HourlyFigure.hour_at == each.hour_at, HourlyFigure.name == each.name, HourlyFigure.word == each.word
    )


def keep(session: Session, hours: Iterable[datetime], counts: Iterable[Count]) -> None:
    """Keep the figures of these hours, but of those that somebody has kept meanwhile."""
    marks = [Count(hour, COUNTED, "", 1) for hour in sorted(hours)]
    kept = insert_if_absent(session, HourlyFigure).returning(HourlyFigure.hour_at)
    mine = set(session.scalars(kept.values(list(map(_row, marks)))))
    rows = [_row(each) for each in sorted(counts) if each.hour_at in mine]
    if rows:
        session.execute(insert_if_absent(session, HourlyFigure.__table__), rows)


def _row(each: Count) -> dict[str, Any]:
    return {"hour_at": each.hour_at, "name": each.name, "word": each.word, "count": each.number}


def count(session: Session, start: datetime, end: datetime) -> list[Count]:
    """The figures of the hours from `start` up to `end`, by one statement each along an index."""
    span = (start, end)
    found = [
        *_grouped(session, ALERTS, AlertHistory.created_at, AlertHistory.event, span=span),
        *_grouped(session, DELIVERIES, Delivery.received_at, Delivery.source, span=span),
        *_grouped(session, CHECKS, CheckRun.executed_at, CheckRun.status, CheckRun.checker_name, span=span),
        *_grouped(session, RUNS, PipelineRun.completed_at, PipelineRun.status, _error_type(), span=span),
        *_analyses(session, span),
    ]
    # Checks that found nothing are most by far, and nobody asks for them.
    failing = {str(status) for status in FAILING}
    return [each for each in found if each.name != CHECKS or first_part(each.word) in failing]


def first_part(word: str) -> str:
    """The first part of a word of two."""
    return word.partition("/")[0]


def _error_type() -> ColumnElement[str]:
    return case((PipelineRun.status == RunStatus.FAILED, PipelineRun.last_error_type), else_="")


def _grouped(
    session: Session,
    name: str,
    at: InstrumentedAttribute[Any],
    *words: ColumnElement[Any] | InstrumentedAttribute[Any],
    span: tuple[datetime, datetime],
) -> list[Count]:
    hour = _hour(session, at)
    parts = along_the_time(*words)
    query = select(hour, *parts, func.count()).where(at >= span[0], at < span[1]).group_by(hour, *parts)
    return [
        Count(_read_hour(hour_at), name, "/".join(map(str, row))[:WORD_MAX_CHARS], number)
        for hour_at, *row, number in session.execute(query)
    ]


def _analyses(session: Session, span: tuple[datetime, datetime]) -> list[Count]:
    hour, at = _hour(session, AnalysisRun.created_at), AnalysisRun.created_at
    (provider,) = along_the_time(AnalysisRun.provider)
    tokens = func.coalesce(func.sum(AnalysisRun.total_tokens), 0)
    query = select(hour, provider, func.count(), tokens).where(at >= span[0], at < span[1])
    found = []
    for hour_at, word, number, spent in session.execute(query.group_by(hour, provider)):
        found.append(Count(_read_hour(hour_at), ANALYSES, word, number))
        found.append(Count(_read_hour(hour_at), TOKENS, word, int(spent)))
    return found


def _hour(session: Session, at: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    if session.get_bind().dialect.name == "sqlite":
        return func.substr(at, 1, 13, type_=String())  # 2026-11-22 05
    return func.date_trunc(literal_column("'hour'"), at, type_=UtcDateTime())


def _read_hour(said: datetime | str) -> datetime:
    return said if isinstance(said, datetime) else datetime.fromisoformat(f"{said}:00:00+00:00")


def _add_kept_hours(session: Session, past: Past) -> None:
    names = (COUNTED, ALERTS, DELIVERIES)
    key = (HourlyFigure.hour_at, HourlyFigure.name, HourlyFigure.word, HourlyFigure.count)
    for row in session.execute(select(*key).where(*_within(past), HourlyFigure.name.in_(names))):
        each = Count(*row)
        if each.name == COUNTED:
            past.counted.add(each.hour_at)
        else:
            past.add_to_hour(each)


def _add_kept_sums(session: Session, past: Past) -> None:
    names = (ALERTS, DELIVERIES, RUNS, CHECKS, ANALYSES, TOKENS)
    is_of_day = HourlyFigure.hour_at >= past.day_began_at
    sums = func.sum(HourlyFigure.count), func.sum(case((is_of_day, HourlyFigure.count), else_=0))
    key = (HourlyFigure.name, HourlyFigure.word)
    query = select(*key, *sums).where(*_within(past), HourlyFigure.name.in_(names)).group_by(*key)
    for name, word, of_week, of_day in session.execute(query):
        past.add_to_sums(name, word, of_week=int(of_week), of_day=int(of_day))


def _within(past: Past) -> tuple[ColumnElement[bool], ...]:
    """What is kept of its hours; the open ones are counted anew, should a clock have been ahead."""
    return HourlyFigure.hour_at >= past.hours[0], HourlyFigure.hour_at < past.open_since


def _chunks(hours: Sequence[datetime]) -> list[list[datetime]]:
    """Hours, newest first, as stretches without a gap that are counted in one go."""
    chunks: list[list[datetime]] = []
    for hour in hours:
        if chunks and len(chunks[-1]) < CHUNK_HOURS and chunks[-1][-1] - hour == HOUR:
            chunks[-1].append(hour)
        else:
            chunks.append([hour])
    return chunks
