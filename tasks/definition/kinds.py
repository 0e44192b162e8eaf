"""The stage that each type of node runs. Prefect is not imported here."""

from typing import Any

from tasks.analyze.stage import ANALYZE
from tasks.attempt import StageKind
from tasks.check.stage import CHECK
from tasks.ingest.stage import INGEST
from tasks.notify.stage import NOTIFY
from tasks.transform.stage import TRANSFORM

KINDS: dict[str, StageKind[Any]] = {
    "ingest": INGEST,
    "context": CHECK,
    "intelligence": ANALYZE,
    "notify": NOTIFY,
    "transform": TRANSFORM,
}
