"""Whether a node of a run is to be run, or what speaks against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from storage import database, runs, stages
from storage.runs import HeldRun
from storage.tables import PipelineRun, StageExecution
from tasks.definition.model import Node
from tasks.definition.turns import Outputs, reason_against
from tasks.errors import PermanentError


class CancelledRunError(PermanentError):
    """Somebody cancelled the run, in Prefect or here."""


@dataclass(frozen=True)
class Verdict:
    """`reason` says why a node is skipped; empty for one that the run has dealt with already.

    `is_overtaken`: it was skipped before somebody resumed the run, and this stands in place of that.
    """

    is_run: bool
    reason: str = ""
    is_overtaken: bool = False


def judge(held: HeldRun, path: Sequence[Node], node: Node) -> Verdict:
    """Look at a node of the run's path before its turn.

    A node with a stored result is run, which gives that result again. One that may fail, did, and was passed is
    not tried again: a later one has succeeded, or had its turn since somebody last resumed the run. A skip holds
    until then too. What else may speak against a node: see `reason_against`.

    Raises CancelledRunError at a stage boundary after a cancel, and PermanentError when no delivery of the run
    could be read and people know that already.
    """
    with database.get().read() as session:
        run = runs.see_fence(session, held)
        if run.cancel_requested_at:
            raise CancelledRunError("cancelled, as somebody asked")
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
        reason = reason_against(session, run, path, node, outputs=outputs, failed=failed)
    return Verdict(is_run=not reason, reason=reason, is_overtaken=stored is not None)


def _is_resumed_since(run: PipelineRun, moment: datetime | None) -> bool:
    return run.resumed_at is not None and moment is not None and moment < run.resumed_at


def _is_passed(session: Session, run: PipelineRun, later: set[str], outputs: Outputs, row: StageExecution) -> bool:
    """Whether the run went on without a node that failed, which was its last attempt at it."""
    if any("stage" in outputs.get(node_id, {}) for node_id in later):
        return True
    return not _is_resumed_since(run, row.completed_at) and bool(later & stages.begun_nodes(session, run.id))
