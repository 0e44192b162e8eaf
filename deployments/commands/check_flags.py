"""From the Config of a checker or a channel driver to the flags of its `run-check` or `test-notify`."""

import inspect
from collections.abc import Iterator, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import Parameter
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tasks.check.checkers.base import FallingConfig, ThresholdConfig

# What they say of a series of results means nothing to a single one.
OF_A_SERIES = {"confirmations", "clear"}
# The seeds' flag, where it is not their key.
SECOND_NAMES = {"processes": "--names"}
THRESHOLDS = {"warning_threshold": "Warning", "critical_threshold": "Critical"}
SCALARS = (bool, int, float, str)
SEQUENCES = (list, tuple, set, frozenset, Sequence)


def flags_of(config: type[BaseModel]) -> Iterator[inspect.Parameter]:
    """A keyword parameter for each key that a flag can give; the other keys are left to --config.

    None has a default: what is not given is left to the settings, and then to the model.
    """
    for name, field in config.model_fields.items():
        kind = _kind(field.annotation)
        if name not in OF_A_SERIES and kind is not None:
            annotation = Annotated[kind | None, _flag(config, name, field)]  # type: ignore[valid-type]  # made just now
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _flag(config: type[BaseModel], name: str, field: FieldInfo) -> Parameter:
    flag = f"--{name.replace('_', '-')}"
    return Parameter(
        name=[flag, SECOND_NAMES[name]] if name in SECOND_NAMES else flag,
        help=field.description or _help(config, name),
        show_default=_shown(field.get_default(call_default_factory=True)) or False,
        negative_iterable="",
        consume_multiple=True,
        json_list=False,
    )


def _help(config: type[BaseModel], name: str) -> str:
    """What is to be said of the keys that many checkers have; of the others their Config's docstring speaks."""
    if name == "timeout":
        return "Seconds until it counts as hung."
    if name not in THRESHOLDS or not issubclass(config, ThresholdConfig):
        return ""
    side = "below this" if issubclass(config, FallingConfig) else "from this on"
    return f"{THRESHOLDS[name]} {side}, in {config.unit}." if config.unit else f"{THRESHOLDS[name]} {side}."


def _kind(annotation: Any) -> Any:
    """The nearest type that a flag can have; None for what takes JSON to say.

    A list of objects takes words: by convention the models of checkers' lists let a plain text stand for one.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, UnionType):
        return _widest([_kind(each) for each in arguments if each is not NoneType])
    if origin in SEQUENCES:
        item = str if _is_a(arguments[0], BaseModel) else _kind(arguments[0])
        return None if item is None or get_origin(item) is list else list[item]  # type: ignore[valid-type]
    if annotation is SecretStr:
        return str
    if _is_a(annotation, Enum):
        return Literal[tuple(member.value for member in annotation)]
    return annotation if origin is Literal or annotation in SCALARS else None


def _is_a(annotation: Any, base: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)


def _widest(kinds: Sequence[Any]) -> Any:
    """Of a union's types the one whose values the others' can be written as."""
    lists = [kind for kind in kinds if get_origin(kind) is list]
    scalars = [kind for kind in reversed(SCALARS) if kind in kinds]
    return next(iter([*lists, *scalars, *kinds]), None)


def _shown(default: Any) -> str:
    """A default as one would type it; nothing for one that says nothing."""
    match default:
        case list() | tuple() | set() | frozenset():
            return " ".join(str(item) for item in default)
        case bool():
            return "yes" if default else "no"
        case float():
            return f"{default:g}"
    return "" if default in (None, PydanticUndefined) else str(default)
