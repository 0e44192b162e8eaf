"""Reading the body of an action: a JSON object, or empty where nothing must be said."""

from collections.abc import Iterator
from typing import Any, TypeVar

from flask import Response, request
from pydantic import BaseModel, ValidationError

from storage.storable import storable
from tasks.ingest.body import BodyError, read_json
from webhook_app import query
from webhook_app.answers import error_answer

Body = TypeVar("Body", bound=BaseModel)
FAULTS_MAX = 100
REASON_MAX_CHARS = 500


class Nothing(BaseModel, extra="forbid"):
    """The body of what needs none."""


class BodyFaultError(Exception):
    """The body of an action cannot be used: with which status that is answered, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_body(kind: type[Body]) -> Body:
    """What the present request says, as this kind. Raises BodyFaultError that names each wrong field."""
    return read_fields(kind, read_object())


def read_object() -> dict[str, Any]:
    """The JSON object of the present request, empty where it has no body. Raises BodyFaultError."""
    body = request.get_data(cache=False)
    value: Any = {}
    if body.strip():
        # Asked for, because no web page can have a browser send that elsewhere without being let.
        if not request.is_json:
            raise BodyFaultError(415, "the body must be JSON, sent as Content-Type: application/json")
        try:
            value = read_json(body)
        except BodyError as error:
            raise BodyFaultError(400, str(error)) from None
    if not isinstance(value, dict):
        raise BodyFaultError(400, "the body must be a JSON object")
    fields: dict[str, Any] = storable(value)
    return fields


def read_fields(kind: type[Body], fields: Any, *, at: str = "") -> Body:
    """An object of the body as this kind; `at` says where it stands. Raises BodyFaultError."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise BodyFaultError(400, "; ".join(_faults(kind, error, at))) from None


def _faults(kind: type[Body], error: ValidationError, at: str) -> Iterator[str]:
    for fault in error.errors(include_input=False)[:FAULTS_MAX]:
        reason = fault["msg"].removeprefix("Value error, ")[:REASON_MAX_CHARS]
        name = query.shown(".".join(map(str, (at, *fault["loc"]) if at else fault["loc"])) or "the body")
        is_unknown = fault["type"] == "extra_forbidden"
        yield f"{name}: unknown; known: {', '.join(kind.model_fields)}" if is_unknown else f"{name}: {reason}"


def refuse(error: BodyFaultError) -> Response:
    """The answer to a body that cannot be used."""
    return error_answer(error.status, str(error))
