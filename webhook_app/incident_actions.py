"""`POST /incidents/<incident_id>/…`: acknowledge, resolve, close, note.

The body is a JSON object, or empty where nothing must be said. An action that the incident's status forbids
is answered 409 with that status and what it allows. A second acknowledge is answered 200 with `changed` false.
"""

import logging
from typing import Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, field_validator

from storage.incidents import NOTE_MAX_CHARS
from storage.transitions import IncidentNotFoundError, TransitionError
from webhook_app import incident_deeds, json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.incidents import incident_fields
from webhook_app.json_body import BodyFaultError
from webhook_app.state import state

incident_actions = Blueprint("incident_actions", __name__, url_prefix="/incidents")
incident_actions.register_error_handler(BodyFaultError, json_body.refuse)

# Who is named where nobody says who it was.
UNNAMED = "api"
AUTHOR_MAX_CHARS = 128

log = logging.getLogger("watchkeeper.receiver")


class Act(BaseModel, extra="forbid", strict=True):
    """What every action may be told."""

    author: str = Field(default=UNNAMED, min_length=1, max_length=AUTHOR_MAX_CHARS)


class Resolve(Act):
    """`summary` says what it was and what helped."""

    summary: str = Field(default="", max_length=NOTE_MAX_CHARS)


class Note(Act):
    """Words to keep."""

    text: str = Field(max_length=NOTE_MAX_CHARS)

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("says nothing")
        return text


@incident_actions.post("/<incident_id>/acknowledge/")
@require_api_token
def acknowledge(incident_id: str) -> Response:
    """Somebody works on it."""
    act, pk = json_body.read_body(Act), _read_id(incident_id)
    with state().database.write() as session:
        incident, has_changed = incident_deeds.acknowledge(session, pk, author=act.author)
        fields = incident_fields(session, incident)
    return _answer(fields, has_changed=has_changed)


@incident_actions.post("/<incident_id>/resolve/")
@require_api_token
def resolve(incident_id: str) -> Response:
    """It is over, whatever its alerts say."""
    act, pk = json_body.read_body(Resolve), _read_id(incident_id)
    with state().database.write() as session:
        incident = incident_deeds.resolve(session, pk, author=act.author, summary=act.summary)
        fields = incident_fields(session, incident)
    return _answer(fields)


@incident_actions.post("/<incident_id>/close/")
@require_api_token
def close(incident_id: str) -> Response:
    """Nothing is left to do about it."""
    act, pk = json_body.read_body(Act), _read_id(incident_id)
    with state().database.write() as session:
        incident = incident_deeds.close(session, pk, author=act.author)
        fields = incident_fields(session, incident)
    return _answer(fields)


@incident_actions.post("/<incident_id>/note/")
@require_api_token
def note(incident_id: str) -> Response:
    """Something to remember."""
    act, pk = json_body.read_body(Note), _read_id(incident_id)
    with state().database.write() as session:
        incident = incident_deeds.add_note(session, pk, author=act.author, text=act.text)
        fields = incident_fields(session, incident)
    return _answer(fields)


@incident_actions.errorhandler(IncidentNotFoundError)
def miss(_error: IncidentNotFoundError) -> Response:
    """The answer about an incident that is not there."""
    return error_answer(404, "unknown incident")


@incident_actions.errorhandler(TransitionError)
def refuse(error: TransitionError) -> Response:
    """The answer to an action that the incident's status forbids."""
    return error_answer(409, str(error), incident_status=error.status, allowed=error.allowed)


def _answer(fields: dict[str, Any], *, has_changed: bool = True) -> Response:
    action = (request.endpoint or "").rpartition(".")[2]
    log.info(
        "incident worked on", extra={"incident_id": fields["id"], "action": action, "has_changed": has_changed}
    )
    return answer({"changed": has_changed, **fields})


def _read_id(text: str) -> int:
    pk = query.read_id(text)
    if pk is None:
        raise IncidentNotFoundError("not a number that an incident can have")
    return pk
