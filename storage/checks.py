"""The audit trail of health checks."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from storage.records import CheckResult
from storage.redaction import redact, redact_text
from storage.tables import CheckRun


def add_check_runs(
    session: Session, results: Sequence[CheckResult], *, hostname: str, trace_id: str
) -> list[CheckRun]:
    """Store one row per result."""
    rows = [
        CheckRun(
            checker_name=result.checker_name,
            hostname=hostname,
            status=result.status,
            message=result.message,
            metrics=redact(result.metrics),
            error=redact_text(result.error or ""),
            warning_threshold=result.warning_threshold,
            critical_threshold=result.critical_threshold,
            duration_ms=result.duration_ms,
            trace_id=trace_id,
        )
        for result in results
    ]
    session.add_all(rows)
    session.flush()
    return rows
