"""The audit trail of analyses, what they cost, and answers that need not be paid for twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import and_, case, func, or_, select, text
from sqlalchemy.orm import Session

from storage.records import Analysis, Recommendation, Tokens
from storage.redaction import redact, redact_text
from storage.storable import storable, storable_text
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import AnalysisStatus, FailureKind

# "WCKA": whoever adds up the day's tokens and begins a request holds it, so that two do not both take the last.
LOCK = 0x57434B41
# What has run for longer was cut off with its process.
CUT_OFF_AFTER = timedelta(hours=1)
CUT_OFF = "cut off: its process ended, or its time did, before the answer came"
# After so many runs in a row that it failed, a provider rests.
FAILURES_IN_A_ROW = 3
ROWS_LOOKED_AT = 50
FAILURES_WITHIN = timedelta(hours=1)
REST = timedelta(minutes=2)
SLOW_FAILURES = (FailureKind.NO_ANSWER, FailureKind.BROKEN, FailureKind.UNREACHABLE)
MODEL_MAX_CHARS = 128
MESSAGE_MAX_CHARS = 4_000
# What a column of counts takes; a vendor that says more, or less than none, has not counted.
MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True)
class AnalysisOrder:
    """Who was asked about what, for which run, and when."""

    provider: str
    provider_config: Mapping[str, Any]
    incident_id: int | None
    run_id: str
    trace_id: str
    started_at: datetime
    input_summary: str = ""
    checker_output_ref: str = ""
    model_name: str = ""
    cache_key: str = ""


class BudgetSpentError(Exception):
    """The day's tokens do not suffice for another request."""


def take_turn(session: Session) -> None:
    """Let one transaction at a time look for an answer, add up the day's tokens and begin a request."""
    # SQLite has one writer at a time anyway.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def is_being_asked(session: Session, cache_key: str, *, since: datetime) -> bool:
    """Whether just this question was begun since then and has no answer yet."""
    begun = (
        select(AnalysisRun.id)
        .where(AnalysisRun.cache_key == cache_key, AnalysisRun.status == AnalysisStatus.RUNNING)
        .where(AnalysisRun.created_at >= since)
    )
    return session.scalar(begun.limit(1)) is not None


def begin(session: Session, order: AnalysisOrder, *, most_tokens: int, daily_tokens: int) -> int:
    """Store that a provider is being asked, and return the row's id.

    Raises BudgetSpentError where the request could cost more than is left of the day's tokens (UTC); 0 is no
    limit.
    """
    now = utc_now()
    take_turn(session)
    if daily_tokens:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        used = tokens_since(session, midnight)
        if used + most_tokens > daily_tokens:
            raise BudgetSpentError(
                f"{used} of the day's {daily_tokens} tokens are used, and this request may need {most_tokens}"
            )
    row = _row(order, AnalysisStatus.RUNNING)
    row.total_tokens = most_tokens
    session.add(row)
    session.flush()
    return row.id


def succeed(session: Session, row_id: int, analysis: Analysis, *, estimate: int | None = None) -> bool:
    """Store the answer to what was begun. False where its row was ended in the meantime.

    `estimate` is what it cost where the provider did not count.
    """
    tokens = Tokens(analysis.prompt_tokens, analysis.completion_tokens, analysis.total_tokens)
    return _end(session, row_id, AnalysisStatus.SUCCEEDED, tokens, estimate, **_answer(analysis))


def fail(
    session: Session,
    row_id: int,
    reason: str,
    *,
    tokens: Tokens,
    estimate: int | None = None,
    kind: FailureKind | None = None,
) -> bool:
    """Store that what was begun failed, why, and what it cost all the same.

    `estimate` is what it may have cost where nobody counted; without one it cost nothing.
    """
    said = {"error_message": _said(reason), "failure_kind": kind}
    return _end(session, row_id, AnalysisStatus.FAILED, tokens, estimate, **said)


def give_up(session: Session, order: AnalysisOrder, reason: str) -> None:
    """Store that an order hangs: as the end of what was begun for it, else as a failure of its own.

    What it cost is not known, so what it may have cost at most stays.
    """
    row = session.scalar(
        select(AnalysisRun)
        .where(AnalysisRun.pipeline_run_id == order.run_id, AnalysisRun.incident_id == order.incident_id)
        .where(AnalysisRun.provider == order.provider, AnalysisRun.status == AnalysisStatus.RUNNING)
        .order_by(AnalysisRun.id.desc())
        .limit(1)
        .with_for_update()
    )
    if row is None:
        add_failed(session, order, reason, kind=FailureKind.NO_ANSWER)
        return
    row.status, row.error_message = AnalysisStatus.FAILED, _said(reason)
    row.failure_kind = FailureKind.NO_ANSWER
    _complete(row, utc_now())
    session.flush()


def add_succeeded(
    session: Session,
    order: AnalysisOrder,
    analysis: Analysis,
    *,
    completed_at: datetime,
    fallback_used: bool = False,
    cached_from_id: int | None = None,
    reason: str = "",
    kind: FailureKind | None = None,
) -> AnalysisRun:
    """Store an answer that cost nothing: by the local rules, or one given again.

    `reason` says why it stands in for one that nobody was asked for; `kind`, of what kind the failure was.
    """
    row = _row(order, AnalysisStatus.SUCCEEDED)
    for name, value in _answer(analysis).items():
        setattr(row, name, value)
    row.fallback_used, row.cached_from_id, row.error_message = fallback_used, cached_from_id, _said(reason)
    row.failure_kind = kind
    _complete(row, completed_at)
    session.add(row)
    session.flush()
    return row


def add_failed(
    session: Session, order: AnalysisOrder, reason: str, *, kind: FailureKind | None = None
) -> AnalysisRun:
    """Store that a provider could not even be asked, and why."""
    row = _row(order, AnalysisStatus.FAILED)
    row.error_message, row.failure_kind = _said(reason), kind
    _complete(row, utc_now())
    session.add(row)
    session.flush()
    return row


def end_cut_off(session: Session, *, run_id: str) -> int:
    """End what an earlier attempt at this run left behind as running, and whatever has run far too long.

    What it cost is not known, so what it may have cost at most stays. The caller holds the run.
    """
    left = and_(AnalysisRun.pipeline_run_id == run_id, AnalysisRun.pipeline_run_id != "")
    rows = session.scalars(
        select(AnalysisRun)
        .where(AnalysisRun.status == AnalysisStatus.RUNNING)
        .where(or_(left, AnalysisRun.created_at < utc_now() - CUT_OFF_AFTER))
        .with_for_update(skip_locked=True)  # whoever holds one is about to end it
    ).all()
    for row in rows:
        row.status, row.error_message = AnalysisStatus.FAILED, CUT_OFF
        row.failure_kind = FailureKind.NO_ANSWER
        _complete(row, utc_now())
    session.flush()
    return len(rows)


def find_answer(session: Session, cache_key: str, *, since: datetime, run_id: str) -> AnalysisRun | None:
    """The newest answer that a provider gave to just this question since then, or ever for this run."""
    of_run = and_(AnalysisRun.pipeline_run_id == run_id, AnalysisRun.pipeline_run_id != "")
    return session.scalar(
        select(AnalysisRun)
        .where(AnalysisRun.cache_key == cache_key, AnalysisRun.status == AnalysisStatus.SUCCEEDED)
        .where(AnalysisRun.cached_from_id.is_(None), or_(AnalysisRun.created_at >= since, of_run))
        .order_by(AnalysisRun.id.desc())
        .limit(1)
    )


def find_newest(session: Session, *, incident_id: int, provider: str = "") -> AnalysisRun | None:
    """The newest answer about an incident, of this kind of provider where one is named."""
    conditions = [AnalysisRun.incident_id == incident_id, AnalysisRun.status == AnalysisStatus.SUCCEEDED]
    if provider:
        conditions.append(AnalysisRun.provider == provider)
    return session.scalar(select(AnalysisRun).where(*conditions).order_by(AnalysisRun.id.desc()).limit(1))


def find_failure(session: Session, row: AnalysisRun) -> AnalysisRun | None:
    """Why the local rules stood in with this answer: the newest failure in its run, of its incident if it has one.

    An answer outside of a run has its own trace_id. None where nobody was asked.
    """
    if not row.fallback_used:
        return None
    same = (AnalysisRun.pipeline_run_id == row.pipeline_run_id, AnalysisRun.trace_id == row.trace_id)
    return session.scalar(
        select(AnalysisRun)
        .where(*same, AnalysisRun.status == AnalysisStatus.FAILED, AnalysisRun.id < row.id)
        .order_by(case((AnalysisRun.incident_id == row.incident_id, 0), else_=1), AnalysisRun.id.desc())
        .limit(1)
    )


def last_asked(session: Session, provider: str, status: AnalysisStatus) -> AnalysisRun | None:
    """The newest time that this kind of provider was really asked and it ended so."""
    return session.scalar(
        select(AnalysisRun)
        .where(AnalysisRun.provider == provider, AnalysisRun.status == status)
        .where(AnalysisRun.cached_from_id.is_(None))
        .order_by(AnalysisRun.id.desc())
        .limit(1)
    )


def is_resting(session: Session, provider: str, *, run_id: str) -> bool:
    """Whether this kind of provider failed other runs so often in a row that for a moment none should wait for it.

    Questions of one run count once: a short outage meets them all. After the rest one run is let through; while
    it asks, and when it fails too, the rest goes on. What is refused at once costs no time, and one that limits
    its rate says itself when to come back.
    """
    now = utc_now()
    newest = session.scalars(
        select(AnalysisRun)
        .where(AnalysisRun.provider == provider, AnalysisRun.created_at >= now - FAILURES_WITHIN)
        .where(AnalysisRun.pipeline_run_id != run_id, AnalysisRun.cached_from_id.is_(None))
        .order_by(AnalysisRun.id.desc())
        .limit(ROWS_LOOKED_AT)
    ).all()
    ended = [row for row in newest if row.status is not AnalysisStatus.RUNNING]
    failed = list(takewhile(lambda row: row.failure_kind in SLOW_FAILURES, ended))
    if len({row.pipeline_run_id or row.trace_id for row in failed}) < FAILURES_IN_A_ROW:
        return False
    is_tried = newest[0].status is AnalysisStatus.RUNNING
    return is_tried or (failed[0].completed_at or failed[0].created_at) > now - REST


def stored_analysis(row: AnalysisRun) -> Analysis:
    """The answer in a row, as the provider gave it."""
    return Analysis(
        summary=row.summary,
        probable_cause=row.probable_cause,
        confidence=row.confidence,
        recommendations=[Recommendation.model_validate(item) for item in row.recommendations],
        model_name=row.model_name,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        total_tokens=row.total_tokens,
    )


def tokens_since(session: Session, moment: datetime) -> int:
    """How many tokens were used since then; for a request that is under way, what it may need at most."""
    total = session.scalar(select(func.sum(AnalysisRun.total_tokens)).where(AnalysisRun.created_at >= moment))
    return int(total or 0)


def _end(
    session: Session, row_id: int, status: AnalysisStatus, tokens: Tokens, estimate: int | None, **values: Any
) -> bool:
    row = session.get_one(AnalysisRun, row_id, with_for_update=True)
    # What was used is known only now, also where nobody waits for the answer any more.
    row.prompt_tokens, row.completion_tokens = _count(tokens.prompt), _count(tokens.completion)
    total = _count(tokens.total)
    row.total_tokens = _count(estimate) if total is None else total
    is_awaited = row.status is AnalysisStatus.RUNNING
    if is_awaited:
        for name, value in {"status": status, **values}.items():
            setattr(row, name, value)
        _complete(row, utc_now())
    session.flush()
    return is_awaited


def _count(tokens: int | None) -> int | None:
    return tokens if tokens is not None and 0 <= tokens <= MAX_TOKENS else None


def _complete(row: AnalysisRun, moment: datetime) -> None:
    row.completed_at = moment
    if row.started_at:
        row.duration_ms = (moment - row.started_at).total_seconds() * 1000


def _answer(analysis: Analysis) -> dict[str, Any]:
    said: dict[str, Any] = storable(
        {
            "summary": analysis.summary,
            "probable_cause": analysis.probable_cause,
            "confidence": analysis.confidence,
            "recommendations": [item.model_dump(mode="json") for item in analysis.recommendations],
            "recommendations_count": len(analysis.recommendations),
        }
    )
    return {**redact(said), "model_name": _short(analysis.model_name, MODEL_MAX_CHARS)}


def _said(reason: str) -> str:
    return _short(reason, MESSAGE_MAX_CHARS)


def _short(said: str, max_chars: int) -> str:
    return redact_text(storable_text(said))[:max_chars]


def _row(order: AnalysisOrder, status: AnalysisStatus) -> AnalysisRun:
    return AnalysisRun(
        status=status,
        trace_id=order.trace_id,
        pipeline_run_id=order.run_id,
        provider=order.provider,
        provider_config=redact(dict(order.provider_config)),
        model_name=order.model_name[:MODEL_MAX_CHARS],
        incident_id=order.incident_id,
        input_summary=order.input_summary,
        checker_output_ref=order.checker_output_ref,
        cache_key=order.cache_key,
        started_at=order.started_at,
    )
