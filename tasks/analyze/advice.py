"""Advice on request: about an incident, or about this host as it is now."""

from uuid import uuid4

from sqlalchemy.orm import Session

from storage import alerts, analyses, database, incidents, providers, settings
from storage.records import IncidentAnalysis, ProviderConfig
from storage.redaction import redact_text
from storage.transitions import IncidentNotFoundError
from tasks.analyze.asking import Answer, Question, ask, choose, fall_back, store
from tasks.analyze.failure import kind_of
from tasks.analyze.host_advice import RULES, Advised, Part, about_host, by_rules, with_readings
from tasks.analyze.request import AnalysisRequest
from tasks.analyze.stage import EARLIER_INCIDENTS
from tasks.errors import PermanentError, TransientError

__all__ = [
    "Advised",
    "Part",
    "about_host",
    "about_incident",
    "advise",
    "by_rules",
    "chosen",
    "newest",
    "said",
    "with_readings",
]

ASK_SECONDS = 60.0


def about_incident(session: Session, incident_id: int) -> AnalysisRequest:
    """A question about a stored incident, without readings. Raises IncidentNotFoundError."""
    view = alerts.view_incidents(session, [incident_id]).get(incident_id)
    if view is None:
        raise IncidentNotFoundError(f"there is no incident {incident_id}")
    earlier = incidents.earlier_of_group(session, incident_id, limit=EARLIER_INCIDENTS)
    return AnalysisRequest(incident=view, earlier=earlier)


def chosen(session: Session, kind: str | None) -> ProviderConfig:
    """The saved provider of this kind, the active one before others; where none is named the active one.

    Where nothing is saved, it is the kind with its defaults, or the local rules.
    """
    if kind is None:
        return providers.find_active(session) or choose(RULES, {})
    saved = [row for row in providers.list_providers(session) if row.provider == kind]
    row = max(saved, key=lambda each: each.is_active, default=None)
    return ProviderConfig(name=row.name, provider=kind, config=row.config) if row else choose(kind, {})


def advise(request: AnalysisRequest, provider: ProviderConfig) -> Advised:
    """Ask, once. Where that fails the local rules answer, unless the installation forbids it.

    Every answer is stored, and every failure of its own. Raises then as the provider does.
    """
    question = Question(request, trace_id=str(uuid4()))
    provider_error = ""
    try:
        answer = ask(provider, question, within_seconds=ASK_SECONDS)
    except Exception as error:  # (an edge: it is written down and told)
        if not settings.load().intelligence_fallback_enabled:
            raise
        provider_error = said(error)
        answer = fall_back(question, instead_of=provider.provider, failure=kind_of(error))
    with database.get().write() as session:
        result = store(session, answer)
    return _advised(answer, result, provider_error)


def newest(session: Session, incident_id: int, *, kind: str = "") -> Advised | None:
    """The newest stored answer about an incident, of this kind of provider where one is named."""
    row = analyses.find_newest(session, incident_id=incident_id, provider=kind)
    if row is None:
        return None
    failed = analyses.find_failure(session, row)
    result = IncidentAnalysis(
        incident_id=incident_id,
        provider=row.provider,
        fallback_used=row.fallback_used,
        ai_output_ref=f"analysis:{row.id}",
        analysis=analyses.stored_analysis(row),
        instead_of=failed.provider if failed else "",
        failure=row.failure_kind or (failed and failed.failure_kind),
    )
    return Advised(
        result=result,
        analyzed_at=row.created_at,
        provider_error=row.error_message or (failed.error_message if failed else ""),
        is_cached=row.cached_from_id is not None,
    )


def said(error: Exception) -> str:
    """Words that were chosen for people; of an error that nobody foresaw, its kind alone."""
    is_foreseen = isinstance(error, PermanentError | TransientError)
    return redact_text(str(error)) if is_foreseen else f"failed with {type(error).__name__}"


def _advised(answer: Answer, result: IncidentAnalysis, provider_error: str) -> Advised:
    return Advised(
        result=result,
        analyzed_at=answer.answered_at,
        provider_error=provider_error,
        is_cached=answer.cached_from_id is not None,
    )
