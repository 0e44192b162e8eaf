"""Whether a node of a run is to be run, or what speaks against it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage import database, runs, stages
from storage.records import ChecksResult, IngestResult
from storage.runs import HeldRun
from storage.tables import PipelineRun, StageExecution
from storage.vocabulary import Stage
from tasks.definition.condition import read_condition
from tasks.definition.facts import gather_facts
from tasks.definition.model import Node
from tasks.errors import PermanentError

ERRORS_SHOWN = 5

Outputs = Mapping[str, dict[str, Any]]
Failed = Mapping[str, StageExecution]


class CancelledRunError(PermanentError):
    """Somebody cancelled the run in Prefect."""


@dataclass(frozen=True)
class Verdict:
    """`reason` says why a node is skipped; empty for one that the run has dealt with already.

    `is_overtaken`: it was skipped before somebody resumed the run, and this stands in place of that.
    """

    is_run: bool
    reason: str = ""
    is_overtaken: bool = False


def judge(held: HeldRun, path: Sequence[Node], node: Node, stage: Stage) -> Verdict:
    """Look at a node of the run's path before its turn.

    A node with a stored result is run, which gives that result again. One that may fail, did, and was passed is
    not tried again: a later one has succeeded, or had its turn since somebody last resumed the run. A skip holds
    until then too. What may speak against a node, in this order: `skip_if_errors`, `skip_if_condition`, `when`,
    and that there is nothing new to tell.

    Raises CancelledRunError at a stage boundary after a cancel, and PermanentError when no delivery of the run
    could be read and people know that already.
    """
    with database.get().read() as session:
        run = runs.see_fence(session, held)
        if run.cancel_requested_at:
            raise CancelledRunError("cancelled in Prefect")
        outputs = stages.outputs_of(session, held.pk)
        stored = outputs.pop(node.id, None)
        if stored and "stage" in stored:
            return Verdict(is_run=True)
        if stored and not _is_resumed_since(run, stages.skipped_at(session, run_pk=run.id, node_id=node.id)):
            return Verdict(is_run=False)
        failed = stages.failed_of(session, held.pk)
        later = {each.id for each in path[path.index(node) + 1 :]}
        if not node.is_required and (row := failed.get(node.id)) and _is_passed(session, run, later, outputs, row):
            return Verdict(is_run=False)
        ingested = [IngestResult.model_validate(each) for each in _of_stage(outputs, Stage.INGEST)]
        _raise_where_unreadable(ingested)
        reason = (
            _errors_before(node, outputs, failed)
            or _condition_against(session, run, node)
            or _no_news(path, stage, ingested, outputs, failed)
        )
    return Verdict(is_run=not reason, reason=reason, is_overtaken=stored is not None)


def _is_resumed_since(run: PipelineRun, moment: datetime | None) -> bool:
    return run.resumed_at is not None and moment is not None and moment < run.resumed_at


def _is_passed(session: Session, run: PipelineRun, later: set[str], outputs: Outputs, row: StageExecution) -> bool:
    """Whether the run went on without a node that failed, which was its last attempt at it."""
    if any("stage" in outputs.get(node_id, {}) for node_id in later):
        return True
    return not _is_resumed_since(run, row.completed_at) and bool(later & stages.begun_nodes(session, run.id))


def _of_stage(outputs: Outputs, stage: Stage) -> Iterator[dict[str, Any]]:
    return (output for output in outputs.values() if output.get("stage") == stage)


def _raise_where_unreadable(ingested: Sequence[IngestResult]) -> None:
    errors = [error for result in ingested for error in result.errors]
    if errors and not any(result.alerts_seen or result.changes for result in ingested):
        raise PermanentError(f"no delivery could be read: {'; '.join(errors[:ERRORS_SHOWN])}")


def _errors_before(node: Node, outputs: Outputs, failed: Failed) -> str:
    for node_id in node.skip_if_errors:
        if node_id in failed:
            return f"skip_if_errors: node {node_id} failed"
        if outputs.get(node_id, {}).get("errors"):
            return f"skip_if_errors: node {node_id} has errors"
    return ""


def _condition_against(session: Session, run: PipelineRun, node: Node) -> str:
    conditions = {
        key: read_condition(text) for key in ("skip_if_condition", "when") if (text := getattr(node, key))
    }
    if not conditions:
        return ""
    facts = gather_facts(session, run, set().union(*(condition.facts() for condition in conditions.values())))
    skipping, when = conditions.get("skip_if_condition"), conditions.get("when")
    if skipping and skipping.holds(facts):
        return f"skip_if_condition holds: {skipping.text}"
    return f"when is false: {when.text}" if when and not when.holds(facts) else ""


def _no_news(
    path: Sequence[Node], stage: Stage, ingested: Sequence[IngestResult], outputs: Outputs, failed: Failed
) -> str:
    if stage is Stage.INGEST:
        return ""
    if ingested:
        return _no_news_of_deliveries(ingested)
    if stage is Stage.CHECK:
        return ""  # what one check node does not find the next may
    if checked := [ChecksResult.model_validate(each) for each in _of_stage(outputs, Stage.CHECK)]:
        return _no_news_of_checks(checked)
    finders = [node.id for node in path if node.type == "context" and node.id in failed]
    return f"nothing to tell: node {finders[0]} failed" if finders else ""


def _no_news_of_deliveries(results: Sequence[IngestResult]) -> str:
    if any(result.changes for result in results):
        return ""
    seen, new = sum(each.alerts_seen for each in results), sum(each.alerts_created for each in results)
    return f"nothing new to tell: {seen} alerts seen, {new} new"


def _no_news_of_checks(results: Sequence[ChecksResult]) -> str:
    if any(result.changes for result in results):
        return ""
    passed, failed, skipped = (
        sum(counts)
        for counts in zip(
            *((each.checks_passed, each.checks_failed, each.checks_skipped) for each in results), strict=True
        )
    )
    return f"nothing new to tell: {passed} checks passed, {failed} did not, {skipped} do not apply"
