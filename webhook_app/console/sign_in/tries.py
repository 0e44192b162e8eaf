"""Trying a password: how often one may, and what the audit says of it."""

from flask import Flask, Response, current_app
from sqlalchemy.orm import Session

from storage import audit, users
from storage.tables import User
from storage.vocabulary import AuditOutcome
from webhook_app.console.access import address, person
from webhook_app.console.sign_in.throttle import Throttle
from webhook_app.state import state

THROTTLE = "watchkeeper.throttle"
MINUTE_SECONDS = 60


def install(app: Flask) -> None:
    """Count from now on."""
    app.extensions[THROTTLE] = Throttle()


def take(name: str, action: str) -> int:
    """Count one try. Returns 0, or how many seconds to wait, with a note of it in the audit."""
    wait_seconds = _throttle().take(name, address())
    if wait_seconds and _throttle().may_note(address()):
        who = person()
        with state().database.write() as session:
            _refused(session, action, actor=who.name if who else users.NOBODY, why="too many tries failed")
    return wait_seconds


def is_right(user: User | None, password: str, *, name: str, action: str) -> bool:
    """Whether it is the password of a user who may sign in; a failure is in the audit then.

    Not within a transaction, because it takes a tenth of a second. What was typed as a name is not kept: people
    type passwords there.
    """
    is_password = users.is_password_of(user, password)
    if is_password and user and user.is_active:
        _throttle().forget(name, address())
        return True
    with state().database.write() as session:
        if user is None:
            _refused(session, action, actor=users.NOBODY, why="unknown name")
        else:
            why = "switched off" if is_password else "wrong password"
            _refused(session, action, actor=user.name, why=why, pk=user.id)
    return False


def done(session: Session, user: User, action: str) -> None:
    """Put into the audit what a user did to their own."""
    audit.record(
        session, actor=user.name, action=action, object_type="users", object_id=user.id, address=address()
    )


def told(wait_seconds: int) -> str:
    """When to try again, in words."""
    minutes = -(-wait_seconds // MINUTE_SECONDS)
    shown = f"{wait_seconds} s" if wait_seconds <= 2 * MINUTE_SECONDS else f"{minutes} min"
    return f"too many tries failed: try again in {shown}"


def held(response: Response, wait_seconds: int) -> Response:
    """The same answer with its Retry-After."""
    response.headers["Retry-After"] = str(wait_seconds)
    return response


def _throttle() -> Throttle:
    throttle: Throttle = current_app.extensions[THROTTLE]
    return throttle


def _refused(session: Session, action: str, *, actor: str, why: str, pk: int | None = None) -> None:
    audit.record(
        session,
        actor=actor,
        action=action,
        object_type="" if pk is None else "users",
        object_id="" if pk is None else pk,
        outcome=AuditOutcome.REFUSED,
        detail=why,
        address=address(),
    )
