"""Analyses as the API shows them with their run and their incident. It knows no Flask."""

from collections.abc import Sequence
from typing import Any

from storage.redaction import redact
from storage.tables import AnalysisRun

ANALYSES_SHOWN = 20


def analyses_fields(rows: Sequence[AnalysisRun]) -> list[dict[str, Any]]:
    """Who was asked, what came of it, what it cost, and why it failed."""
    return [redact(_fields(row)) for row in rows]


def _fields(row: AnalysisRun) -> dict[str, Any]:
    return {
        "id": row.id,
        "run_id": row.pipeline_run_id,
        "incident_id": row.incident_id,
        "provider": row.provider,
        "model": row.model_name,
        "status": row.status,
        "error": row.error_message,
        "failure_kind": row.failure_kind,
        "fallback_used": row.fallback_used,
        "cached_from": row.cached_from_id,
        "summary": row.summary,
        "probable_cause": row.probable_cause,
        "confidence": row.confidence,
        "recommendations_count": row.recommendations_count,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "total_tokens": row.total_tokens,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "duration_ms": row.duration_ms,
    }
