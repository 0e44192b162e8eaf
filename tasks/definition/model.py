"""The JSON of a pipeline, as the seeds wrote it. What is wrong with one says `checking`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

NodeType = Literal["ingest", "context", "intelligence", "notify", "transform"]

ID_MAX_CHARS = 128
EXPRESSION_MAX_CHARS = 1000


class Defaults(BaseModel):
    """What holds for every node that does not say otherwise. None means the installation's setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_retries: int | None = Field(default=None, ge=0, le=20)
    timeout_seconds: float = Field(default=300, gt=0, le=86_400)


class Node(BaseModel):
    """One step of a pipeline.

    `required`: whether the run fails when the node does; without it the run goes on. An ingest node always is.
    `skip_if_errors`: the ids of earlier nodes; it is passed over where one of them failed or listed errors.
    `skip_if_condition` and `when` are expressions (`condition`): it is passed over where the first holds, or the
    second does not. `next` names the node that follows; None is the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=ID_MAX_CHARS, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    type: NodeType
    config: dict[str, Any] = Field(default_factory=dict)
    next: str | None = None
    required: bool = True
    skip_if_errors: list[str] = Field(default_factory=list)
    skip_if_condition: str = Field(default="", max_length=EXPRESSION_MAX_CHARS)
    when: str = Field(default="", max_length=EXPRESSION_MAX_CHARS)
    max_retries: int | None = Field(default=None, ge=0, le=20)
    timeout_seconds: float | None = Field(default=None, gt=0, le=86_400)

    @property
    def is_required(self) -> bool:
        """Whether the run fails when this node does: what could not be taken in is to be replayed."""
        return self.required or self.type == "ingest"


class Definition(BaseModel):
    """A pipeline: nodes that follow each other by `next`, whatever their place in the list.

    `tags` are words; a JSON object of them, as the seeds may hold, becomes `key:value` each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal["1.0"] = "1.0"
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    defaults: Defaults = Field(default_factory=Defaults)
    nodes: list[Node] = Field(min_length=1)

    @field_validator("tags", mode="before")
    @classmethod
    def _as_words(cls, tags: Any) -> Any:
        return [f"{key}:{value}" for key, value in tags.items()] if isinstance(tags, dict) else tags

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
