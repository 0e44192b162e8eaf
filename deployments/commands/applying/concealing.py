"""Secrets in documents: hidden where they are shown, and placeholders for them where they are written out."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from storage.redaction import MASK, is_reference

PREFIX = "WATCHKEEPER"
Path = tuple[str | int, ...]


def hidden(value: Any, shown: Any) -> Any:
    """The value with the mask for each text that `shown` hides; references stay."""
    return _replaced(value, shown, (), lambda _path: MASK)


def with_placeholders(value: Any, shown: Any, path: Path, found: dict[str, Path]) -> Any:
    """The value with a reference to a variable for each text that `shown` hides; notes the names in `found`."""

    def placeholder(where: Path) -> dict[str, str]:
        name = _variable(where)
        found[name] = where
        return {"env": name}

    return _replaced(value, shown, path, placeholder)


def _replaced(value: Any, shown: Any, path: Path, stand_in: Callable[[Path], Any]) -> Any:
    if value is None or isinstance(value, bool) or value == shown or is_reference(value):
        return value
    if isinstance(value, Mapping):
        known = shown if isinstance(shown, Mapping) else {}
        return {key: _replaced(each, known.get(key, MASK), (*path, key), stand_in) for key, each in value.items()}
    if isinstance(value, list):
        known_list = shown if isinstance(shown, list) and len(shown) == len(value) else [MASK] * len(value)
        pairs = zip(value, known_list, strict=True)
        return [_replaced(each, seen, (*path, index), stand_in) for index, (each, seen) in enumerate(pairs)]
    return stand_in(path)


def _variable(path: Path) -> str:
    words = [re.sub(r"[^A-Za-z0-9]+", "_", str(step)).strip("_").upper() for step in path if step != "config"]
    return "_".join([PREFIX, *filter(None, words)])
