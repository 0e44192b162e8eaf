"""What is wrong with a definition: all of it at once, each fault with its node and key."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from tasks.definition.condition import ConditionError, read_condition
from tasks.definition.kinds import KINDS
from tasks.definition.model import Defaults, Definition, Node
from tasks.definition.node_config import faults_of_config
from tasks.definition.order import Link, faults_of_order, path_of
from tasks.definition.wording import faults_in, unknown_key

DEPTH_MAX = 40
NODES_MAX = 100
VERSION = "1.0"
# Whoever mends more than these asks again.
FAULTS_MAX = 100
FAULT_MAX_CHARS = 500
_TAGS: TypeAdapter[Any] = TypeAdapter(list[str] | dict[str, str | int | float | bool])


class DefinitionError(Exception):
    """A definition cannot be run; `faults` says why, each line with the node and the key."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_definition(config: Any) -> Definition:
    """A checked definition. Raises DefinitionError with all faults."""
    if faults := faults_of(config):
        raise DefinitionError(faults)
    return Definition.model_validate(config)


def load_definition(config: Mapping[str, Any]) -> Definition:
    """A definition that was checked when it was saved. Raises DefinitionError where no run could follow it.

    What has since become wrong with the config of a node, such as a checker that is gone, is for the node itself
    to say when its turn comes: what stands before it is still done.
    """
    try:
        definition = Definition.model_validate(config)
    except ValidationError as error:
        raise DefinitionError(faults_in(error, Definition)) from None
    faults = list(faults_of_order([Link(node.id, node.next) for node in definition.nodes]))
    for node in definition.nodes:
        faults += (fault for _, fault in _unreadable(node.model_dump()))
    if faults:
        raise DefinitionError(faults)
    return definition


def faults_of(config: Any) -> list[str]:
    """Every fault of a definition; none where it can be run. Of very many, the first and how many more."""
    faults = _all_faults(config)
    told = [fault[:FAULT_MAX_CHARS] for fault in faults[:FAULTS_MAX]]
    return told if len(faults) <= FAULTS_MAX else [*told, f"and {len(faults) - FAULTS_MAX} faults more"]


def _all_faults(config: Any) -> list[str]:
    if not isinstance(config, Mapping):
        return ["the definition must be a JSON object with the key nodes"]
    if _is_deeper(config, DEPTH_MAX):
        return [f"the definition is nested deeper than {DEPTH_MAX} levels"]
    nodes = config.get("nodes")
    faults = list(_faults_of_head(config))
    if not isinstance(nodes, Sequence) or isinstance(nodes, str) or not nodes:
        return [*faults, "nodes: it must be a list of at least one node"]
    if len(nodes) > NODES_MAX:
        return [*faults, f"nodes: there are {len(nodes)}; at most {NODES_MAX} are taken"]
    links = [Link(node["id"], _text(node.get("next"))) for node in nodes if _has_id(node)]
    path = path_of(links)
    for place, node in enumerate(nodes):
        name = f"node {node['id']}" if _has_id(node) else f"nodes[{place}]"
        faults += (f"{name}: {fault}" for fault in _faults_of_node(node, links, path))
    return list(dict.fromkeys([*faults, *faults_of_order(links)]))


def _faults_of_head(config: Mapping[str, Any]) -> Iterator[str]:
    yield from (
        unknown_key(key, list(Definition.model_fields)) for key in config if key not in Definition.model_fields
    )
    if config.get("version", VERSION) != VERSION:
        yield f'version: it must be the text "{VERSION}"'
    if not isinstance(config.get("description", ""), str):
        yield "description: must be a text"
    try:
        _TAGS.validate_python(config.get("tags", []))
    except ValidationError:
        yield "tags: must be a list of texts"
    defaults = config.get("defaults", {})
    if isinstance(defaults, Mapping):
        yield from (f"defaults.{fault}" for fault in _faults_of_model(Defaults, defaults))
    else:
        yield "defaults: must be an object"


def _faults_of_node(node: Any, links: Sequence[Link], path: Sequence[str]) -> Iterator[str]:
    if not isinstance(node, Mapping):
        yield "must be an object with an id and a type"
        return
    node_type = node.get("type")
    if isinstance(node_type, str) and node_type not in KINDS:
        yield f"type: unknown type {node_type!r}; one of {', '.join(KINDS)}"
        node_type = None
    is_told = isinstance(node.get("type"), str)
    yield from (fault for fault in _faults_of_model(Node, node) if not (is_told and fault.startswith("type:")))
    if node_type == "ingest" and node.get("required") is False:
        yield "required: an ingest node always is: what could not be taken in is to be replayed"
    before = _Before(str(node.get("id")), links, path)
    yield from before.faults_of_names("skip_if_errors", _texts(node.get("skip_if_errors")))
    for key, fault in _unreadable(node):
        yield f"{key}: {fault}"
    for key in ("skip_if_condition", "when"):
        yield from before.faults_of_names(key, _nodes_in(node.get(key)))
    given = node.get("config", {})
    if isinstance(node_type, str) and isinstance(given, Mapping):
        yield from (f"config.{fault}" for fault in faults_of_config(node_type, given))
        if node_type == "transform":
            yield from before.faults_of_names("config.source_node", _texts([given.get("source_node")]))


class _Before:
    """The nodes that a node may look at: those before it."""

    def __init__(self, node_id: str, links: Sequence[Link], path: Sequence[str]) -> None:
        self._own = node_id
        self._ids = [link.id for link in links]
        self._path = list(path)

    def faults_of_names(self, key: str, names: Sequence[str]) -> Iterator[str]:
        for name in dict.fromkeys(names):
            if fault := self._fault(name):
                yield f"{key}: {fault}"

    def _fault(self, name: str) -> str:
        if name == self._own:
            return f"{name!r} is the node itself"
        if name not in self._ids:
            return f"there is no node {name!r}"
        if self._own not in self._path:  # where it stands cannot be told, and that is a fault of its own
            return ""
        before = self._path[: self._path.index(self._own)]
        return "" if name in before else f"node {name!r} does not come before this one"


def _unreadable(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("skip_if_condition", "when"):
        text = node.get(key)
        if isinstance(text, str) and text:
            try:
                read_condition(text)
            except ConditionError as error:
                yield key, str(error)


def _nodes_in(text: Any) -> list[str]:
    try:
        return [name for name, _ in read_condition(text).nodes()] if isinstance(text, str) and text else []
    except ConditionError:
        return []


def _faults_of_model(model: type[BaseModel], given: Any) -> list[str]:
    try:
        model.model_validate(given)
    except ValidationError as error:
        return faults_in(error, model)
    return []


def _has_id(node: Any) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("id"), str) and bool(node["id"])


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str) and value] if isinstance(values, list) else []


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            if isinstance(each, Mapping | list)
            for inner in (each.values() if isinstance(each, Mapping) else each)
        ]
        if not level:
            return False
    return True
