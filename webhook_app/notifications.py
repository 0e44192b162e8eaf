"""`/notify/notifications/`: every message to every channel, what became of it, and what people may do about it.

Retry lets a message be sent now, discard sets it aside for good. What its status forbids, or the run that has it
in hand, is answered 409 with that status and what is allowed.
"""

import logging
from typing import Annotated

from flask import Blueprint, Response, current_app, request
from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy.orm import Session

from storage import outbox_actions
from storage.inbox import REASON_MAX_CHARS
from storage.outbox_actions import NotificationNotFoundError, NotificationStateError
from storage.pages import Place
from storage.storable import storable
from storage.tables import Notification
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.json_body import BodyFaultError
from webhook_app.notification_fields import notification_details, notification_fields
from webhook_app.query import QueryError
from webhook_app.state import state

notifications = Blueprint("notifications", __name__, url_prefix="/notify/notifications")
notifications.register_error_handler(QueryError, query.refuse)
notifications.register_error_handler(BodyFaultError, json_body.refuse)

PARAMETERS = ("status", "channel", "incident_id", "reason", "trace_id", "since", "limit", "cursor")

log = logging.getLogger("watchkeeper.receiver")


class Retry(BaseModel, extra="forbid", strict=True):
    """Nothing must be said."""


class Discard(BaseModel, extra="forbid", strict=True):
    """`reason` says why, for those who look at it later."""

    reason: Annotated[str, BeforeValidator(storable), Field(max_length=REASON_MAX_CHARS)] = ""


@notifications.get("/")
@require_api_token
def list_all() -> Response:
    """Messages without the text that was said, newest first, and how many of all there are of each status."""
    query.check_names(request.args, known=PARAMETERS)
    limit = query.read_limit(request.args)
    after = query.read_cursor(request.args)
    with state().database.read() as session:
        found = outbox_actions.list_notifications(
            session,
            statuses=query.read_words(request.args, "status", NotificationStatus),
            reasons=query.read_words(request.args, "reason", NotificationReason),
            channel=query.read_text(request.args, "channel"),
            incident_id=query.read_number(request.args, "incident_id"),
            trace_id=query.read_text(request.args, "trace_id"),
            since=query.read_since(request.args, now=utc_now()),
            before_id=after.id if after else None,
            limit=limit + 1,
        )
        counts = outbox_actions.count_by_status(session)
    page = [notification_fields(row) for row in found[:limit]]
    next_place = Place(found[limit - 1].created_at, found[limit - 1].id) if len(found) > limit else None
    return answer({"counts": counts, **query.page_fields("notifications", page, next_place=next_place)})


@notifications.get("/<notification_id>/")
@require_api_token
def show(notification_id: str) -> Response:
    """One message with what was said, its runs, and what happens next."""
    pk = _read_id(notification_id)
    with state().database.read() as session:
        row = outbox_actions.find(session, pk)
        if row is None:
            raise NotificationNotFoundError
        return answer(_details(session, row))


@notifications.post("/<notification_id>/retry/")
@require_api_token
def retry(notification_id: str) -> Response:
    """Let it be sent now."""
    json_body.read_body(Retry)
    pk = _read_id(notification_id)
    with state().database.write() as session:
        fields = _details(session, outbox_actions.retry(session, pk))
    log.info("notification retried", extra={"notification_id": pk, "channel": fields["channel"]})
    return answer(fields)


@notifications.post("/<notification_id>/discard/")
@require_api_token
def discard(notification_id: str) -> Response:
    """Set it aside for good."""
    wish = json_body.read_body(Discard)
    pk = _read_id(notification_id)
    with state().database.write() as session:
        fields = _details(session, outbox_actions.discard(session, pk, reason=wish.reason))
    log.info("notification discarded", extra={"notification_id": pk, "channel": fields["channel"]})
    return answer(fields)


@notifications.errorhandler(NotificationNotFoundError)
def miss(_error: NotificationNotFoundError) -> Response:
    """The answer about a message that is not there."""
    return error_answer(404, "unknown notification")


@notifications.errorhandler(NotificationStateError)
def refuse(error: NotificationStateError) -> Response:
    """The answer to what a message's status forbids, or its run."""
    return error_answer(409, str(error), notification_status=error.status, allowed=error.allowed)


def _details(session: Session, row: Notification) -> dict[str, object]:
    delays = current_app.config["WATCHKEEPER"].notify_retry_seconds
    return notification_details(session, row, tries=len(delays) + 1)


def _read_id(text: str) -> int:
    pk = query.read_id(text)
    if pk is None:
        raise NotificationNotFoundError
    return pk
