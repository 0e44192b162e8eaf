"""What happened in a run, as markdown for the Prefect UI, and the tags of its flow run."""

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session

from storage import alerts, inbox, runs, stages
from storage.records import AnalyzeResult, ChecksResult, IncidentAnalysis, IncidentView, IngestResult, NotifyResult
from storage.tables import PipelineRun
from storage.vocabulary import Stage
from tasks.notify.host_section import host_facts

ROWS_SHOWN = 20
RECOMMENDATIONS_SHOWN = 3
TAG_MAX_CHARS = 100
# Where text that looks like an address becomes a link without any markup (https://github.github.com/gfm/#autolinks-extension-).
_LINK_LIKE = re.compile(r"(?=://|@)|(?<=www)(?=\.)", re.IGNORECASE)
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
    facts = "; ".join(host_facts(result.evidence))
    return [
        f"## Checks on {_plain(result.hostname)}",
        *([f"Host state: {_plain(facts)}"] if facts else []),
        _table(["checker", "status", "message"], rows, len(rows)),
    ]


def _analyses(result: AnalyzeResult) -> list[str]:
    rows = [_analysis_row(stored) for stored in result.analyses[:ROWS_SHOWN]]
    headings = ["incident", "provider", "summary", "cause", "confidence", "recommendations"]
    notes = dict.fromkeys(_fallback_note(stored) for stored in result.analyses if stored.fallback_used)
    return ["## Analysis", *notes, _table(headings, rows, len(result.analyses))]


def _analysis_row(stored: IncidentAnalysis) -> list[str]:
    analysis = stored.analysis
    sure = "" if analysis.confidence is None else f"{analysis.confidence:.0%}"
    titles = [f"{advice.priority}: {advice.title}" for advice in analysis.recommendations[:RECOMMENDATIONS_SHOWN]]
    unseen = len(analysis.recommendations) - len(titles)
    more = [f"{unseen} more"] if unseen else []
    about = str(stored.incident_id or "")
    return [about, stored.provider, analysis.summary, analysis.probable_cause, sure, "; ".join(titles + more)]


def _fallback_note(stored: IncidentAnalysis) -> str:
    failed = f" ({_plain(stored.instead_of)})" if stored.instead_of else ""
    why = f": {stored.failure.told}" if stored.failure else ""
    return f"AI analysis unavailable{failed}{why}. The local rules were used."


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
    """Text that cannot leave its table cell or become markup, nor a link by merely looking like an address."""
    text = " ".join(text.split())
    escaped = "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+!|" else char for char in text)
    return _LINK_LIKE.sub(r"\\", escaped)[:500]
