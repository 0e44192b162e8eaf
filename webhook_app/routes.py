"""`/orchestration/routes/`: which pipeline takes the webhooks whose URL names none."""

import logging
from typing import Any

from flask import Blueprint, Response, current_app, request
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.orm import Session

from storage import routes as rows
from storage.redaction import redact
from storage.tables import RouteSet
from tasks.definition.routes import Decision, Routes, RoutesError, Trial, decide, read_routes
from tasks.definition.takers import takers
from tasks.ingest import sources
from tasks.ingest.sources.base import UnreadablePayloadError
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.json_body import BodyFaultError
from webhook_app.query import QueryError
from webhook_app.run_orders import Order
from webhook_app.state import state

routes = Blueprint("routes", __name__, url_prefix="/orchestration/routes")
routes.register_error_handler(QueryError, query.refuse)
routes.register_error_handler(BodyFaultError, json_body.refuse)

EDITOR = "api"

log = logging.getLogger("watchkeeper.receiver")


class Replace(BaseModel, extra="forbid", strict=True):
    """All rules, in order. `version`: the one that is replaced; 409 where another holds by now, 0 is none."""

    rules: list[dict[str, Any]] = Field(default_factory=list)
    default: str = ""
    version: int | None = Field(default=None, ge=0)


class Try(Order):
    """A body as a webhook would bring it. `routes`: rules and default to try in place of those that hold."""

    payload: dict[str, Any] | list[Any]
    routes: dict[str, Any] | None = None


@routes.get("/")
@require_api_token
def show() -> Response:
    """The rules that hold."""
    query.check_names(request.args, known=())
    with state().database.read() as session:
        return answer(_fields(rows.current(session)))


@routes.put("/")
@require_api_token
def replace() -> Response:
    """Let other rules hold; receivers know of them within a few seconds."""
    wish = json_body.read_body(Replace)
    with state().database.write() as session:
        rows.take_turn(session)
        held = rows.current(session)
        version = held.version if held else 0
        if wish.version not in (None, version):
            return error_answer(409, f"version: {version} holds by now", version=version)
        checked = read_routes({"rules": wish.rules, "default": wish.default}, takers(session))
        kept = checked.model_dump(mode="json", exclude_defaults=True).get("rules", [])
        saved = rows.save(session, rules=kept, default_pipeline=checked.default, created_by=EDITOR)
        fields = _fields(saved)
    log.info("routes changed", extra={"version": fields["version"]})
    return answer(fields)


@routes.post("/test/")
@require_api_token
def try_out() -> Response:
    """Which rule takes a body, and why the others do not; nothing is kept."""
    wish = json_body.read_body(Try)
    try:
        parsed = sources.parse(wish.payload, source=wish.source)
    except UnreadablePayloadError as error:
        raise BodyFaultError(400, f"payload: {str(error).partition('; post to')[0]}") from None
    settings = current_app.config["WATCHKEEPER"]
    with state().database.read() as session:
        known = takers(session)
        version, tried = _chosen(session, wish, known)
    decision = decide(
        tried,
        source=parsed.source,
        environment=wish.environment or settings.environment,
        alerts=parsed.alerts,
        default=settings.pipeline,
    )
    return answer(
        {
            "pipeline": decision.pipeline,
            "is_known": decision.pipeline in known,
            "rule": None if decision.rule is None else decision.rule + 1,
            "source": parsed.source,
            "version": version,
            "why": _why(decision, tried),
        }
    )


@routes.errorhandler(RoutesError)
def refuse(error: RoutesError) -> Response:
    """The answer to rules that cannot hold."""
    return error_answer(400, "the rules cannot hold", errors=error.faults)


def _chosen(session: Session, wish: Try, known: list[str]) -> tuple[int, Routes]:
    if wish.routes is not None:
        return 0, read_routes(wish.routes, known)
    held = rows.current(session)
    if held is None:
        return 0, Routes()
    try:
        return held.version, Routes.model_validate({"rules": held.rules, "default": held.default_pipeline})
    except ValidationError:
        raise RoutesError([f"the saved routes (version {held.version}) are faulty; save them anew"]) from None


def _fields(held: RouteSet | None) -> dict[str, Any]:
    return {
        "version": held.version if held else 0,
        "rules": held.rules if held else [],
        "default": held.default_pipeline if held else "",
        "installation_default": current_app.config["WATCHKEEPER"].pipeline,
        "created_by": held.created_by if held else "",
        "created_at": held.created_at if held else None,
    }


def _why(decision: Decision, tried: Routes) -> list[dict[str, Any]]:
    return [_trial_fields(trial, tried) for trial in decision.why]


def _trial_fields(trial: Trial, tried: Routes) -> dict[str, Any]:
    """Alerts are counted from 1; None is the delivery itself."""
    rule = tried.rules[trial.rule]
    return {
        "rule": trial.rule + 1,
        "name": rule.name,
        "pipeline": rule.pipeline,
        "is_taken": trial.is_taken,
        "alert": None if trial.taken_by is None else trial.taken_by + 1,
        "misses": [
            {
                "alert": None if miss.alert is None else miss.alert + 1,
                "field": miss.condition.field,
                "op": miss.condition.op,
                "value": miss.condition.value,
                "found": redact({miss.condition.field.removeprefix("label:"): miss.found}).popitem()[1],
            }
            for miss in trial.misses
        ],
    }
