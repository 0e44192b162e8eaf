"""A pipeline drawn as a flow: its nodes in the order of the run, each with what came of it.

It is an ordered list that a stylesheet (static/flow.css) lays out as boxes with arrows between: it wraps, its text
can be chosen, and a screen reader reads it as what it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import current_app, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session

from storage.run_paths import LastAttempt, configs_of_runs, last_attempts
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import StageStatus
from tasks.definition.kinds import KINDS
from tasks.definition.order import Link, path_of
from tasks.definition.presets import PRESETS, REDELIVERY, preset
from tasks.definition.rehearsed import Turn

# A word of the drawing: its tone, and the shape that says the same to whoever sees no colours.
LOOKS: dict[str, tuple[str, str]] = {
    StageStatus.SUCCEEDED: ("good", "tick"),
    StageStatus.FAILED: ("bad", "cross"),
    StageStatus.RETRYING: ("concern", "again"),
    StageStatus.RUNNING: ("going", "play"),
    StageStatus.SKIPPED: ("plain", "skip"),
    StageStatus.PENDING: ("plain", "empty"),
    Turn.RUNS: ("good", "play"),
    Turn.SKIPPED: ("plain", "skip"),
    Turn.DEPENDS: ("concern", "question"),
    Turn.FAILS: ("bad", "cross"),
    Turn.NOT_REACHED: ("plain", "empty"),
}
_TYPES = {kind.stage: node_type for node_type, kind in KINDS.items()}


@dataclass(frozen=True)
class DrawnNode:
    """One box; without a status a node of a definition. `notes` are short facts, `config` is shown folded."""

    id: str
    type: str
    status: str = ""
    duration_ms: float | None = None
    attempts: int = 0
    remark: str = ""
    url: str = ""
    notes: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tone(self) -> str:
        """Which colour it has."""
        return LOOKS.get(self.status, ("plain", ""))[0]

    @property
    def icon(self) -> str:
        """Which shape it has."""
        return LOOKS.get(self.status, ("plain", ""))[1]


def draw(nodes: Sequence[DrawnNode], *, label: str = "Stages") -> Markup:
    """The nodes in a row, with arrows between; `label` says to a screen reader what they are."""
    template = current_app.jinja_env.get_template("console/flow.html")
    return Markup(template.render(nodes=nodes, label=label))  # noqa: S704  (the template escapes)


def run_drawings(session: Session, runs: Sequence[PipelineRun]) -> dict[int, Markup]:
    """A drawing of each run by its row's number, in two statements for all of them."""
    nodes = nodes_of_runs(session, runs)
    return {run.id: draw(nodes[run.id], label=f"Stages of run {run.run_id}") for run in runs}


def nodes_of_runs(session: Session, runs: Sequence[PipelineRun]) -> dict[int, list[DrawnNode]]:
    """The nodes of each run as they stand, by its row's number."""
    pks = [run.id for run in runs]
    configs = configs_of_runs(session, pks)
    attempts: dict[int, list[LastAttempt]] = {pk: [] for pk in pks}
    for attempt in last_attempts(session, pks):
        attempts[attempt.run_pk].append(attempt)
    return {run.id: list(_nodes(run, _config(run, configs.get(run.id)), attempts[run.id])) for run in runs}


def nodes_in_order(config: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The nodes of a definition along its path, then those that it does not reach; none of what cannot be read."""
    given = config.get("nodes") if config else None
    nodes = [node for node in given if _has_id(node)] if isinstance(given, list) else []
    links = [Link(node["id"], next_id if isinstance(next_id := node.get("next"), str) else None) for node in nodes]
    path = path_of(links)
    places = {node_id: place for place, node_id in enumerate(path)}
    return sorted(nodes, key=lambda node: places.get(node["id"], len(places)))


def _config(run: PipelineRun, found: dict[str, Any] | None) -> dict[str, Any] | None:
    name = run.definition_name
    # Runs of what was never saved follow the shipped one (tasks/definition/library.py).
    if name == REDELIVERY or (found is None and name in PRESETS):
        return preset(name).model_dump(mode="json")
    return found


def _nodes(
    run: PipelineRun, config: dict[str, Any] | None, attempts: Iterable[LastAttempt]
) -> Iterable[DrawnNode]:
    tried = {attempt.node_id: attempt for attempt in attempts}
    for node in nodes_in_order(config):
        attempt = tried.pop(node["id"], None)
        if attempt:
            yield _tried(attempt)
        else:
            status = StageStatus.PENDING if run.completed_at is None else Turn.NOT_REACHED
            yield DrawnNode(node["id"], str(node.get("type", "")), status)
    # The definition may be gone, or its nodes renamed; what was done is shown all the same.
    yield from map(_tried, tried.values())


def _tried(attempt: LastAttempt) -> DrawnNode:
    duration_ms = attempt.duration_ms
    if duration_ms is None and attempt.started_at is not None:
        duration_ms = (utc_now() - attempt.started_at).total_seconds() * 1000
    return DrawnNode(
        id=attempt.node_id,
        type=_TYPES.get(attempt.stage, str(attempt.stage).lower()),
        status=attempt.status,
        duration_ms=None if attempt.status is StageStatus.SKIPPED else duration_ms,
        attempts=attempt.attempt,
        remark=attempt.remark,
        url=url_for("stage_rows.details_view", id=attempt.pk),
    )


def _has_id(node: Any) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("id"), str)
