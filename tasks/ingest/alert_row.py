"""The row of an alert: what an event changes in it, without secrets. Nothing is decided here."""

from datetime import datetime
from typing import Any

from storage.hostname import hostname_of
from storage.records import ParsedAlert
from storage.redaction import redact
from storage.storable import storable, storable_text
from storage.tables import Alert
from storage.vocabulary import AlertStatus, Severity
from tasks.ingest.episodes import Step, Stored, end_of, is_same_episode

# What people read of an alert. Nothing is found by it.
_SHOWN = {"name", "raw_severity", "description", "labels", "annotations", "raw_payload"}


def write_alert(
    alert: Alert,
    parsed: ParsedAlert,
    step: Step,
    *,
    before: Stored | None,
    environment: str,
    trace_id: str,
    received_at: datetime,
) -> None:
    """What an event that is not stale says goes into the alert's row; `before` is what stood there."""
    shown = _shown(parsed)
    alert.name = shown["name"]
    alert.status = parsed.status
    if step is Step.CREATED:
        alert.severity = parsed.severity or Severity.WARNING
        alert.raw_severity = shown["raw_severity"]
    elif parsed.severity and parsed.status is AlertStatus.FIRING:  # a resolve never rewrites severity
        alert.severity = parsed.severity
        alert.raw_severity = shown["raw_severity"]
    if parsed.description or step is Step.CREATED:
        alert.description = shown["description"]
    # An acknowledgement or an end says less than what fired: it adds, and takes nothing away.
    adds = before is not None and (parsed.lifecycle is not None or parsed.status is AlertStatus.RESOLVED)
    alert.labels = (alert.labels if adds else {}) | shown["labels"]
    alert.hostname = hostname_of(alert.labels)
    alert.annotations = (alert.annotations if adds else {}) | shown["annotations"]
    alert.raw_payload = shown["raw_payload"]
    alert.environment = environment
    alert.trace_id = trace_id
    alert.vendor_id = storable_text(parsed.vendor_id) or alert.vendor_id or ""
    if before is None or not is_same_episode(before, parsed):
        alert.episode = parsed.episode or ""
        alert.occurred_at = parsed.occurred_at
    elif parsed.occurred_at:
        alert.occurred_at = max(parsed.occurred_at, alert.occurred_at or parsed.occurred_at)
    alert.last_received_at = max(received_at, alert.last_received_at or received_at)
    if step is not Step.REFRESHED or parsed.status is AlertStatus.FIRING:
        alert.ended_at = end_of(parsed, started_at=alert.started_at, received_at=received_at)


def _shown(parsed: ParsedAlert) -> dict[str, Any]:
    """The fields that are shown, without secrets and as any database takes them."""
    shown: dict[str, Any] = storable(redact({name: getattr(parsed, name) for name in _SHOWN}))
    return shown
