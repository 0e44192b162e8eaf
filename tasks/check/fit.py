"""JSON of a bounded size, whatever names a host gives its things."""

import json
import math
from typing import Any

from tasks.check.readings.text import printable

# Texts are cut to the first of these lengths that makes the whole small enough, or else to the last.
TEXT_CHARS = (200, 100, 40, 20, 6)


def fit(value: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """The value as JSON that any database takes: no half characters, no control characters, no NaN.

    It is small enough if what is not text in it is: its lists have to be bounded before.
    """
    for max_chars in TEXT_CHARS:
        fitting: dict[str, Any] = _storable(value, max_chars)
        if len(json.dumps(fitting)) <= max_bytes:
            break
    return fitting


def _storable(value: Any, max_chars: int) -> Any:
    if isinstance(value, dict):
        return {key: _storable(each, max_chars) for key, each in value.items()}
    if isinstance(value, list):
        return [_storable(each, max_chars) for each in value]
    if isinstance(value, str):
        return printable(value, max_chars)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
