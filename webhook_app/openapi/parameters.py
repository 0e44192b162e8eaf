"""What the parameters in queries may be."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from webhook_app.query import ID_MAX, LIMIT_DEFAULT, LIMIT_MAX, TEXT_MAX_CHARS

Json = dict[str, Any]

NUMBER = {"type": "integer", "minimum": 1, "maximum": ID_MAX}
TEXT = {"type": "string", "minLength": 1, "maxLength": TEXT_MAX_CHARS, "pattern": r"\S"}
KNOWN: dict[str, tuple[Json, str]] = {
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        "rows of a page",
    ),
    "cursor": ({"type": "string"}, "where the last page ended: its `next`"),
    "since": ({"type": "string"}, "a time such as 2026-01-31T12:00:00Z, or a duration such as 30m, 2h or 7d"),
    "incident": (NUMBER, "id of an incident"),
    "incident_id": (NUMBER, "id of an incident"),
    "active": ({"type": "boolean"}, "only those that can be run, or cannot"),
}


def filters(names: Iterable[str], **words: type[StrEnum]) -> list[Json]:
    """The parameters of a list; `words` names those that take some of a closed list, with commas between."""
    return [_parameter(name, words.get(name)) for name in names]


def _parameter(name: str, kind: type[StrEnum] | None) -> Json:
    if kind is not None:
        schema = {"type": "array", "items": {"type": "string", "enum": [word.value for word in kind]}}
        return {"name": name, "in": "query", "schema": schema, "style": "form", "explode": False}
    schema, description = KNOWN.get(name, (TEXT, ""))
    said = {"description": description} if description else {}
    return {"name": name, "in": "query", "schema": schema, **said}
