"""What a cookie says of who is signed in, and whether that still holds."""

import time
from dataclasses import dataclass
from datetime import timedelta

from flask import session
from flask_login import UserMixin, login_user

from storage.tables import User
from storage.vocabulary import Role
from webhook_app.state import state

# However busy somebody is: a page that refreshes itself is never idle.
AT_MOST = timedelta(days=7)
SINCE = "since"


@dataclass(frozen=True)
class SignedIn(UserMixin):
    """A user as this request has found them."""

    user_id: int
    name: str
    role: Role
    stamp: str

    def get_id(self) -> str:
        """What the cookie holds."""
        return self.stamp


def begin(user: User) -> None:
    """Sign a user in, with a session that holds nothing of the one before."""
    session.clear()
    session.permanent = True
    session[SINCE] = int(time.time())
    login_user(_signed_in(user))


def end() -> None:
    """Sign whoever it is out of this browser."""
    session.clear()


def load(stamp: str) -> SignedIn | None:
    """Whom a cookie means; None where that sign-in is over. One query."""
    started = session.get(SINCE)
    if not isinstance(started, int) or not 0 <= time.time() - started < AT_MOST.total_seconds():
        return None
    with state().database.read() as reading:
        user = reading.get(User, int(stamp.partition(" ")[0]))
    return _signed_in(user) if user and user.is_active and _stamp(user) == stamp else None


def _signed_in(user: User) -> SignedIn:
    return SignedIn(user.id, user.name, user.role, _stamp(user))


def _stamp(user: User) -> str:
    # With the time of the making, since SQLite gives the number of a removed user to the next one.
    return f"{user.id} {user.generation} {user.created_at.isoformat()}"
