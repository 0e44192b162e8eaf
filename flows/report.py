"""What happened in a run, as markdown for the Prefect UI, and the tags of its flow run."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session

from storage import alerts, inbox, runs, stages
from storage.records import AnalyzeResult, ChecksResult, IncidentView, IngestResult, NotifyResult
from storage.tables import PipelineRun
from storage.vocabulary import Stage

ROWS_SHOWN = 20
TAG_MAX_CHARS = 100
TAG = "watchkeeper"  # on every flow run of ours, through its deployment


def tags_of(run: PipelineRun) -> list[str]:
    """Source, environment and trace_id, as flow run tags."""
    tags = [f"environment:{run.environment}", f"trace_id:{run.trace_id}"]
    return [tag[:TAG_MAX_CHARS] for tag in ([f"source:{run.source}"] if run.source else []) + tags]


def markdown_report(session: Session, run_id: str) -> str:
    """Alerts, incidents, checks, analysis, and who was told. Raises RunNotFoundError."""
    run = runs.find_run(session, run_id)
    if run is None:
        raise runs.RunNotFoundError(run_id)
    lines = [
        f"# {run.definition_name}: {run.status}",
        f"run `{run.run_id}`, trace `{run.trace_id}`, environment `{_plain(run.environment)}`",
    ]
    if run.last_error_message:
        lines += [f"**{run.last_error_type}**: {_plain(run.last_error_message)}"]
    deliveries = inbox.deliveries_of(session, run.id)
    if len(deliveries) > 1:
        lines += [f"{len(deliveries)} deliveries were taken together."]
    for output in stages.outputs_of(session, run.id).values():
        lines += _section(session, output)
    return "\n\n".join(lines)


def _section(session: Session, output: dict[str, Any]) -> list[str]:
    match output.get("stage"):
        case Stage.INGEST:
            return _ingest(session, IngestResult.model_validate(output))
        case Stage.CHECK:
            return _checks(ChecksResult.model_validate(output))
        case Stage.ANALYZE:
            return _analyses(AnalyzeResult.model_validate(output))
        case Stage.NOTIFY:
            return _notifications(NotifyResult.model_validate(output))
    return [f"Skipped: {_plain(str(output.get('skipped', '')))}"]


def _ingest(session: Session, result: IngestResult) -> list[str]:
    counts = (
        f"{result.alerts_seen} alerts: {result.alerts_created} new, {result.alerts_updated} known, "
        f"{result.alerts_resolved} resolved."
    )
    views = alerts.view_incidents(session, result.incident_ids[:ROWS_SHOWN])
    shown = [views[pk] for pk in result.incident_ids[:ROWS_SHOWN] if pk in views]
    rows = [_incident_row(incident) for incident in shown]
    return [
        "## Alerts",
        counts,
        _table(["incident", "title", "status", "severity", "alerts"], rows, len(result.incident_ids)),
        *(f"- could not be read: {_plain(error)}" for error in result.errors[:ROWS_SHOWN]),
    ]


def _incident_row(incident: IncidentView) -> list[str]:
    count = f"{incident.firing_alert_count} firing of {incident.alert_count}"
    return [str(incident.id), incident.title, incident.status, incident.severity, count]


def _checks(result: ChecksResult) -> list[str]:
    rows = [[check.checker_name, check.status, check.message] for check in result.checks]
    return [
        f"## Checks on {_plain(result.hostname)}",
        _table(["checker", "status", "message"], rows, len(rows)),
    ]


def _analyses(result: AnalyzeResult) -> list[str]:
    rows = [
        [str(a.incident_id or ""), a.provider, a.analysis.summary, a.analysis.probable_cause]
        for a in result.analyses[:ROWS_SHOWN]
    ]
    note = ["AI analysis unavailable: the local rules were used."] if result.fallback_used else []
    return [
        "## Analysis",
        *note,
        _table(["incident", "provider", "summary", "cause"], rows, len(result.analyses)),
    ]


def _notifications(result: NotifyResult) -> list[str]:
    rows = [
        [delivery.channel, str(delivery.incident_id or ""), delivery.reason, delivery.status, delivery.error]
        for delivery in result.deliveries[:ROWS_SHOWN]
    ]
    headings = ["channel", "incident", "reason", "status", "error"]
    return ["## Who was told", _table(headings, rows, len(result.deliveries))]


def _table(headings: list[str], rows: Iterable[list[str]], total: int) -> str:
    shown = [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
    more = [f"\n…and {total - len(shown)} more"] if total > len(shown) else []
    return "\n".join([f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}", *shown, *more])


def _plain(text: str) -> str:
    """Text that cannot leave its table cell or become markup."""
    text = " ".join(text.split())
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+!|" else char for char in text)[:500]
