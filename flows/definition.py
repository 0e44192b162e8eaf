"""The JSON of a pipeline, as the seeds wrote it, checked before anything runs."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

NodeType = Literal["ingest", "context", "intelligence", "notify"]


class DefinitionError(Exception):
    """A definition cannot be run; the message names every fault with its node and key."""


class Defaults(BaseModel):
    """What holds for every node that does not say otherwise. None means the installation's setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_retries: int | None = Field(default=None, ge=0, le=20)
    timeout_seconds: float = Field(default=300, gt=0)


class Node(BaseModel):
    """One step of a pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=128)
    type: NodeType
    config: dict[str, Any] = Field(default_factory=dict)
    next: str | None = None
    max_retries: int | None = Field(default=None, ge=0, le=20)
    timeout_seconds: float | None = Field(default=None, gt=0)


class Definition(BaseModel):
    """A pipeline: nodes that follow each other by `next`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = "1.0"
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    defaults: Defaults = Field(default_factory=Defaults)
    nodes: list[Node] = Field(min_length=1)

    def path(self) -> list[Node]:
        """The nodes in the order in which they run: from the one that no other names, along `next`."""
        by_id = {node.id: node for node in self.nodes}
        named = {node.next for node in self.nodes}
        node: Node | None = next(node for node in self.nodes if node.id not in named)
        path: list[Node] = []
        while node is not None:
            path.append(node)
            node = by_id[node.next] if node.next else None
        return path

    def timeout_seconds_of(self, node: Node) -> float:
        """How long one attempt at a node may take."""
        return node.timeout_seconds or self.defaults.timeout_seconds


def read_definition(config: Mapping[str, Any]) -> Definition:
    """A checked definition. Raises DefinitionError with all faults."""
    try:
        definition = Definition.model_validate(config)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise DefinitionError("; ".join(faults)) from None
    if faults := _faults(definition):
        raise DefinitionError("; ".join(faults))
    return definition


def _faults(definition: Definition) -> list[str]:
    ids = [node.id for node in definition.nodes]
    faults = [f"node {node_id}: the id is used twice" for node_id in sorted({i for i in ids if ids.count(i) > 1})]
    faults += [
        f"node {node.id}: next names {node.next!r}, which is no node"
        for node in definition.nodes
        if node.next is not None and node.next not in ids
    ]
    nexts = [node.next for node in definition.nodes if node.next]
    faults += [
        f"node {name}: two nodes name it as next" for name in sorted({n for n in nexts if nexts.count(n) > 1})
    ]
    if faults:
        return faults
    starts = [node_id for node_id in ids if node_id not in nexts]
    if len(starts) != 1:
        return [f"nodes {', '.join(starts) or 'form a circle'}: exactly one node must be named by no other"]
    reached = {node.id for node in definition.path()}
    return [f"node {node_id}: never reached, it is part of a circle" for node_id in ids if node_id not in reached]
