"""What came of a run: the seeds' result object, and the same for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text
from sqlalchemy.orm import Session

from deployments.commands.check_output import plain
from deployments.commands.run_pipeline.text import print_texts, sign
from storage import runs, stages, told
from storage.records import AnalyzeResult
from storage.redaction import redact
from storage.tables import PipelineRun, StageExecution
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus, StageStatus
from tasks.definition.library import definition_of_run
from tasks.definition.model import Node
from tasks.definition.naming import ADHOC
from tasks.notify.text import bounded_line
from webhook_app.notification_fields import fate_line, notification_fields, passed_over_fields, passed_over_line

BANNER = "=" * 60
SUMMARY_MAX_CHARS = 100
COMPLETED, FAILED, RUNNING = "completed", "failed", "running"


def result_of(session: Session, run_id: str) -> dict[str, Any]:
    """The result object of a run. Raises RunNotFoundError."""
    run = runs.find_run(session, run_id)
    if run is None:
        raise runs.RunNotFoundError(f"no pipeline run {run_id}")
    last: dict[str, StageExecution] = {row.node_id: row for row in stages.list_attempts(session, run.id)}
    kinds = {node.id: node.type for node in definition_of_run(session, run).nodes} if last else {}
    return {
        "trace_id": run.trace_id,
        "run_id": run.run_id,
        "definition": run.definition_name,
        "definition_version": run.definition_version,
        "status": fate(run),
        "executed_nodes": [key for key, row in last.items() if row.status is not StageStatus.SKIPPED],
        "skipped_nodes": [key for key, row in last.items() if row.status is StageStatus.SKIPPED],
        "node_results": {key: _node_result(row, kinds.get(key)) for key, row in last.items()},
        "duration_ms": round(run.total_duration_ms or 0.0, 2),
        "error": run.last_error_message if run.status is RunStatus.FAILED else None,
    }


def fate(run: PipelineRun) -> str:
    """Completed, failed or running: what the many statuses of a run come down to."""
    if run.completed_at is None:
        return RUNNING
    return FAILED if run.status is RunStatus.FAILED else COMPLETED


def print_result(session: Session, run_id: str) -> None:
    """The result for people, a section for each node."""
    result = result_of(session, run_id)
    run = runs.find_run(session, run_id)
    if run is None:
        return
    definition = definition_of_run(session, run)
    nodes = [line for node in definition.path() for line in _section(node, result, _messages(session, run))]
    print_texts([*_head(result), *nodes, *_foot(result)])


def _node_result(row: StageExecution, node_type: str | None) -> dict[str, Any]:
    output: dict[str, Any] = redact(row.output_snapshot or {})
    is_skipped = row.status is StageStatus.SKIPPED
    own = [row.error_message] if row.error_message and row.status is not StageStatus.SUCCEEDED else []
    return {
        "node_id": row.node_id,
        "node_type": node_type or row.stage.lower(),
        "output": {} if is_skipped else output,
        "errors": [*own, *map(str, output.get("errors") or ())],
        "skipped": is_skipped,
        "skip_reason": str(output.get("skipped", "")) if is_skipped else "",
        "attempts": row.attempt,
        "duration_ms": round(row.duration_ms or 0.0, 2),
    }


def _messages(session: Session, run: PipelineRun) -> list[str]:
    """What became of the run's messages, and who was told nothing."""
    rows = [notification_fields(row) for row in told.messages_of_run(session, run.run_id)]
    passed_over = passed_over_fields(told.passed_over_of_runs(session, [run.id]))
    now = utc_now()
    return [*(fate_line(row, now=now) for row in rows), *map(passed_over_line, passed_over)]


def _head(result: Mapping[str, Any]) -> Iterator[Text]:
    for line in ("", BANNER, "PIPELINE RESULT", BANNER, ""):
        yield plain(line, "bold" if line.isupper() else "")
    status, name = result["status"], str(result["definition"])
    yield plain(f"Status: {status}", "green" if status == COMPLETED else "bold red")
    if name.startswith(ADHOC):
        yield plain(f"Config: {name.removeprefix(ADHOC)}")
    else:
        yield plain(f"Definition: {name}")
        if result["definition_version"]:
            yield plain(f"Version: {result['definition_version']}")
    yield plain(f"Trace ID: {result['trace_id']}")
    yield plain(f"Run ID: {result['run_id']}")
    yield plain(f"Duration: {result['duration_ms']:.2f}ms")
    yield plain("")


def _section(node: Node, result: Mapping[str, Any], messages: Sequence[str]) -> Iterator[Text]:
    yield plain(f"--- {node.type} ({node.id}) ---", "bold")
    done = result["node_results"].get(node.id)
    if done is None:
        yield plain("  (not executed)", "yellow")
    elif done["skipped"]:
        yield plain(
            "  (skipped)" + (f" {bounded_line(done['skip_reason'])}" if done["skip_reason"] else ""), "yellow"
        )
    else:
        for key, value in _facts(node, done["output"]):
            yield plain(f"  {key}: {value}")
        if node.type == "notify":
            yield from (plain(f"  {line}") for line in messages)
        for error in done["errors"]:
            yield plain(f"  Error: {bounded_line(error)}", "red")
        if done["attempts"] > 1:
            yield plain(f"  Attempts: {done['attempts']}")
        yield plain(f"  Duration: {done['duration_ms']:.2f}ms")
    yield plain("")


def _facts(node: Node, output: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The key facts of a node's output, by its type."""
    if not output:
        return
    match node.type:
        case "ingest":
            yield "Incident ID", output.get("incident_id") or "none"
            yield "Alerts created", output.get("alerts_created", 0)
            yield "Alerts updated", output.get("alerts_updated", 0)
            yield "Alerts resolved", output.get("alerts_resolved", 0)
        case "context":
            yield "Checks run", output.get("checks_run", 0)
            failed, skipped = output.get("checks_failed", 0), output.get("checks_skipped", 0)
            yield "Passed", f"{output.get('checks_passed', 0)}, failed {failed}, skipped {skipped}"
        case "intelligence":
            yield from _analyses(output)
        case "notify":
            yield "Channels attempted", output.get("channels_attempted", 0)
            yield "Succeeded", output.get("channels_succeeded", 0)
            yield "Failed", output.get("channels_failed", 0)
        case "transform":
            yield "Transformed", _cut(json.dumps(output.get("transformed"), ensure_ascii=False))


def _analyses(output: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for each in AnalyzeResult.model_validate(output).analyses:
        yield "Summary", _cut(bounded_line(each.analysis.summary))
        instead = f" in place of {each.instead_of}" if each.instead_of else ""
        yield "Provider", each.provider + instead


def _cut(line: str) -> str:
    return f"{line[:SUMMARY_MAX_CHARS]}{sign('…')}" if len(line) > SUMMARY_MAX_CHARS else line


def _foot(result: Mapping[str, Any]) -> Iterator[Text]:
    if result["status"] == COMPLETED:
        yield plain(f"{sign('✓')} Pipeline completed successfully", "green")
    elif result["status"] == FAILED:
        yield plain(f"{sign('✗')} Pipeline failed: {bounded_line(result['error'] or FAILED)}", "bold red")
        yield plain(f"  go on after the last stage that succeeded: watchkeeper resume {result['run_id']}")
