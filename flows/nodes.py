"""The Prefect task of each type of node."""

from typing import Any

from prefect import Task

from tasks.analyze.task import analyze
from tasks.check.task import check
from tasks.definition.kinds import KINDS
from tasks.ingest.task import ingest
from tasks.notify.task import notify
from tasks.transform.task import transform

TASKS: dict[str, Task[..., Any]] = {
    "ingest": ingest,
    "context": check,
    "intelligence": analyze,
    "notify": notify,
    "transform": transform,
}
if TASKS.keys() != KINDS.keys():
    raise RuntimeError("flows.nodes and tasks.definition.kinds name different node types")
