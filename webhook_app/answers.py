"""The one form of our JSON answers."""

from typing import Any

from flask import Response

from storage.database import strict_json


def answer(fields: dict[str, Any], *, status: int = 200) -> Response:
    """A strict JSON answer: no NaN, no Infinity."""
    return Response(strict_json(fields) + "\n", status=status, mimetype="application/json")


def error_answer(status: int, message: str, **fields: Any) -> Response:
    """An error in words. Nothing that was sent is repeated in it."""
    return answer({"status": "error", "error": message, **fields}, status=status)
