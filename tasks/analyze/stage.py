"""The analyze stage: a probable cause and next steps for every incident that people are told about.

A provider that fails costs no alert: the local rules stand in for it, and the message says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, field_validator
from sqlalchemy.orm import Session

from storage import alerts, analyses, database, settings
from storage.analyses import AnalysisOrder
from storage.records import Analysis, AnalyzeResult, ChecksResult, IncidentAnalysis
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, RunStatus, Stage
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.providers.base import AnalysisRequest
from tasks.attempt import StageContext, StageKind
from tasks.errors import is_retryable

FALLBACK = "local"


class IntelligenceConfig(BaseModel, extra="forbid"):
    """Which provider, and its config."""

    provider: str = FALLBACK
    provider_config: dict[str, Any] = Field(default_factory=dict)

    @field_validator("provider")
    @classmethod
    def _is_known(cls, provider: str) -> str:
        if provider not in PROVIDERS:
            raise ValueError(f"unknown provider {provider!r}; one of {', '.join(PROVIDERS)}")
        return provider


@dataclass(frozen=True)
class Answer:
    """What was asked about an incident and what came back; `failure` is the first provider's, if it failed."""

    request: AnalysisRequest
    provider: str
    provider_config: Mapping[str, Any]
    started_at: datetime
    analysis: Analysis
    failure: Exception | None = None


def work(context: StageContext) -> list[Answer]:
    """Ask the provider about each incident that began to fire. Raises while a retry may still help."""
    return [_ask(context, request) for request in _requests(context)]


def store(session: Session, context: StageContext, answers: Sequence[Answer]) -> AnalyzeResult:
    """Write an AnalysisRun per answer, and one per failure before it."""
    stored = [_store_answer(session, context, answer) for answer in answers]
    fallback_used = any(analysis.fallback_used for analysis in stored)
    run = session.get_one(PipelineRun, context.run.pk)
    run.intelligence_fallback_used = fallback_used
    run.intelligence_output_ref = f"run:{context.run.run_id}:analyses"
    return AnalyzeResult(analyses=stored, fallback_used=fallback_used)


def _requests(context: StageContext) -> list[AnalysisRequest]:
    firing = {c.incident_id for c in context.changes() if c.reason is NotificationReason.FIRING}
    checks = context.outputs(ChecksResult)
    with database.get().read() as session:
        incidents = alerts.view_incidents(session, firing).values()
    return [
        AnalysisRequest(
            incident=incident,
            checks=checks[-1].checks if checks else [],
            evidence=checks[-1].evidence if checks else {},
        )
        for incident in incidents
    ]


def _ask(context: StageContext, request: AnalysisRequest) -> Answer:
    name, config = context.config.provider, context.config.provider_config
    started_at = utc_now()
    try:
        return Answer(request, name, config, started_at, _analyze(name, config, request))
    except Exception as error:
        falls_back = settings.load().intelligence_fallback_enabled and name != FALLBACK
        if not falls_back or (is_retryable(error) and not context.is_last_attempt):
            raise
        return Answer(request, name, config, started_at, _analyze(FALLBACK, {}, request), error)


def _analyze(name: str, config: Mapping[str, Any], request: AnalysisRequest) -> Analysis:
    provider = PROVIDERS[name]
    return provider(provider.Config.model_validate(dict(config))).analyze(request)


def _store_answer(session: Session, context: StageContext, answer: Answer) -> IncidentAnalysis:
    incident = answer.request.incident
    order = AnalysisOrder(
        provider=answer.provider,
        provider_config=answer.provider_config,
        incident_id=incident.id if incident else None,
        run_id=context.run.run_id,
        trace_id=context.run.trace_id,
        started_at=answer.started_at,
        input_summary=_input_summary(answer.request),
        checker_output_ref=f"run:{context.run.run_id}:checks" if answer.request.checks else "",
    )
    fallback_used = answer.failure is not None
    if answer.failure is not None:
        analyses.add_failed(session, order, answer.failure)
        order = replace(order, provider=FALLBACK, provider_config={})
    row = analyses.add_succeeded(session, order, answer.analysis, fallback_used=fallback_used)
    return IncidentAnalysis(
        incident_id=order.incident_id,
        provider=order.provider,
        fallback_used=fallback_used,
        ai_output_ref=f"analysis:{row.id}",
        analysis=answer.analysis,
    )


def _input_summary(request: AnalysisRequest) -> str:
    about = f"{request.incident.title} ({request.incident.alert_count} alerts)" if request.incident else "host"
    return f"{about}; {len(request.checks)} check results"


ANALYZE = StageKind(
    stage=Stage.ANALYZE, reached=RunStatus.ANALYZED, config=IntelligenceConfig, work=work, store=store
)
