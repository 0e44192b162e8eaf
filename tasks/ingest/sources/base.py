"""What every source offers, and how they read loosely typed fields."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from storage.records import AlertFault, ParsedAlert, ParsedPayload


class UnreadablePayloadError(Exception):
    """Nothing can be made of a payload; the message names the field that is wrong, and repeats no value."""


class Source(Protocol):
    """A module that knows one vendor's webhook. All of it is pure."""

    def detect(self, payload: Any) -> bool:
        """Whether the payload is this vendor's."""

    def check(self, payload: Any) -> None:
        """A cheap look at the top level. Raises UnreadablePayloadError that names the wrong field."""

    def parse(self, payload: Any) -> ParsedPayload:
        """All alerts, and a fault for each one that cannot be read."""


def text_of(value: Any) -> str:
    """A field as text: numbers, booleans, objects and lists as JSON writes them, absent ones empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else str(value)


def first_text(fields: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is given and not empty, as text."""
    return next((text for name in names if (text := text_of(fields.get(name)))), "")


def texts_of(value: Any, field: str) -> dict[str, str]:
    """An object as a flat mapping of text. Raises UnreadablePayloadError for anything but an object."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnreadablePayloadError(f"{field} must be an object")
    return {text_of(key): text_of(item) for key, item in value.items()}


def object_of(payload: Any) -> Mapping[str, Any]:
    """The payload itself, if it is an object. Raises UnreadablePayloadError otherwise."""
    if not isinstance(payload, Mapping):
        raise UnreadablePayloadError("the payload must be an object")
    return payload


def list_of(value: Any, field: str) -> Sequence[Any]:
    """A field that must be a list. Raises UnreadablePayloadError otherwise."""
    if not isinstance(value, list):
        raise UnreadablePayloadError(f"{field} must be a list")
    return value


def parse_each(
    entries: Sequence[Any], parse_one: Callable[[Mapping[str, Any]], ParsedAlert], field: str = "alerts"
) -> tuple[list[ParsedAlert], list[AlertFault]]:
    """Parse every entry; one that cannot be read becomes a fault and does not take the others with it."""
    alerts: list[ParsedAlert] = []
    faults: list[AlertFault] = []
    for index, entry in enumerate(entries):
        place = f"{field}[{index}]"
        try:
            if not isinstance(entry, Mapping):
                raise UnreadablePayloadError("must be an object")  # noqa: TRY301  (caught as any other fault)
            alerts.append(parse_one(entry))
        except UnreadablePayloadError as error:
            faults.append(AlertFault(place=place, reason=str(error)))
    return alerts, faults
