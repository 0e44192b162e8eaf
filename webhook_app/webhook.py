"""`/alerts/webhook/`: take what a monitoring system sends, keep it, answer at once.

The answers follow from how senders retry (design.md, section 2): 202 for all authenticated JSON, even when
nothing can be made of it; 4xx only for what no retry can mend (what is not JSON is kept all the same); 503 when
it could not be kept.
"""

import hashlib
import re
from typing import Any
from uuid import uuid4

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from storage.inbox import NewDelivery
from storage.vocabulary import DeliveryStatus
from tasks.ingest import sources
from tasks.ingest.body import BodyError, read_body
from tasks.ingest.sources.base import UnreadablePayloadError
from webhook_app.accept import Accepted, NotStoredError
from webhook_app.access import log_refusal, may_post_as, refuse_as, require_webhook_credentials
from webhook_app.answers import answer, error_answer
from webhook_app.deliveries import deliveries
from webhook_app.routing import Choice, choose, choose_default
from webhook_app.state import state

webhook = Blueprint("webhook", __name__, url_prefix="/alerts/webhook")

# The senders' own ids of a delivery, by which their repeats are known. Standard Webhooks signs Webhook-Id, so
# that one comes first: a replay cannot be made a new delivery by adding another.
SENDER_ID_HEADERS = ("Webhook-Id", "X-Webhook-Id", "Idempotency-Key")
KEPT_HEADERS = ("Content-Type", "User-Agent", *SENDER_ID_HEADERS)
HEADER_MAX_CHARS = 200
SENDER_ID_MAX_CHARS = 128
TRACE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@webhook.get("/")
def health() -> Response:
    """Whether the receiver is up, and what it understands."""
    return answer({"status": "ok", "sources": list(sources.SOURCES)})


@webhook.post("/")
@webhook.post("/<source>/")
@require_webhook_credentials
def receive(source: str = "") -> Response:
    """Keep one webhook. See the module's docstring for the answers."""
    if source and source not in sources.SOURCES:
        known = list(sources.SOURCES)
        return _answer_unknown(source, f"unknown source; one of {', '.join(known)}", sources=known)
    named = Choice(request.args.get("pipeline", ""))
    if named.pipeline and not state().is_known(named.pipeline):
        return _answer_unknown_pipeline(source)
    try:
        body = request.get_data(cache=False)
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise BodyError("the body is compressed (Content-Encoding); send it as it is")  # noqa: TRY301
        payload = read_body(body, request.headers.get("Content-Type", ""))
    except RequestEntityTooLarge:
        return _answer_too_large()
    except BodyError as error:
        return _refuse(body, str(error), source, named)
    return _keep(body, payload, source, named)


def _keep(body: bytes, payload: Any, source: str, named: Choice) -> Response:
    reason = ""
    try:
        source = sources.recognise(payload, source=source)
    except UnreadablePayloadError as error:
        reason = str(error)
    if source and not may_post_as(source):
        return refuse_as(source)
    choice = named if named.pipeline else choose_default() if reason else choose(payload, source)
    if not state().is_known(choice.pipeline):
        return _answer_unknown_pipeline(source)
    try:
        accepted = state().acceptor.accept(_delivery(body, source, choice, reason, _sender_id()))
    except NotStoredError as error:
        return _answer_not_stored(error)
    status = "duplicate" if accepted.is_duplicate else "quarantined" if reason else "accepted"
    fields = {"status": status, **_place_of(accepted)}
    return answer(fields | ({"reason": reason} if reason and not accepted.is_duplicate else {}), status=202)


def _refuse(body: bytes, reason: str, source: str, named: Choice) -> Response:
    """Answer 400 to what is not JSON; no retry can mend it, so it is kept for people to see that it came."""
    if not body.strip() or (source and not may_post_as(source)):
        return error_answer(400, reason)
    try:
        # Without the sender's id: under the same one the whole body may yet come.
        choice = named if named.pipeline else choose_default()
        accepted = state().acceptor.accept(_delivery(body, source, choice, reason, None))
    except NotStoredError as error:
        return _answer_not_stored(error)
    return error_answer(400, reason, **_place_of(accepted))


def _delivery(body: bytes, source: str, choice: Choice, reason: str, sender_id: str | None) -> NewDelivery:
    return NewDelivery(
        delivery_id=str(uuid4()),
        trace_id=_trace_id(),
        source=source,
        pipeline=choice.pipeline,
        route=choice.route,
        environment=current_app.config["WATCHKEEPER"].environment,
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
        headers={
            name: request.headers[name][:HEADER_MAX_CHARS] for name in KEPT_HEADERS if name in request.headers
        },
        sender_delivery_id=sender_id,
        status=DeliveryStatus.QUARANTINED if reason else DeliveryStatus.WAITING,
        reason=reason,
    )


def _place_of(accepted: Accepted) -> dict[str, str]:
    return {
        "delivery_id": accepted.delivery_id,
        "trace_id": accepted.trace_id,
        # Not url_for, which takes 7 % of the time that a webhook costs us.
        "status_url": f"{deliveries.url_prefix}/{accepted.delivery_id}/",
    }


def _answer_not_stored(error: NotStoredError) -> Response:
    response = error_answer(503, f"not stored, try again: {error}")
    response.headers["Retry-After"] = "5"
    return response


def _answer_unknown(source: str, reason: str, **fields: Any) -> Response:
    log_refusal(404, source, reason)
    return error_answer(404, reason, **fields)


def _answer_unknown_pipeline(source: str) -> Response:
    pipelines = state().pipelines()
    reason = f"unknown pipeline, or one without an ingest node; one of {', '.join(pipelines)}"
    return _answer_unknown(source, reason, pipelines=pipelines)


def _answer_too_large() -> Response:
    reason = f"the body is larger than {current_app.config['WATCHKEEPER'].max_body_bytes} bytes"
    if request.blueprint == webhook.name:
        log_refusal(413, (request.view_args or {}).get("source", ""), reason)
    return error_answer(413, reason)


def _trace_id() -> str:
    given = request.headers.get("X-Trace-Id", "")
    return given if TRACE_ID.fullmatch(given) else str(uuid4())


def _sender_id() -> str | None:
    given = next((request.headers[name] for name in SENDER_ID_HEADERS if request.headers.get(name)), None)
    if given is None or len(given) <= SENDER_ID_MAX_CHARS:
        return given
    return hashlib.sha256(given.encode()).hexdigest()


def answer_http_error(error: HTTPException) -> Response:
    """Errors that Flask finds itself, such as a wrong path, in our form."""
    if isinstance(error, RequestEntityTooLarge):
        return _answer_too_large()
    return error_answer(error.code or 500, error.name)
