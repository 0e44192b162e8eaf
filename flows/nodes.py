"""The node types of a definition: for each, the stage it runs and the Prefect task that wraps it."""

from dataclasses import dataclass
from typing import Any

from prefect import Task

from tasks.analyze.stage import ANALYZE
from tasks.analyze.task import analyze
from tasks.attempt import StageKind
from tasks.check.stage import CHECK
from tasks.check.task import check
from tasks.ingest.stage import INGEST
from tasks.ingest.task import ingest
from tasks.notify.stage import NOTIFY
from tasks.notify.task import notify


@dataclass(frozen=True)
class NodeType:
    """A type of node that definitions may name."""

    kind: StageKind[Any]
    task: Task[..., Any]


NODE_TYPES: dict[str, NodeType] = {
    "ingest": NodeType(INGEST, ingest),
    "context": NodeType(CHECK, check),
    "intelligence": NodeType(ANALYZE, analyze),
    "notify": NodeType(NOTIFY, notify),
}
