"""What every database takes: PostgreSQL refuses some of what Python, and senders, call text."""

import math
from typing import Any


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
