"""`/notify/`: one-off messages, and the drivers that can carry them (seeds, Notify App).

Everything about sending is answered in the seeds' form: success, message_id, error, metadata. A config that comes
along is taken as it is: references to secrets are refused by name, since whoever may send could have them sent to
an address of theirs.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from storage.database import Database
from storage.redaction import redact_text
from storage.storable import storable_text
from tasks.errors import PermanentError, TransientError, is_retryable
from tasks.notify import one_off
from tasks.notify.channels import CHANNELS
from tasks.notify.one_off import OneOff, RateError, RestingError, Sent
from tasks.notify.saved_fields import driver_fields
from tasks.notify.selection import (
    Destination,
    InactiveChannelError,
    UnfitConfigError,
    UnknownDestinationError,
    open_given,
    open_saved,
    select,
)
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.json_body import BodyFaultError
from webhook_app.places import sending
from webhook_app.query import QueryError
from webhook_app.state import state

notify = Blueprint("notify", __name__, url_prefix="/notify")
notify.register_error_handler(QueryError, query.refuse)

MAX_BATCH = 100
# Messages of one batch on their way at a time, and when no more of them are begun.
SENDERS = 8
BATCH_SECONDS = 60.0
# What is wrong, where it is not the destination that failed.
STATUSES: dict[type[Exception], int] = {
    UnfitConfigError: 400,
    UnknownDestinationError: 404,
    InactiveChannelError: 409,
    RateError: 429,
    RestingError: 503,
}
FAILED = 502

Form = dict[str, Any]

log = logging.getLogger("watchkeeper.receiver")


class Send(OneOff):
    """A message with where it goes: `provider` is an active channel or a driver, `config` that driver's."""

    provider: str = Field(default="", max_length=128)
    config: dict[str, Any] | None = None


class Batch(BaseModel, extra="forbid", strict=True):
    """Several of them."""

    notifications: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_BATCH)


@notify.post("/send/")
@require_api_token
def send() -> Response:
    """Send one message to where its provider says, or to the first active channel."""
    return _send(json_body.read_body(Send))


@notify.post("/send/<driver>/")
@require_api_token
def send_by(driver: str) -> Response:
    """Send one message by the channel or driver of the URL."""
    wish = json_body.read_body(Send)
    if wish.provider not in ("", driver):
        raise BodyFaultError(400, "provider: is another than the URL's")
    return _send(wish.model_copy(update={"provider": storable_text(driver)}))


@notify.post("/batch/")
@require_api_token
def send_batch() -> Response:
    """Send several messages side by side. One that cannot be read refuses them all, before any is sent."""
    wishes = [
        json_body.read_fields(Send, fields, at=f"notifications[{index}]")
        for index, fields in enumerate(json_body.read_body(Batch).notifications)
    ]
    database, ends_at = state().database, time.monotonic() + BATCH_SECONDS
    with sending(), ThreadPoolExecutor(SENDERS, thread_name_prefix="notify-batch") as pool:
        attempts = list(pool.map(lambda wish: _attempt_within(ends_at, database, wish), wishes))
    results = [form for _, form, _ in attempts]
    sent = sum(form["success"] for form in results)
    # 207: each result says how its message fared.
    status = 200 if sent == len(results) else 207 if sent else FAILED
    counts = {"total": len(results), "sent": sent, "failed": len(results) - sent}
    return answer({"success": sent == len(results), **counts, "results": results}, status=status)


@notify.get("/drivers/")
@require_api_token
def list_drivers() -> Response:
    """The drivers, with the keys of their configs."""
    query.check_names(request.args, known=())
    return answer({"count": len(CHANNELS), "drivers": [driver_fields(kind) for kind in CHANNELS]})


@notify.get("/drivers/<driver>/")
@require_api_token
def show_driver(driver: str) -> Response:
    """One driver, with the keys of its config."""
    query.check_names(request.args, known=())
    if driver not in CHANNELS:
        return error_answer(404, f"unknown driver; one of {', '.join(CHANNELS)}")
    return answer(driver_fields(driver))


@notify.errorhandler(BodyFaultError)
def refuse(error: BodyFaultError) -> Response:
    """The answer to a body that cannot be used."""
    return answer(_failure(str(error)), status=error.status)


def answer_attempt(attempt: Callable[[], Sent], *, channel: str, driver: str) -> tuple[int, Form, float | None]:
    """Status, form and Retry-After in seconds of what came of a message."""
    about = {"channel": channel, "driver": driver}
    try:
        sent = attempt()
    except (PermanentError, TransientError) as error:
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), FAILED)
        wish = error.retry_after_seconds if isinstance(error, TransientError) else None
        return status, _failure(str(error), **about, is_retryable=is_retryable(error)), wish
    said = sent.receipt
    metadata = {**about, "detail": said.detail, "severity": sent.notification.severity}
    message_id = said.provider_id or sent.notification.idempotency_key
    form = {"success": True, "message_id": message_id, "error": ""}
    return 200, {**form, "metadata": {**metadata, "duration_ms": round(sent.duration_seconds * 1000)}}, None


def answer_form(status: int, form: Mapping[str, Any], retry_after_seconds: float | None) -> Response:
    """A response of one message."""
    response = answer(dict(form), status=status)
    if retry_after_seconds is not None:
        response.headers["Retry-After"] = str(math.ceil(retry_after_seconds))
    return response


def _send(wish: Send) -> Response:
    with sending():
        return answer_form(*_attempt(state().database, wish))


def _attempt_within(ends_at: float, database: Database, wish: Send) -> tuple[int, Form, float | None]:
    if time.monotonic() > ends_at:
        return FAILED, _failure(f"not tried: the batch had taken {BATCH_SECONDS:g} s by then"), None
    try:
        return _attempt(database, wish)
    except SQLAlchemyError as error:
        # One message's, so that what became of the others is told.
        log.warning("database away", extra={"error": type(error).__name__})
        return FAILED, _failure("the database is away, try again", is_retryable=True), None


def _attempt(database: Database, wish: Send) -> tuple[int, Form, float | None]:
    try:
        with database.read() as session:
            found = select(session, provider=wish.provider, config=wish.config, channel=wish.channel)
    except PermanentError as error:
        return STATUSES[type(error)], _failure(str(error)), None
    label = found.channel.name if found.is_saved else ""
    return answer_attempt(lambda: _deliver(found, wish), channel=label, driver=found.channel.driver)


def _deliver(found: Destination, wish: Send) -> Sent:
    message = one_off.compose_one_off(wish, channel=found.channel.name)
    if found.is_saved:
        return one_off.send(found.channel, open_saved(found), message)
    return one_off.send_plainly(open_given(found), message)


def _failure(error: str, **metadata: Any) -> Form:
    return {"success": False, "message_id": None, "error": redact_text(error), "metadata": metadata}
