"""From the bytes of a webhook to a JSON value that can be stored, or a reason why not."""

import json
import math
from typing import Any

MAX_DEPTH = 256


class BodyError(Exception):
    """The bytes are not JSON we read; the message says why and repeats nothing of them."""


def read_json(body: bytes) -> Any:
    """The JSON value of a body: UTF-8 with or without a BOM, nested at most MAX_DEPTH deep.

    NaN and Infinity, which Python's parser accepts, become text. Raises BodyError.
    """
    if not body.strip():
        raise BodyError("the body is empty")
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=str)
    except UnicodeDecodeError:
        raise BodyError("the body is not UTF-8 text") from None
    except RecursionError:
        raise BodyError(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        position = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BodyError(f"the body is not JSON{position}") from None
    # Fewer brackets than levels allowed cannot be too deep; only the others are walked.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth_exceeds(value, MAX_DEPTH):
        raise BodyError(f"the JSON is nested deeper than {MAX_DEPTH} levels")
    return value


def storable(value: Any) -> Any:
    """The same value without what PostgreSQL's JSON refuses: NUL, lone surrogates, infinite numbers."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {storable_text(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value


def storable_text(text: str) -> str:
    """Text that every database takes: NUL becomes U+FFFD, and so do lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = (
            [
                child
                for parent in level
                for child in (parent.values() if isinstance(parent, dict) else parent)
                if isinstance(child, dict | list)
            ]
            if any(isinstance(item, dict | list) for item in level)
            else []
        )
        if not level:
            return False
    return True
