"""What happened in a run, as markdown for the Prefect UI, and the tags of its flow run."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from storage import alerts, inbox, runs, settings, stages, told
from storage.records import (
    AnalyzeResult,
    ChecksResult,
    IncidentAnalysis,
    IncidentView,
    IngestResult,
    NotifyResult,
    PassedOver,
)
from storage.tables import Notification, PipelineRun
from storage.vocabulary import NotificationStatus, Stage
from tasks.notify.host_section import host_facts
from tasks.notify.text import humanize_moment, one_line, shorten

ROWS_SHOWN = 20
RECOMMENDATIONS_SHOWN = 3
TAG_MAX_CHARS = 100
CELL_MAX_CHARS = 500
# What is punctuation to markdown may have a backslash before it (https://spec.commonmark.org/0.31.2/#backslash-escapes).
# After "&" and "<" that leaves no character reference and no HTML.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>()#+!|&~$]")
# Where text that looks like an address becomes a link (https://github.github.com/gfm/#autolinks-extension-). Some
# renderers look for that again when the backslashes are gone, so a character of no width stands there.
_LINK_LIKE = re.compile(r"(?=://|@)|(?<=www)(?=\.)", re.IGNORECASE)
WORD_JOINER = "\u2060"
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
        f"# {_plain(run.definition_name)}: {run.status}",
        f"run `{run.run_id}`, trace {_plain(run.trace_id)}, environment {_plain(run.environment)}",
        f"[All about it in the console](<{settings.load().web_url}/admin/run/{run.run_id}/>)",
    ]
    if run.last_error_message:
        lines += [f"**{run.last_error_type}**: {_plain(run.last_error_message)}"]
    deliveries = inbox.deliveries_of(session, run.id)
    if len(deliveries) > 1:
        lines += [f"{len(deliveries)} deliveries were taken together."]
    by_node = stages.outputs_of(session, run.id)
    outputs = by_node.values()
    for node_id, output in by_node.items():
        lines += _section(session, node_id, output)
    for node_id, row in stages.failed_of(session, run.id).items():
        lines += [f"Failed: {_plain(node_id)}: {_plain(row.error_message)}"]
    # From the messages themselves, which there are also where the stage that sends them failed.
    messages, passed_over = told.messages_of_run(session, run_id), told.passed_over_of_runs(session, [run.id])
    lines += _who_was_told(messages, passed_over, list(_missing(outputs)))
    return "\n\n".join(lines)


def _section(session: Session, node_id: str, output: dict[str, Any]) -> list[str]:
    match output.get("stage"):
        case Stage.INGEST:
            return _ingest(session, IngestResult.model_validate(output))
        case Stage.CHECK:
            return _checks(ChecksResult.model_validate(output))
        case Stage.ANALYZE:
            return _analyses(AnalyzeResult.model_validate(output))
        case Stage.NOTIFY:
            return []  # the report ends with it
        case Stage.TRANSFORM:
            return [f"{_plain(node_id)}: {_plain(error)}" for error in output.get("errors", [])]
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


def _missing(outputs: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The channels that a node names and that were not there; a message's own error stands with the message."""
    results = [NotifyResult.model_validate(each) for each in outputs if each.get("stage") == Stage.NOTIFY]
    for result in results:
        failed = {f"{delivery.channel}: {delivery.error}" for delivery in result.deliveries}
        yield from (error for error in result.errors if error not in failed)


def _who_was_told(messages: list[Notification], passed_over: list[PassedOver], missing: list[str]) -> list[str]:
    if not messages and not passed_over and not missing:
        return []
    rows = [_message_row(message) for message in messages[:ROWS_SHOWN]]
    headings = ["channel", "incident", "reason", "status", "next try", "error"]
    table = [_table(headings, rows, len(messages))] if messages else []
    absent = [f"- {_plain(error)}" for error in missing[:ROWS_SHOWN]]
    return ["## Who was told", *table, *_who_was_not(passed_over), *absent]


def _message_row(message: Notification) -> list[str]:
    instead = f" instead of {message.instead_of}" if message.instead_of else ""
    waits = message.status in (NotificationStatus.PENDING, NotificationStatus.FAILED)
    next_try = humanize_moment(message.due_at) if waits else ""
    about = str(message.incident_id or "")
    error = message.error_message
    return [f"{message.channel}{instead}", about, message.reason, message.status, next_try, error]


def _who_was_not(passed_over: list[PassedOver]) -> list[str]:
    rows = [[each.channel, str(each.incident_id), each.reason, each.why] for each in passed_over[:ROWS_SHOWN]]
    return [_table(["not told", "incident", "reason", "why"], rows, len(passed_over))] if rows else []


def _table(headings: list[str], rows: Iterable[list[str]], total: int) -> str:
    shown = [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
    more = [f"\n…and {total - len(shown)} more"] if total > len(shown) else []
    return "\n".join([f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}", *shown, *more])


def _plain(text: str) -> str:
    """Text that cannot leave its table cell or become markup, nor a link by merely looking like an address."""
    line = shorten(one_line(text), CELL_MAX_CHARS)
    return _LINK_LIKE.sub(WORD_JOINER, _MARKUP.sub(r"\\\g<0>", line))
