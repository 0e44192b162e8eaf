"""What pydantic finds wrong with a part of a definition, in words for whoever wrote it; values are not shown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

# Of pydantic's own words, what a person would say.
_PLAIN = (
    ("Input should be a valid string", "must be a text"),
    ("Input should be a valid list", "must be a list"),
    ("Input should be a valid dictionary", "must be an object"),
    ("Input should be a valid boolean", "must be true or false"),
    ("Input should be", "must be"),
    ("String should have", "must have"),
    ("List should have", "must have"),
    ("Dictionary should have", "must have"),
    ("Value error, ", ""),
)


def faults_in(error: ValidationError, model: type[BaseModel], *, also: Iterable[str] = ()) -> list[str]:
    """One line for each fault: the key, and what is wrong with it. `also` are further keys that there are."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    keys = [*model.model_fields, *also]
    return list(dict.fromkeys(_told(fault, keys) for fault in faults))


def unknown_key(key: object, keys: Sequence[str]) -> str:
    """The same words wherever a key is unknown."""
    return f"{key}: unknown key; the keys are {', '.join(keys)}"


def _told(fault: Mapping[str, Any], keys: Sequence[str]) -> str:
    # A step in brackets is one of pydantic's own.
    path = ".".join(str(step) for step in fault["loc"] if not str(step).endswith("]"))
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        return unknown_key(path, keys)
    if fault["type"] == "missing":
        return f"{path}: it is missing"
    if fault["type"] == "model_type":
        return f"{path}: must be an object" if path else "must be an object"
    if fault["type"] == "string_pattern_mismatch":
        return f"{path}: must be of letters, digits, _, . and -, and begin with a letter, a digit or _"
    words = str(fault["msg"])
    for theirs, ours in _PLAIN:
        if words.startswith(theirs):
            words = f"{ours}{words.removeprefix(theirs)}"
            break
    return f"{path}: {words}" if path else words
