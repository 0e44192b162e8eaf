"""The analyze stage: a probable cause and next steps for every incident that people are told about.

A provider that fails costs no alert, and delays it by no more than the node's patience: the local rules stand
in for it, and the message says so.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import zip_longest
from typing import Any

from pydantic import BaseModel, Field, field_validator
from sqlalchemy.orm import Session

from storage import alerts, analyses, database, incidents, settings, stages
from storage.log_fields import in_context
from storage.records import AnalyzeResult, ChecksResult, IncidentView, ProviderConfig
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import CheckStatus, FailureKind, NotificationReason, RunStatus, Stage
from tasks.analyze.asking import LEAST_SECONDS, LOCAL, Answer, Question, ask, choose, fall_back, give_up, store
from tasks.analyze.failure import kind_of
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.request import AnalysisRequest
from tasks.attempt import StageContext, StageKind
from tasks.backoff import MAX_WISH_SECONDS, retry_delay_seconds
from tasks.check.calls import Call, HungError
from tasks.errors import PermanentError, TransientError, is_retryable

log = logging.getLogger("watchkeeper.stage")

EARLIER_INCIDENTS = 5
ASKED_AT_ONCE = 4
# Of a node's time limit; the rest is for the local rules and for writing down.
SHARE_FOR_ASKING = 0.8
# Beyond it, for what ended just in time to be written down; in a node of less than ten seconds a tenth of them.
GRACE_SECONDS = 1.0
# Their outputs are in the request already.
IN_THE_REQUEST = frozenset({Stage.INGEST, Stage.CHECK, Stage.NOTIFY})


class IntelligenceConfig(BaseModel, extra="forbid"):
    """Which provider, and its config; without one the active provider, else the local rules.

    `patience_seconds`: how long the node waits for an AI provider at most, over all its tries.
    `max_incidents`: how many of a run's incidents it is asked about, the worst; the local rules answer for the
    others.
    """

    provider: str | None = None
    provider_config: dict[str, Any] = Field(default_factory=dict)
    patience_seconds: float = Field(default=45, ge=1, le=MAX_WISH_SECONDS)
    max_incidents: int = Field(default=10, ge=1, le=200)

    @field_validator("provider")
    @classmethod
    def _is_known(cls, provider: str | None) -> str | None:
        if provider is not None and provider not in PROVIDERS:
            raise ValueError(f"unknown provider {provider!r}; one of {', '.join(PROVIDERS)}")
        return provider


def work(context: StageContext) -> list[Answer]:
    """Ask the provider about each incident that began to fire, worst first.

    Raises TransientError while another try may still help within the node's patience, and PermanentError where
    none does and the local rules may not stand in. Neither holds a word of the provider's; their cause does.
    """
    questions = [Question(request, context.run.run_id, context.run.trace_id) for request in _requests(context)]
    chosen = choose(context.config.provider, context.config.provider_config)
    until = _ask_until(context)
    tries = [] if _is_resting(context, chosen) else _ask_all(context, chosen, questions, until)
    if failures := [tried for tried in tries if isinstance(tried, Exception)]:
        _raise_where_wanted(context, chosen, failures, until)
    why, unasked = _why_not_asked(context, tries)
    answers = (
        tried
        if isinstance(tried, Answer)
        else _stand_in(
            question,
            reason="" if tried else why,
            instead_of=chosen.provider,
            failure=kind_of(tried) if tried else unasked,
        )
        for question, tried in zip_longest(questions, tries)
    )
    return [answer for answer in answers if answer]


def store_answers(session: Session, context: StageContext, answers: Sequence[Answer]) -> AnalyzeResult:
    """Write down what is not yet, and what the run made of it."""
    stored = [store(session, answer) for answer in answers]
    fallback_used = any(analysis.fallback_used for analysis in stored)
    run = session.get_one(PipelineRun, context.run.pk)
    run.intelligence_fallback_used |= fallback_used
    run.intelligence_output_ref = f"run:{context.run.run_id}:analyses"
    return AnalyzeResult(analyses=stored, fallback_used=fallback_used)


def _ask_all(
    context: StageContext, chosen: ProviderConfig, questions: Sequence[Question], until: datetime
) -> list[Answer | Exception]:
    """What came of the first questions, in order; the others were not asked."""
    if chosen.provider == LOCAL.provider:
        return [_try_rules(chosen, question) for question in questions]
    try_one = in_context(partial(_try, context, chosen, until))
    asked = questions[: context.config.max_incidents]
    with ThreadPoolExecutor(ASKED_AT_ONCE, "analyze") as threads:
        tries = list(threads.map(try_one, asked[:ASKED_AT_ONCE]))
        # One that answers none of these is away, or refuses us; nobody should wait for it, or pay, any longer.
        if any(isinstance(tried, Answer) for tried in tries):
            tries += threads.map(try_one, asked[ASKED_AT_ONCE:])
    return tries


def _try(context: StageContext, chosen: ProviderConfig, until: datetime, question: Question) -> Answer | Exception:
    """Ask, and leave behind what hangs: a key that is looked up, a client that overlooks its deadline."""
    left = (until - utc_now()).total_seconds()
    grace = min(GRACE_SECONDS, context.timeout_seconds / 10)
    call = Call(partial(ask, chosen, question, within_seconds=left), name="analyze")
    try:
        return call.result(until=time.monotonic() + max(left, 0) + grace)
    except HungError:
        hung = TransientError(
            f"{chosen.name} hangs: neither an answer nor a failure within {left:.0f} s", kind=FailureKind.NO_ANSWER
        )
        give_up(chosen, question, hung)
        return hung
    except Exception as error:  # noqa: BLE001  (an edge: it is written down, and judged by the caller)
        return error


def _try_rules(chosen: ProviderConfig, question: Question) -> Answer | Exception:
    try:
        return ask(chosen, question)
    except Exception as error:  # noqa: BLE001  (the same)
        return error


def _is_resting(context: StageContext, chosen: ProviderConfig) -> bool:
    """Whether the provider failed so often that people should not wait for it just now."""
    if chosen.provider == LOCAL.provider or not settings.load().intelligence_fallback_enabled:
        return False
    with database.get().read() as session:
        return analyses.is_resting(session, chosen.provider, run_id=context.run.run_id)


def _why_not_asked(context: StageContext, tries: Sequence[Answer | Exception]) -> tuple[str, FailureKind | None]:
    if not tries:
        return f"not asked: {FailureKind.RESTING.told}", FailureKind.RESTING
    if any(isinstance(tried, Answer) for tried in tries):
        most = context.config.max_incidents
        return f"not asked: only {most} of a run's incidents are (max_incidents)", FailureKind.TOO_MANY_INCIDENTS
    kind = next((kind_of(tried) for tried in tries if isinstance(tried, Exception)), None)
    return f"not asked: none of the first {len(tries)} of the run's incidents got an answer", kind


def _stand_in(question: Question, *, reason: str, instead_of: str, failure: FailureKind | None) -> Answer | None:
    """The local rules' answer. Where even they fail, people are told without one."""
    try:
        return fall_back(question, reason=reason, instead_of=instead_of, failure=failure)
    except Exception:  # noqa: BLE001  (an edge: it is written down, and no alert is lost for it)
        return None


def _ask_until(context: StageContext) -> datetime:
    """When patience ends: that of the node, counted from its first try, or of this one."""
    with database.get().write() as session:
        analyses.end_cut_off(session, run_id=context.run.run_id)
        began = stages.first_begun_at(session, run_pk=context.run.pk, node_id=context.node_id)
    now = utc_now()
    return min(
        (began or now) + timedelta(seconds=context.config.patience_seconds),
        now + timedelta(seconds=context.timeout_seconds * SHARE_FOR_ASKING),
    )


def _raise_where_wanted(
    context: StageContext, chosen: ProviderConfig, failures: Sequence[Exception], until: datetime
) -> None:
    said = f"AI analysis unavailable: {chosen.name} failed; why is in the run's analyses"
    kinds = sorted({kind or "other" for kind in map(kind_of, failures)})
    fields = {"trace_id": context.run.trace_id, "run_id": context.run.run_id, "provider": chosen.provider}
    log.warning("analysis failed", extra={**fields, "failures": ",".join(kinds)})
    wait = max(retry_delay_seconds(context.attempt, failure) for failure in failures)
    is_passing = all(is_retryable(failure) for failure in failures)
    has_time = utc_now() + timedelta(seconds=wait + LEAST_SECONDS) < until
    if is_passing and has_time and not context.is_last_attempt:
        raise TransientError(said, retry_after_seconds=wait) from failures[0]  # what was answered is given again
    if not settings.load().intelligence_fallback_enabled:
        raise PermanentError(said) from failures[0]


def _requests(context: StageContext) -> list[AnalysisRequest]:
    """One for each incident, the worst first and then the oldest."""
    firing = {c.incident_id for c in context.changes() if c.reason is NotificationReason.FIRING}
    results = context.outputs(ChecksResult)
    # What does not apply to the host says nothing about it.
    checks = [
        check for result in results[-1:] for check in result.checks if check.status is not CheckStatus.SKIPPED
    ]
    previous = {
        node_id: output
        for node_id, output in context.previous.items()
        if output.get("stage") not in IN_THE_REQUEST
    }
    with database.get().read() as session:
        views = alerts.view_incidents(session, firing)
        earlier = incidents.earlier_of_groups(session, views, limit=EARLIER_INCIDENTS)
    return [
        AnalysisRequest(
            incident=incident,
            checks=checks,
            evidence=results[-1].evidence if results else {},
            earlier=earlier[incident.id],
            previous=previous,
        )
        for incident in sorted(views.values(), key=_concern)
    ]


def _concern(incident: IncidentView) -> tuple[int, int]:
    return -incident.severity.rank, incident.id


ANALYZE = StageKind(
    stage=Stage.ANALYZE,
    reached=RunStatus.ANALYZED,
    config=IntelligenceConfig,
    work=work,
    store=store_answers,
    is_waiting=True,
)
