"""`/intelligence/`: who analyses, what it costs, and advice on request.

A GET asks no AI provider, costs nothing and stores nothing: it tells what was answered before, or what the local
rules say. A POST asks anew.
"""

import logging

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, field_validator

from storage import providers
from storage.settings import SettingsError
from storage.transitions import IncidentNotFoundError
from tasks.analyze import advice
from tasks.analyze.advice import Advised, Part
from tasks.analyze.asking import LOCAL
from tasks.analyze.health import health_of
from tasks.analyze.offers import offers, saved_fields
from tasks.analyze.providers import PROVIDERS
from tasks.errors import PermanentError, TransientError
from webhook_app import access, json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.json_body import BodyFaultError
from webhook_app.places import advising
from webhook_app.query import ID_MAX, QueryError
from webhook_app.state import state

intelligence = Blueprint("intelligence", __name__, url_prefix="/intelligence")
intelligence.register_error_handler(QueryError, query.refuse)
intelligence.register_error_handler(BodyFaultError, json_body.refuse)

PARAMETERS = ("incident_id", "provider")
# What only tells how things stand, and so may be followed to from a page elsewhere.
TELLING = frozenset({"intelligence.show_health", "intelligence.list_providers"})
KINDS = f"one of {', '.join(PROVIDERS)}"

log = logging.getLogger("watchkeeper.receiver")


class Ask(BaseModel, extra="forbid", strict=True):
    """`incident_id`: without one the question is about this host. `provider`: without one the active one's."""

    incident_id: int | None = Field(default=None, ge=1, le=ID_MAX)
    provider: str | None = None

    @field_validator("provider")
    @classmethod
    def _is_known(cls, kind: str | None) -> str | None:
        if kind is not None and kind not in PROVIDERS:
            raise ValueError(KINDS)
        return kind


@intelligence.before_request
def refuse_pages() -> Response | None:
    """No web page elsewhere may have this host measured, which a GET does too."""
    return None if request.endpoint in TELLING else access.refuse_page()


@intelligence.get("/health/")
@require_api_token
def show_health() -> Response:
    """Who would be asked, whether that can work, and how it went last. Nobody is asked for that."""
    query.check_names(request.args, known=())
    with state().database.read() as session:
        return answer(health_of(session))


@intelligence.get("/providers/")
@require_api_token
def list_providers() -> Response:
    """The kinds of providers, and those that are saved, without their secrets."""
    query.check_names(request.args, known=())
    with state().database.read() as session:
        saved = [saved_fields(row) for row in providers.list_providers(session)]
    return answer({"providers": [offer.model_dump() for offer in offers()], "saved": saved})


@intelligence.get("/recommendations/")
@require_api_token
def recommend() -> Response:
    """The newest answer about an incident; where there is none, and about this host, what the local rules say."""
    query.check_names(request.args, known=PARAMETERS)
    incident_id = query.read_number(request.args, "incident_id")
    kind = _read_kind()
    if incident_id is None:
        if kind not in ("", LOCAL.provider):
            raise QueryError("provider: needs incident_id; a GET asks no provider about this host, a POST does")
        return _host()
    with state().database.read() as session:
        question = advice.about_incident(session, incident_id)
        found = advice.newest(session, incident_id, kind=kind)
    if found:
        return answer(found.as_json())
    if kind not in ("", LOCAL.provider):
        return error_answer(404, f"{kind} has not answered about this incident; a POST asks it")
    with advising():
        return answer(advice.by_rules(advice.with_readings(question)).as_json())


@intelligence.post("/recommendations/")
@require_api_token
def ask() -> Response:
    """Ask a provider anew, and tell where the local rules had to stand in for it."""
    wish = json_body.read_body(Ask)
    with state().database.read() as session:
        question = advice.about_incident(session, wish.incident_id) if wish.incident_id else None
        provider = advice.chosen(session, wish.provider)
    with advising():
        asked = advice.with_readings(question) if question else advice.about_host()
        advised = advice.advise(asked, provider)
    _log(advised)
    return answer(advised.as_json())


@intelligence.get("/memory/")
@require_api_token
def advise_on_memory() -> Response:
    """What the local rules say of this host's memory and swap now."""
    query.check_names(request.args, known=())
    return _host(Part.MEMORY)


@intelligence.get("/disk/")
@require_api_token
def advise_on_disks() -> Response:
    """What the local rules say of this host's disks now, and of what could be deleted there."""
    query.check_names(request.args, known=())
    return _host(Part.DISK)


@intelligence.errorhandler(IncidentNotFoundError)
def miss(_error: IncidentNotFoundError) -> Response:
    """The answer about an incident that is not there."""
    return error_answer(404, "unknown incident")


@intelligence.errorhandler(PermanentError)
@intelligence.errorhandler(TransientError)
def fail(error: PermanentError | TransientError) -> Response:
    """The answer where the provider failed and the installation lets nothing stand in for it."""
    return error_answer(502, advice.said(error))


@intelligence.errorhandler(SettingsError)
def name_setting(error: SettingsError) -> Response:
    """The answer where the installation's own settings keep it from measuring."""
    return error_answer(500, str(error))


def _host(*parts: Part) -> Response:
    with advising():
        return answer(advice.by_rules(advice.about_host(parts)).as_json())


def _read_kind() -> str:
    kind = query.read_text(request.args, "provider")
    if kind and kind not in PROVIDERS:
        raise QueryError(f"provider: {KINDS}")
    return kind


def _log(advised: Advised) -> None:
    result = advised.result
    log.info(
        "advice asked for",
        extra={
            "incident_id": result.incident_id,
            "provider": result.provider,
            "fallback_used": result.fallback_used,
            "provider_error": advised.provider_error,
        },
    )
