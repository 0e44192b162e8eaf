"""`/alerts/deliveries/`: accepted webhooks, what became of them, and what people may do about them.

Replay lets a run take a delivery once more, discard sets it aside for good. What its status forbids is
answered 409 with that status. Neither is needed in the common course of things.
"""

import logging
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, BeforeValidator, Field, field_validator

from storage import inbox
from storage.inbox import REASON_MAX_CHARS, DeliveryNotFoundError, DeliveryStateError
from storage.pages import Place
from storage.storable import storable, storable_text
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus
from tasks.ingest import sources
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.delivery_fields import delivery_details, delivery_fields
from webhook_app.json_body import BodyFaultError
from webhook_app.query import QueryError
from webhook_app.state import state

deliveries = Blueprint("deliveries", __name__, url_prefix="/alerts/deliveries")
deliveries.register_error_handler(QueryError, query.refuse)
deliveries.register_error_handler(BodyFaultError, json_body.refuse)

PARAMETERS = ("status", "source", "pipeline", "trace_id", "since", "limit", "cursor")

log = logging.getLogger("watchkeeper.receiver")


class Replay(BaseModel, extra="forbid", strict=True):
    """`source` names another source that the delivery is to be read as."""

    source: str | None = None

    @field_validator("source")
    @classmethod
    def _is_known(cls, source: str | None) -> str | None:
        if source is not None and source not in sources.SOURCES:
            raise ValueError(f"one of {', '.join(sources.SOURCES)}")
        return source


class Discard(BaseModel, extra="forbid", strict=True):
    """`reason` says why, for those who look at it later."""

    reason: Annotated[str, BeforeValidator(storable), Field(max_length=REASON_MAX_CHARS)] = ""


@deliveries.get("/")
@require_api_token
def list_all() -> Response:
    """Deliveries without their bodies, newest first."""
    query.check_names(request.args, known=PARAMETERS)
    limit = query.read_limit(request.args)
    after = query.read_cursor(request.args)
    with state().database.read() as session:
        found = inbox.list_deliveries(
            session,
            statuses=query.read_words(request.args, "status", DeliveryStatus),
            source=query.read_text(request.args, "source") or None,
            pipeline=query.read_text(request.args, "pipeline"),
            trace_id=query.read_text(request.args, "trace_id"),
            since=query.read_since(request.args, now=utc_now()),
            before_id=after.id if after else None,
            limit=limit + 1,
        )
    page = [delivery_fields(delivery) for delivery in found[:limit]]
    next_place = Place(found[limit - 1].received_at, found[limit - 1].id) if len(found) > limit else None
    return answer(query.page_fields("deliveries", page, next_place=next_place))


@deliveries.get("/<delivery_id>/")
@require_api_token
def show(delivery_id: str) -> Response:
    """One delivery with the runs that took it."""
    with state().database.read() as session:
        delivery = inbox.find_delivery(session, storable_text(delivery_id))
        if delivery is None:
            return error_answer(404, "unknown delivery")
        return answer(delivery_details(session, delivery))


@deliveries.get("/<delivery_id>/body/")
@require_api_token
def show_body(delivery_id: str) -> Response:
    """The body, byte for byte; as a file, because it is a stranger's."""
    with state().database.read() as session:
        delivery = inbox.find_delivery(session, storable_text(delivery_id))
        if delivery is None:
            return error_answer(404, "unknown delivery")
        body = delivery.body
    if not body:
        return error_answer(410, "the body is no longer kept")
    response = Response(body, mimetype="application/octet-stream")
    response.headers["Content-Disposition"] = f'attachment; filename="{delivery.delivery_id}.body"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@deliveries.post("/<delivery_id>/replay/")
@require_api_token
def replay(delivery_id: str) -> Response:
    """Let a run take it once more."""
    wish = json_body.read_body(Replay)
    with state().database.write() as session:
        fields = delivery_fields(inbox.replay(session, storable_text(delivery_id), source=wish.source))
    log.info("delivery replayed", extra={"delivery_id": fields["delivery_id"], "source": fields["source"]})
    return answer(fields)


@deliveries.post("/<delivery_id>/discard/")
@require_api_token
def discard(delivery_id: str) -> Response:
    """Set it aside for good."""
    wish = json_body.read_body(Discard)
    with state().database.write() as session:
        fields = delivery_fields(inbox.discard(session, storable_text(delivery_id), reason=wish.reason))
    log.info("delivery discarded", extra={"delivery_id": fields["delivery_id"]})
    return answer(fields)


@deliveries.errorhandler(DeliveryNotFoundError)
def miss(_error: DeliveryNotFoundError) -> Response:
    """The answer about a delivery that is not there."""
    return error_answer(404, "unknown delivery")


@deliveries.errorhandler(DeliveryStateError)
def refuse(error: DeliveryStateError) -> Response:
    """The answer to what a delivery's status forbids."""
    return error_answer(409, str(error), delivery_status=error.status)
