"""The transform stage: extract, filter, and map what an earlier node has found."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints, field_validator
from sqlalchemy.orm import Session

from storage import database, stages
from storage.records import TransformResult
from storage.vocabulary import RecommendationPriority, Stage
from tasks.attempt import StageContext, StageKind
from tasks.transform.view import view_of

# What it makes is stored beside what it was made of, and goes into prompts and templates.
MAX_CHARS = 64 * 1024
MAX_DEPTH = 50
MAX_KEYS = 100

Path = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]


class TransformConfig(BaseModel, extra="forbid"):
    """What to take from the output of `source_node`.

    `extract`: the path of a value in it, as in `recommendations` or `results.cpu.metrics.cpu_percent`; a number
    steps into a list. `filter_priority` keeps the entries of a list whose `priority` it is: of the extracted one,
    else of the output's `recommendations`. `mapping`: new names, each with a path in what there is by then; in a
    list, in each entry.
    """

    source_node: str = Field(min_length=1)
    extract: Path | None = None
    filter_priority: RecommendationPriority | None = None
    mapping: dict[str, Path] = Field(default_factory=dict, max_length=MAX_KEYS)

    @field_validator("filter_priority", mode="before")
    @classmethod
    def _in_any_case(cls, priority: Any) -> Any:
        return priority.strip().lower() if isinstance(priority, str) else priority

    @field_validator("extract", mode="before")
    @classmethod
    def _empty_is_none(cls, path: Any) -> Any:
        return None if path == "" else path


def work(context: StageContext) -> TransformResult:
    """What is to be stored. A path that leads nowhere is an error in it, and None in its place."""
    config: TransformConfig = context.config
    output = context.previous.get(config.source_node)
    if output is None or "stage" not in output:
        return _nothing(config, f"source_node: {_why_empty(context, config.source_node)}")
    result = transform(config, view_of(output))
    if _depth(result.transformed) > MAX_DEPTH:
        return _nothing(config, f"what was taken is nested deeper than {MAX_DEPTH} levels")
    size = len(json.dumps(result.transformed))
    if size > MAX_CHARS:
        return _nothing(config, f"what was taken has {size} characters as JSON; at most {MAX_CHARS} are kept")
    return result


def transform(config: TransformConfig, view: Mapping[str, Any]) -> TransformResult:
    """Extract, then filter, then map."""
    errors: list[str] = []
    value: Any = view
    if config.extract:
        value = _at(view, config.extract, "extract", errors)
    if config.filter_priority and not config.extract:
        value = {**view, "recommendations": _kept(view.get("recommendations"), config, errors)}
    elif config.filter_priority:
        value = _kept(value, config, errors)
    if config.mapping and value is not None:
        mapped = [
            _mapped(each, config.mapping, errors) for each in (value if isinstance(value, list) else [value])
        ]
        value = mapped if isinstance(value, list) else mapped[0]
    return TransformResult(source_node=config.source_node, transformed=value, errors=list(dict.fromkeys(errors)))


def store(_session: Session, _context: StageContext, result: TransformResult) -> TransformResult:
    """It has no effect but its output."""
    return result


def _nothing(config: TransformConfig, error: str) -> TransformResult:
    return TransformResult(source_node=config.source_node, errors=[error])


def _why_empty(context: StageContext, node_id: str) -> str:
    with database.get().read() as session:
        failed = stages.failed_of(session, context.run.pk)
    if node_id in failed:
        return f"node {node_id} failed and left no output"
    skipped = context.previous.get(node_id, {}).get("skipped")
    return f"node {node_id} was skipped: {skipped}" if skipped else f"node {node_id} has no output"


def _kept(value: Any, config: TransformConfig, errors: list[str]) -> Any:
    if value is None:
        return None
    if not isinstance(value, list):
        errors.append("filter_priority: there is no list to filter")
        return None
    return [each for each in value if isinstance(each, Mapping) and _priority(each) == config.filter_priority]


def _priority(entry: Mapping[str, Any]) -> str:
    return str(entry.get("priority")).lower()


def _mapped(value: Any, mapping: Mapping[str, str], errors: list[str]) -> dict[str, Any]:
    return {name: _at(value, path, f"mapping.{name}", errors) for name, path in mapping.items()}


def _at(value: Any, path: str, key: str, errors: list[str]) -> Any:
    """What lies at a path; None with an error naming it where nothing does."""
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            errors.append(f"{key}: there is nothing at {path!r}")
            return None
    return value


def _depth(value: Any) -> int:
    """How deeply nested; what is beyond all measure counts as one more than is taken."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


TRANSFORM = StageKind(stage=Stage.TRANSFORM, reached=None, config=TransformConfig, work=work, store=store)
