"""What a drawing of runs needs: the definition that each follows, and how the last try at each node ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from storage.tables import DefinitionVersion, PipelineDefinition, PipelineRun, StageExecution
from storage.vocabulary import Stage, StageStatus

REMARK_MAX_CHARS = 300


@dataclass(frozen=True)
class LastAttempt:
    """The newest attempt at a node of a run. `remark` is its error, or why it was passed over."""

    pk: int
    run_pk: int
    node_id: str
    stage: Stage
    status: StageStatus
    attempt: int
    started_at: datetime | None
    duration_ms: float | None
    remark: str


def last_attempts(session: Session, run_pks: Sequence[int]) -> list[LastAttempt]:
    """How each node of these runs stands that has had its turn, in the order in which they began."""
    if not run_pks:
        return []
    of_runs = StageExecution.pipeline_run_id.in_(run_pks)
    last = (
        select(func.max(StageExecution.id))
        .where(of_runs)
        .group_by(StageExecution.pipeline_run_id, StageExecution.node_id)
    )
    # An output may be large; it is looked into only where it says why a node was skipped.
    remark = case(
        (StageExecution.status == StageStatus.SKIPPED, StageExecution.output_snapshot["skipped"].as_string()),
        else_=StageExecution.error_message,
    )
    rows = session.execute(
        select(
            StageExecution.id,
            StageExecution.pipeline_run_id,
            StageExecution.node_id,
            StageExecution.stage,
            StageExecution.status,
            StageExecution.attempt,
            StageExecution.started_at,
            StageExecution.duration_ms,
            func.coalesce(func.substr(remark, 1, REMARK_MAX_CHARS), ""),
        )
        .where(of_runs, StageExecution.id.in_(last))
        .order_by(StageExecution.id)
    )
    return [LastAttempt(*row) for row in rows]


def configs_of_runs(session: Session, run_pks: Sequence[int]) -> dict[int, dict[str, Any] | None]:
    """The definition that each run follows: its own, that of its version, or what is saved under its name now."""
    if not run_pks:
        return {}
    rows = session.execute(
        select(PipelineRun.id, PipelineRun.definition_config, DefinitionVersion.config, PipelineDefinition.config)
        .outerjoin(
            DefinitionVersion,
            and_(
                DefinitionVersion.name == PipelineRun.definition_name,
                DefinitionVersion.version == PipelineRun.definition_version,
            ),
        )
        .outerjoin(PipelineDefinition, PipelineDefinition.name == PipelineRun.definition_name)
        .where(PipelineRun.id.in_(run_pks))
    )
    return {pk: own or of_version or saved for pk, own, of_version, saved in rows}
