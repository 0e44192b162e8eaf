"""Bodies that are a little wrong: every part of a value left out, or replaced by each nasty value."""

import copy
from collections.abc import Iterator
from typing import Any

NASTY: list[Any] = [
    None,
    True,
    -1,
    10**400,
    1e308,
    float("inf"),
    "",
    "NaN",
    "\ud800",
    "\x00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    [],
    [[]],
    {},
    {"id": {}},
    [None, 1, "x"],
]
# And those that are not worth a try at every place of every sample.
ODD: list[Any] = [
    *NASTY,
    0,
    1.5,
    10**300,
    float("nan"),
    "Infinity",
    "[" * 900,
    {"a": {"b": []}},
    {"a": ["\udc00"]},
]


def mutations(value: Any) -> Iterator[Any]:
    """The value with each of its parts, one after the other, replaced by each nasty value or left out."""
    yield from copy.deepcopy(NASTY)
    for place in places(value):
        yield without(value, place)
        for nasty in NASTY:
            yield replaced(value, place, copy.deepcopy(nasty))


def places(value: Any) -> Iterator[tuple[str | int, ...]]:
    """The path of every part of a JSON value."""
    keys = range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else []
    for key in keys:
        yield (key,)
        for rest in places(value[key]):
            yield (key, *rest)


def replaced(value: Any, place: tuple[str | int, ...], part: Any) -> Any:
    """The value with another part at a place."""
    if not place:
        return part
    changed = copy.copy(value)
    changed[place[0]] = replaced(value[place[0]], place[1:], part)
    return changed


def without(value: Any, place: tuple[str | int, ...]) -> Any:
    """The value without the part at a place."""
    changed = copy.copy(value)
    if len(place) == 1:
        del changed[place[0]]
    else:
        changed[place[0]] = without(value[place[0]], place[1:])
    return changed
