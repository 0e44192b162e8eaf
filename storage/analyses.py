"""The audit trail of analyses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.records import Analysis
from storage.redaction import redact, redact_text
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import AnalysisStatus


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


def add_succeeded(
    session: Session, order: AnalysisOrder, analysis: Analysis, *, fallback_used: bool
) -> AnalysisRun:
    """Store a provider's answer."""
    row = _row(order, AnalysisStatus.SUCCEEDED)
    row.fallback_used = fallback_used
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


def add_failed(session: Session, order: AnalysisOrder, error: Exception) -> AnalysisRun:
    """Store that a provider did not answer, and why."""
    row = _row(order, AnalysisStatus.FAILED)
    row.error_message = redact_text(f"{type(error).__name__}: {error}")
    session.add(row)
    session.flush()
    return row


def _row(order: AnalysisOrder, status: AnalysisStatus) -> AnalysisRun:
    now = utc_now()
    return AnalysisRun(
        status=status,
        trace_id=order.trace_id,
        pipeline_run_id=order.run_id,
        provider=order.provider,
        provider_config=redact(dict(order.provider_config)),
        incident_id=order.incident_id,
        input_summary=order.input_summary,
        checker_output_ref=order.checker_output_ref,
        started_at=order.started_at,
        completed_at=now,
        duration_ms=(now - order.started_at).total_seconds() * 1000,
    )
