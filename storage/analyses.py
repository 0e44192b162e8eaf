"""The audit trail of analyses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.records import Analysis
from storage.redaction import redact, redact_text
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import AnalysisStatus


def add_succeeded(
    session: Session,
    analysis: Analysis,
    *,
    provider: str,
    provider_config: Mapping[str, Any],
    incident_id: int | None,
    run_id: str,
    trace_id: str,
    started_at: datetime,
    fallback_used: bool,
    input_summary: str,
    checker_output_ref: str,
) -> AnalysisRun:
    """Store a provider's answer."""
    row = _row(provider, provider_config, incident_id, run_id, trace_id, started_at)
    row.status = AnalysisStatus.SUCCEEDED
    row.fallback_used = fallback_used
    row.input_summary = input_summary
    row.checker_output_ref = checker_output_ref
    row.model_name = analysis.model_name
    row.summary = analysis.summary
    row.probable_cause = analysis.probable_cause
    row.confidence = analysis.confidence
    row.recommendations = [item.model_dump(mode="json") for item in analysis.recommendations]
    row.recommendations_count = len(analysis.recommendations)
    row.prompt_tokens = analysis.prompt_tokens
    row.completion_tokens = analysis.completion_tokens
    row.total_tokens = analysis.total_tokens
    session.add(row)
    session.flush()
    return row


def add_failed(
    session: Session,
    error: Exception,
    *,
    provider: str,
    provider_config: Mapping[str, Any],
    incident_id: int | None,
    run_id: str,
    trace_id: str,
    started_at: datetime,
) -> AnalysisRun:
    """Store that a provider did not answer, and why."""
    row = _row(provider, provider_config, incident_id, run_id, trace_id, started_at)
    row.status = AnalysisStatus.FAILED
    row.error_message = redact_text(f"{type(error).__name__}: {error}")
    session.add(row)
    session.flush()
    return row


def _row(
    provider: str,
    provider_config: Mapping[str, Any],
    incident_id: int | None,
    run_id: str,
    trace_id: str,
    started_at: datetime,
) -> AnalysisRun:
    now = utc_now()
    return AnalysisRun(
        trace_id=trace_id,
        pipeline_run_id=run_id,
        provider=provider,
        provider_config=redact(dict(provider_config)),
        incident_id=incident_id,
        started_at=started_at,
        completed_at=now,
        duration_ms=(now - started_at).total_seconds() * 1000,
    )
