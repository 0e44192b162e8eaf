"""What speaks against a node when its turn comes: the errors and conditions it names, or that there is no news."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from storage.records import ChecksResult, IngestResult
from storage.tables import PipelineRun, StageExecution
from storage.vocabulary import Stage
from tasks.definition.condition import Condition, read_condition
from tasks.definition.facts import gather_facts
from tasks.definition.model import Node
from tasks.errors import PermanentError

ERRORS_SHOWN = 5

Outputs = Mapping[str, dict[str, Any]]
Failed = Mapping[str, StageExecution]


def reason_against(
    session: Session, run: PipelineRun, path: Sequence[Node], node: Node, *, outputs: Outputs, failed: Failed
) -> str:
    """Why a node is skipped, empty where it is run; `outputs` are those of the nodes before it.

    In this order: `skip_if_errors`, `skip_if_condition`, `when`, and that there is nothing new to tell. Raises
    PermanentError when no delivery of the run could be read and people know that already.
    """
    ingested = [IngestResult.model_validate(each) for each in _of_stage(outputs, Stage.INGEST)]
    _raise_where_unreadable(ingested)
    return (
        _errors_before(node, outputs, failed)
        or _condition_against(session, run, node)
        or _no_news(path, node, ingested, outputs, failed)
    )


def conditions_of(node: Node) -> dict[str, Condition]:
    """A node's conditions by the keys under which they stand."""
    return {key: read_condition(text) for key in ("skip_if_condition", "when") if (text := getattr(node, key))}


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
    conditions = conditions_of(node)
    if not conditions:
        return ""
    facts = gather_facts(session, run, set().union(*(condition.facts() for condition in conditions.values())))
    skipping, when = conditions.get("skip_if_condition"), conditions.get("when")
    if skipping and skipping.holds(facts):
        return f"skip_if_condition holds: {skipping.text}"
    return f"when is false: {when.text}" if when and not when.holds(facts) else ""


def _no_news(
    path: Sequence[Node], node: Node, ingested: Sequence[IngestResult], outputs: Outputs, failed: Failed
) -> str:
    if node.type == "ingest":
        return ""
    if ingested:
        return _no_news_of_deliveries(ingested)
    if node.type == "context":
        return ""  # what one check node does not find the next may
    if checked := [ChecksResult.model_validate(each) for each in _of_stage(outputs, Stage.CHECK)]:
        return _no_news_of_checks(checked)
    finders = [each.id for each in path if each.type == "context" and each.id in failed]
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
