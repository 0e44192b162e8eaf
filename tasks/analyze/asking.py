"""One question to one provider: paid for once, written down, and answered by the local rules where that fails."""

import logging
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from storage import analyses, database, providers, settings
from storage.analyses import AnalysisOrder, BudgetSpentError
from storage.records import Analysis, IncidentAnalysis, ProviderConfig, Tokens
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import FailureKind
from tasks.analyze.failure import kind_of
from tasks.analyze.prompt import Prompt
from tasks.analyze.providers import build
from tasks.analyze.providers.ai import AiProvider, Meter
from tasks.analyze.request import AnalysisRequest
from tasks.analyze.tokens import estimate_tokens
from tasks.analyze.visible import visible
from tasks.errors import PermanentError, TransientError

LOCAL = ProviderConfig(name="local", provider="local", config={})
# With less time than this left, nothing is asked.
LEAST_SECONDS = 0.5
# Beyond a provider's time limit, until what was begun counts as cut off with its process.
ENDS_WITHIN_SECONDS = 30
# A client that cancels itself has failed like any other.
FAILURES = (Exception, CancelledError)

log = logging.getLogger("watchkeeper.analyze")


@dataclass(frozen=True)
class Question:
    """What is asked, and for which run; outside of a run `run_id` is empty."""

    request: AnalysisRequest
    run_id: str = ""
    trace_id: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back. One that was paid for is stored already, as `row_id`.

    `reason` says why it stands in for one that nobody was asked for.
    """

    question: Question
    provider: ProviderConfig
    analysis: Analysis
    started_at: datetime
    answered_at: datetime
    fallback_used: bool = False
    row_id: int | None = None
    cached_from_id: int | None = None
    reason: str = ""
    instead_of: str = ""
    failure: FailureKind | None = None


def choose(provider: str | None, config: Mapping[str, Any]) -> ProviderConfig:
    """The provider of this kind; where none is named the active one, else the local rules."""
    if provider:
        return ProviderConfig(name=provider, provider=provider, config=dict(config))
    with database.get().read() as session:
        active = providers.find_active(session)
    return active or LOCAL.model_copy(update={"config": dict(config)})


def ask(chosen: ProviderConfig, question: Question, *, within_seconds: float | None = None) -> Answer:
    """Ask a provider. Raises as its `ask` does, once the failure is written down.

    Also raises TransientError where no time is left to ask, and where just this is being asked already.
    """
    until = None if within_seconds is None else time.monotonic() + within_seconds
    try:
        return _ask(chosen, question, until)
    except CancelledError:  # not ours: nothing here runs in a loop
        raise TransientError(
            f"{chosen.name}: its client cancelled the request", kind=FailureKind.NO_ANSWER
        ) from None


def give_up(chosen: ProviderConfig, question: Question, error: Exception) -> None:
    """Write down that asking hangs; what may still come of it adds no more than its cost."""
    _write_failure(lambda session: analyses.give_up(session, _order(chosen, question), _words(error)))


def fall_back(
    question: Question, *, reason: str = "", instead_of: str = "", failure: FailureKind | None = None
) -> Answer:
    """The local rules' answer in place of one that did not come, or for this reason was not asked for."""
    return replace(ask(LOCAL, question), fallback_used=True, reason=reason, instead_of=instead_of, failure=failure)


def store(session: Session, answer: Answer) -> IncidentAnalysis:
    """Write down an answer, unless it is already."""
    row_id = answer.row_id
    if row_id is None:
        row_id = analyses.add_succeeded(
            session,
            replace(_order(answer.provider, answer.question), started_at=answer.started_at),
            answer.analysis,
            completed_at=answer.answered_at,
            fallback_used=answer.fallback_used,
            cached_from_id=answer.cached_from_id,
            reason=answer.reason,
            kind=answer.failure,
        ).id
    incident = answer.question.request.incident
    return IncidentAnalysis(
        incident_id=incident.id if incident else None,
        provider=answer.provider.provider,
        fallback_used=answer.fallback_used,
        ai_output_ref=f"analysis:{row_id}",
        analysis=answer.analysis,
        instead_of=answer.instead_of,
        failure=answer.failure,
    )


def _ask(chosen: ProviderConfig, question: Question, until: float | None) -> Answer:
    order = _order(chosen, question)
    with _failure_written(order):
        _time_left(until)
        provider = build(chosen.provider, chosen.config)
        if not isinstance(provider, AiProvider):
            analysis = provider.analyze(question.request)
            return Answer(question, chosen, analysis, order.started_at, answered_at=utc_now())
        prompt = provider.compose(question.request)
        order = replace(order, model_name=provider.config.model, cache_key=provider.cache_key(prompt))
    with _failure_written(order):
        within_seconds = _time_left(until)
        begun = _begin(order, provider, prompt)
    if isinstance(begun, AnalysisRun):
        return _given_again(begun, chosen, question, order)
    analysis = _pay(provider, prompt, begun, within_seconds=within_seconds)
    return Answer(question, chosen, analysis, order.started_at, answered_at=utc_now(), row_id=begun)


def _time_left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left < LEAST_SECONDS:
        raise TransientError("no time was left to ask", kind=FailureKind.NO_ANSWER)
    return round(left, 1)


def _given_again(given: AnalysisRun, chosen: ProviderConfig, question: Question, order: AnalysisOrder) -> Answer:
    analysis = analyses.stored_analysis(given)
    again = Answer(question, chosen, analysis, order.started_at, answered_at=utc_now())
    if given.pipeline_run_id == order.run_id and order.run_id:
        return replace(again, row_id=given.id)  # an earlier try of this run paid for it
    free = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    return replace(again, analysis=analysis.model_copy(update=free), cached_from_id=given.id)


def _begin(order: AnalysisOrder, provider: AiProvider, prompt: Prompt) -> AnalysisRun | int:
    """The answer that was given before, else the row of what is begun now; in one turn, so none pays twice."""
    current, now = settings.load(), utc_now()
    given_since = now - timedelta(hours=current.ai_cache_hours)
    begun_since = now - timedelta(seconds=provider.config.timeout_seconds + ENDS_WITHIN_SECONDS)
    most_tokens, daily_tokens = provider.most_tokens(prompt), current.ai_daily_tokens
    try:
        with database.get().write() as session:
            analyses.take_turn(session)
            given = analyses.find_answer(session, order.cache_key, since=given_since, run_id=order.run_id)
            if given:
                return given
            if analyses.is_being_asked(session, order.cache_key, since=begun_since):
                raise TransientError(
                    "the same is being asked already; its answer will be given again", kind=FailureKind.NO_ANSWER
                )
            return analyses.begin(session, order, most_tokens=most_tokens, daily_tokens=daily_tokens)
    except BudgetSpentError as spent:
        raise PermanentError(str(spent), kind=FailureKind.BUDGET_SPENT) from None


def _pay(provider: AiProvider, prompt: Prompt, row_id: int, *, within_seconds: float | None) -> Analysis:
    meter = Meter()
    unsent, estimate = meter.tokens, prompt.estimated_tokens
    try:
        analysis = provider.ask(prompt, meter, within_seconds=within_seconds)
    except FAILURES as error:
        # The meter is read whenever something may have been sent.
        is_free = meter.tokens is unsent or _is_unprocessed(error)
        _fail(row_id, _words(error), meter.tokens, None if is_free else estimate, kind_of(error))
        raise
    estimate += estimate_tokens(analysis.model_dump_json())
    try:
        with database.get().write() as session:
            analyses.succeed(session, row_id, analysis, estimate=estimate)
    except Exception as error:  # noqa: BLE001  (whatever it is: another try would pay again, to the same end)
        said = f"the answer could not be stored ({type(error).__name__})"  # more may quote it
        _fail(row_id, said, meter.tokens, estimate)
        raise PermanentError(said) from None
    return analysis


def _is_unprocessed(error: BaseException) -> bool:
    """Whether the vendor surely did nothing: it refused (4xx), or there was no connection to it."""
    import httpx2  # noqa: PLC0415  (an extra, and here by now)

    cause: BaseException | None = error
    while cause is not None:
        status = getattr(cause, "status_code", None)
        if isinstance(status, int):
            return 400 <= status < 500  # noqa: PLR2004  client errors
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _fail(row_id: int, reason: str, tokens: Tokens, estimate: int | None, kind: FailureKind | None = None) -> None:
    _write_failure(
        lambda session: analyses.fail(session, row_id, reason, tokens=tokens, estimate=estimate, kind=kind)
    )


def _write_failure(write: Callable[[Session], object]) -> None:
    try:
        with database.get().write() as session:
            write(session)
    except Exception as error:  # noqa: BLE001  (it must not hide the failure: that one says whether to try again)
        log.warning("failure not written", extra={"error": type(error).__name__})


@contextmanager
def _failure_written(order: AnalysisOrder) -> Iterator[None]:
    """Write down what kept a provider from being asked."""
    try:
        yield
    except FAILURES as error:
        reason, kind = _words(error), kind_of(error)
        _write_failure(lambda session: analyses.add_failed(session, order, reason, kind=kind))
        raise


def _words(error: BaseException) -> str:
    return visible(f"{type(error).__name__}: {error}")


def _order(chosen: ProviderConfig, question: Question) -> AnalysisOrder:
    incident = question.request.incident
    about = f"{incident.title} ({incident.alert_count} alerts)" if incident else "host"
    has_checks = bool(question.request.checks and question.run_id)
    return AnalysisOrder(
        provider=chosen.provider,
        provider_config=chosen.config,
        model_name=str(chosen.config.get("model", "")),
        incident_id=incident.id if incident else None,
        run_id=question.run_id,
        trace_id=question.trace_id,
        started_at=utc_now(),
        input_summary=f"{about}; {len(question.request.checks)} check results",
        checker_output_ref=f"run:{question.run_id}:checks" if has_checks else "",
    )
