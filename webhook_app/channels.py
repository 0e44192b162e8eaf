"""`/notify/channels/`: the saved destinations of notifications, without their secrets.

A config given here may hold references to secrets, as on the command line: who may use the API is the operator.
"""

import logging
from typing import Any

from flask import Blueprint, Response, request, url_for
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.orm import Session

from storage import channel_standing
from storage import channels as rows
from storage.channels import ChannelExistsError
from storage.records import ChannelPolicy
from storage.storable import storable_text
from storage.tables import NotificationChannel
from tasks.errors import PermanentError, TransientError, faults_of
from tasks.notify import one_off, retiring, saving
from tasks.notify.saved_fields import channel_fields
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.json_body import BodyFaultError, Nothing
from webhook_app.notify import answer_attempt, answer_form
from webhook_app.places import sending
from webhook_app.query import QueryError
from webhook_app.state import state

channels = Blueprint("channels", __name__, url_prefix="/notify/channels")
channels.register_error_handler(QueryError, query.refuse)
channels.register_error_handler(BodyFaultError, json_body.refuse)

DESCRIPTION_MAX_CHARS = 2_000

log = logging.getLogger("watchkeeper.receiver")


class Add(BaseModel, extra="forbid", strict=True):
    """A new channel. `policy` has the fields of ChannelPolicy."""

    name: str
    driver: str
    config: dict[str, Any] = Field(default_factory=dict)
    description: str = Field(default="", max_length=DESCRIPTION_MAX_CHARS)
    policy: dict[str, Any] = Field(default_factory=dict)
    is_active: bool = True


class Edit(BaseModel, extra="forbid", strict=True):
    """What is to change: the config as a whole, single fields of the policy."""

    config: dict[str, Any] | None = None
    description: str | None = Field(default=None, max_length=DESCRIPTION_MAX_CHARS)
    policy: dict[str, Any] | None = None
    is_active: bool | None = None


class UnknownChannelError(Exception):
    """There is no channel of that name."""


@channels.get("/")
@require_api_token
def list_all() -> Response:
    """All channels, in the order in which they were added, and how they fare."""
    query.check_names(request.args, known=())
    with state().database.read() as session:
        found = rows.list_channels(session)
        fares = channel_standing.standings(session, [row.name for row in found])
        fields = [_fields(row, fares[row.name]) for row in found]
    return answer({"count": len(fields), "channels": fields})


@channels.post("/")
@require_api_token
def add() -> Response:
    """Save a channel. Its config is checked as it would be used; nothing is sent."""
    wish = json_body.read_body(Add)
    saving.check_name(wish.name, kind=wish.driver)
    _check_config(wish.driver, wish.config)
    policy = _policy(wish.policy)
    with state().database.write() as session:
        saving.check_policy(session, wish.name, policy)
        rows.add_channel(session, **{**dict(wish), "policy": policy})
        fields = _shown(session, wish.name)
    response = _done("added", fields, status=201)
    response.headers["Location"] = fields["url"]
    return response


@channels.get("/<name>/")
@require_api_token
def show(name: str) -> Response:
    """One channel."""
    query.check_names(request.args, known=())
    with state().database.read() as session:
        return answer(_shown(session, name))


@channels.patch("/<name>/")
@require_api_token
def edit(name: str) -> Response:
    """Change a channel: what is not named stays."""
    wish = json_body.read_body(Edit)
    with state().database.read() as session:
        row = _found(session, name)
    if wish.config is not None or wish.is_active:
        _check_config(row.driver, row.config if wish.config is None else wish.config, stored=row.config)
    with state().database.write() as session:
        if wish.is_active is False:
            retiring.switch_off(session, name)
        row = _known(rows.lock(session, storable_text(name)))
        policy = None if wish.policy is None else _policy({**row.policy, **wish.policy})
        if policy:
            saving.check_policy(session, name, policy)
        rows.edit_channel(session, name, config=wish.config, description=wish.description, policy=policy)
        if wish.is_active:
            rows.set_active(session, name, is_active=True)
        session.flush()
        fields = _shown(session, name)
    return _done("edited", fields)


@channels.delete("/<name>/")
@require_api_token
def remove(name: str) -> Response:
    """Forget a channel that no other counts on; its messages stay."""
    with state().database.write() as session:
        _found(session, name)
        if others := saving.fallback_of(session, name):
            return error_answer(409, "other channels name it as their fallback", fallback_of=others)
        retiring.remove(session, name)
    return _done("removed", {"name": name})


@channels.post("/<name>/enable/")
@require_api_token
def enable(name: str) -> Response:
    """Let messages go to it, if its config is usable."""
    json_body.read_body(Nothing)
    with state().database.read() as session:
        row = _found(session, name)
    _check_config(row.driver, row.config, stored=row.config)
    return _switch(name, is_active=True)


@channels.post("/<name>/disable/")
@require_api_token
def disable(name: str) -> Response:
    """Let no messages go to it; what waits for it stays."""
    json_body.read_body(Nothing)
    return _switch(name, is_active=False)


@channels.post("/<name>/test/")
@require_api_token
def test(name: str) -> Response:
    """Send a real message through it, active or not, and answer what came of it, as /notify/send/ does."""
    json_body.read_body(Nothing)
    with sending():
        with state().database.write() as session:
            channel = rows.record_of(_found(session, name))
            rows.wake(session, [channel.name])
        attempt = answer_attempt(lambda: one_off.try_out(channel), channel=channel.name, driver=channel.driver)
    return answer_form(*attempt)


@channels.errorhandler(UnknownChannelError)
def miss(_error: UnknownChannelError) -> Response:
    """The answer about a channel that is not there."""
    return error_answer(404, "unknown channel")


@channels.errorhandler(ChannelExistsError)
def refuse_name(error: ChannelExistsError) -> Response:
    """The answer to a name that is taken."""
    return error_answer(409, str(error))


@channels.errorhandler(PermanentError)
def refuse_field(error: PermanentError) -> Response:
    """The answer to what cannot be saved."""
    return error_answer(400, str(error))


@channels.errorhandler(TransientError)
def put_off(error: TransientError) -> Response:
    """The answer where a secret's keeper cannot be reached, so that nobody knows whether the config is usable."""
    response = error_answer(503, str(error))
    response.headers["Retry-After"] = "5"
    return response


def _switch(name: str, *, is_active: bool) -> Response:
    with state().database.write() as session:
        _found(session, name)
        if is_active:
            rows.set_active(session, name, is_active=True)
        else:
            retiring.switch_off(session, name)
        session.flush()
        fields = _shown(session, name)
    return _done("switched", fields)


def _check_config(driver: str, config: dict[str, Any], *, stored: dict[str, Any] | None = None) -> None:
    try:
        saving.check_config(driver, config, stored=stored)
    except PermanentError as error:
        told = str(error)
        raise PermanentError(told if told.startswith("driver: ") else f"config: {told}") from None


def _policy(given: dict[str, Any]) -> ChannelPolicy:
    try:
        return ChannelPolicy.model_validate(given)
    except ValidationError as error:
        raise BodyFaultError(400, f"policy: {faults_of(error)}") from None


def _found(session: Session, name: str) -> NotificationChannel:
    return _known(rows.find(session, storable_text(name)))


def _known(row: NotificationChannel | None) -> NotificationChannel:
    if row is None:
        raise UnknownChannelError
    return row


def _shown(session: Session, name: str) -> dict[str, Any]:
    row = _found(session, name)
    return _fields(row, channel_standing.standings(session, [row.name])[row.name])


def _fields(row: NotificationChannel, standing: channel_standing.Standing) -> dict[str, Any]:
    return {**channel_fields(row, standing), "url": url_for("channels.show", name=row.name)}


def _done(action: str, fields: dict[str, Any], *, status: int = 200) -> Response:
    log.info("channel changed", extra={"action": action, "channel": fields["name"]})
    return answer(fields, status=status)
