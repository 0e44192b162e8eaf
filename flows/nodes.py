"""The Prefect task of each type of node."""

from typing import Any

from prefect import Task

from flows.kinds import KINDS
from tasks.analyze.task import analyze
from tasks.check.task import check
from tasks.ingest.task import ingest
from tasks.notify.task import notify

TASKS: dict[str, Task[..., Any]] = {
    "ingest": ingest,
    "context": check,
    "intelligence": analyze,
    "notify": notify,
}
if TASKS.keys() != KINDS.keys():
    raise RuntimeError("flows.nodes and flows.kinds name different node types")
