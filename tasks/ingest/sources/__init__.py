"""The alert sources, in the order in which an unnamed body is offered to them.

To add one: a module with `detect` and `parse`, and a line here.
"""

from typing import Any

from storage.records import ParsedPayload
from tasks.ingest.sources import alertmanager, generic
from tasks.ingest.sources.base import Source, UnreadablePayloadError

SOURCES: dict[str, Source] = {
    "alertmanager": alertmanager,
    "generic": generic,
}


def recognise(payload: Any, *, source: str = "") -> str:
    """The name of the source that reads this payload; a named one always wins.

    Raises UnreadablePayloadError where none does.
    """
    if source:
        SOURCES[source].check(payload)
        return source
    for name, candidate in SOURCES.items():
        if candidate.detect(payload):
            candidate.check(payload)
            return name
    raise UnreadablePayloadError(
        f"no source recognises this payload (top level: {_shape(payload)}); "
        f"post to /alerts/webhook/<source>/ with one of {', '.join(SOURCES)}"
    )


def parse(payload: Any, *, source: str = "") -> ParsedPayload:
    """The alerts of a payload. Raises UnreadablePayloadError where nothing can be made of it."""
    return SOURCES[recognise(payload, source=source)].parse(payload)


def _shape(payload: Any) -> str:
    return {dict: "object", list: "array", str: "string", type(None): "null"}.get(type(payload), "number")
