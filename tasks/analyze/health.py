"""How analysis stands: who would be asked, whether that can work, what it has cost today, and how it went last."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage import analyses, providers, settings
from storage.records import ProviderConfig
from storage.redaction import is_reference, redact_text
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import AnalysisStatus, FailureKind
from tasks.analyze.asking import LOCAL
from tasks.analyze.offers import RULES, is_extra_installed
from tasks.analyze.providers import build
from tasks.analyze.providers.ai import EXTRA, AiProvider
from tasks.errors import PermanentError, TransientError


def health_of(session: Session) -> dict[str, Any]:
    """What may be shown of it as JSON. No provider is asked, and so no Prefect server for a secret of its.

    `status` is ok, or degraded where the `problems` make it likely that the local rules would have to stand in.
    """
    provider = providers.find_active(session) or LOCAL
    daily, used = settings.load().ai_daily_tokens, analyses.tokens_since(session, _midnight())
    success = analyses.last_asked(session, provider.provider, AnalysisStatus.SUCCEEDED)
    failure = analyses.last_asked(session, provider.provider, AnalysisStatus.FAILED)
    model, problems = _model_and_problems(provider)
    unmended = failure if failure and (success is None or failure.id > success.id) else None
    is_budget = unmended is not None and unmended.failure_kind is FailureKind.BUDGET_SPENT
    # What is left of the day may be more than nothing, and yet too little for a question.
    if daily and (used >= daily or (unmended and is_budget and unmended.created_at >= _midnight())):
        problems.append(FailureKind.BUDGET_SPENT.told)
    elif unmended and not is_budget:
        why = f": {unmended.failure_kind.told}" if unmended.failure_kind else ""
        problems.append(f"it failed when it was last asked{why}")
    return {
        "status": "degraded" if problems else "ok",
        "problems": problems,
        "provider": {"name": provider.name, "provider": provider.provider, "model": model},
        "is_extra_installed": is_extra_installed(),
        "fallback_enabled": settings.load().intelligence_fallback_enabled,
        "budget": {"used_today": used, "daily": daily or None, "left": max(daily - used, 0) if daily else None},
        "last_success": success and {"at": success.created_at, "model_name": success.model_name},
        "last_failure": failure and _failure_fields(failure),
    }


def _failure_fields(failure: AnalysisRun) -> dict[str, Any]:
    return {
        "at": failure.created_at,
        "kind": failure.failure_kind,
        "error": redact_text(failure.error_message),
    }


def _midnight() -> datetime:
    return utc_now().replace(hour=0, minute=0, second=0, microsecond=0)


def _model_and_problems(provider: ProviderConfig) -> tuple[str, list[str]]:
    try:
        built = build(provider.provider, without_blocks(provider.config))
    except (PermanentError, TransientError) as error:
        return "", [redact_text(str(error))]
    if not isinstance(built, AiProvider):
        return RULES, []
    return built.config.model, [] if is_extra_installed() else [f"it needs the extra {EXTRA}"]


def without_blocks(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with a stand-in for what only Prefect's server could tell."""
    return {
        name: "kept by Prefect" if is_reference(value) and "prefect" in value else value
        for name, value in config.items()
    }
