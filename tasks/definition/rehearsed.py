"""What a rehearsal of a pipeline found (rehearsal.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from storage.records import AlertFault
from storage.vocabulary import Severity
from tasks.notify.forecast import Forecast


class Turn(StrEnum):
    """What would become of a node."""

    RUNS = "runs"
    SKIPPED = "is skipped"
    DEPENDS = "depends"
    FAILS = "fails"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class ConditionSeen:
    """A condition of a node. `holds` is None where it hangs on nodes that are not run; `facts` are what it saw."""

    key: str
    text: str
    holds: bool | None
    waits_for: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeSeen:
    """A node: what would become of it and why, and what it would do."""

    id: str
    type: str
    turn: Turn
    why: str = ""
    does: tuple[str, ...] = ()
    conditions: tuple[ConditionSeen, ...] = ()
    channels: tuple[Forecast, ...] = ()


@dataclass(frozen=True)
class AlertSeen:
    """An alert of the payload, and what it would mean: created, refired, refreshed, resolved, stale."""

    name: str
    severity: Severity
    status: str
    fingerprint: str
    events: tuple[str, ...]


@dataclass(frozen=True)
class IncidentSeen:
    """An incident that people would be told of, and why; `id` is None for one that is not there yet."""

    id: int | None
    title: str
    severity: Severity
    reasons: tuple[str, ...]


@dataclass
class Rehearsal:
    """What was found. `unreadable` says why nothing could be made of the delivery."""

    nodes: list[NodeSeen] = field(default_factory=list)
    source: str = ""
    alerts: list[AlertSeen] = field(default_factory=list)
    faults: list[AlertFault] = field(default_factory=list)
    remark: str = ""
    unreadable: str = ""
    incidents: list[IncidentSeen] = field(default_factory=list)
