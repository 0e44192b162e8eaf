"""A YAML or JSON file as plain data: bounded, each key once, and faults with their lines.

YAML is read as version 1.2, in which `on` and `off` are words. Tags are refused, so nothing is ever run, and dates
stay text, as in JSON.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from deployments.commands.applying.faults import DocumentError
from deployments.errors import WrongUseError

MAX_BYTES = 512 * 1024
# With what aliases stand for, each time that they do: a short file can stand for billions.
MAX_VALUES = 100_000
MAX_DEPTH = 100
STDIN = "-"

_TAG = "tag:yaml.org,2002:"
_AS_TEXT = {f"{_TAG}str", f"{_TAG}timestamp"}
_NUMBERS_AND_WORDS = {f"{_TAG}{kind}" for kind in ("int", "float", "bool", "null")}


def read_file(name: str) -> Any:
    """The data of a file, or of standard input for `-`.

    Raises WrongUseError where it cannot be opened, DocumentError for what is no YAML or JSON.
    """
    return read_text(_text_of(name))


def read_text(text: str) -> Any:
    """The data of a text. What begins with a brace is JSON. Raises DocumentError naming the line."""
    try:
        return _read_json(text) if text.lstrip().startswith("{") else _read_yaml(text)
    except RecursionError:
        raise DocumentError([f"nested deeper than {MAX_DEPTH} levels"]) from None


def _text_of(name: str) -> str:
    try:
        if name == STDIN:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise WrongUseError(f"FILE: {name} cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise DocumentError([f"larger than {MAX_BYTES // 1024} KiB"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DocumentError([f"line {line}: no UTF-8 text"]) from None


def _read_json(text: str) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise DocumentError([f"line {error.lineno}, column {error.colno}: no JSON: {error.msg}"]) from None
    except ValueError:
        raise DocumentError(["a number has too many digits"]) from None
    _check_depth(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = dict.fromkeys(name for name in names if names.count(name) > 1)
        raise DocumentError(f"the key {name!r} stands twice in one object" for name in twice)
    return dict(pairs)


def _refuse_constant(name: str) -> Any:
    raise DocumentError([f"{name} is no number of JSON"])


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise RecursionError
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


def _read_yaml(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        return _Builder(yaml).value(node, 0) if node is not None else None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DocumentError([f"{where}no YAML: {error.problem or error.context}"]) from None
    except YAMLError:  # its text quotes what stands there
        raise DocumentError(["no YAML: a character that may not stand there"]) from None


class _Builder:
    """Makes data of YAML's nodes, and counts it."""

    def __init__(self, yaml: YAML) -> None:
        self._constructor = yaml.constructor
        self._count = 0

    def value(self, node: Node, depth: int) -> Any:
        """What a node stands for."""
        self._count += 1
        if self._count > MAX_VALUES:
            raise DocumentError([f"more than {MAX_VALUES} values, counting what aliases stand for"])
        if depth > MAX_DEPTH:
            raise RecursionError
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return dict(self._entries(node, depth))
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(each, depth + 1) for each in node.value]
        if isinstance(node, ScalarNode) and node.tag in _AS_TEXT:
            return str(node.value)
        if isinstance(node, ScalarNode) and node.tag in _NUMBERS_AND_WORDS:
            return self._number_or_word(node)
        raise DocumentError([f"{_line(node)}: the tag {node.tag} cannot be used here"])

    def _number_or_word(self, node: ScalarNode) -> Any:
        try:
            value = self._constructor.construct_object(node)
        except ValueError:
            value = math.nan
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentError([f"{_line(node)}: no number that JSON could hold"])
        return value

    def _entries(self, node: MappingNode, depth: int) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, inner in node.value:
            # A name such as 10 or off is meant as it is written.
            if not isinstance(key, ScalarNode):
                raise DocumentError([f"{_line(key)}: a key must be text"])
            if key.value in seen:
                raise DocumentError([f"{_line(key)}: the key {key.value!r} stands twice"])
            seen.add(key.value)
            yield str(key.value), self.value(inner, depth + 1)


def _line(node: Node) -> str:
    return f"line {node.start_mark.line + 1}"
