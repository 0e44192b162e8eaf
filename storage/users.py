"""Who may sign in to the console: names, passwords, roles, and that somebody is left who may act."""

import secrets
import unicodedata
from functools import cache

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash, generate_password_hash

from storage.tables import User
from storage.tables.base import utc_now
from storage.vocabulary import Role

NAME_MAX_CHARS = 128
PASSWORD_MIN_CHARS = 12
PASSWORD_MAX_CHARS = 1024
# Whom the audit calls so is no user.
COMMAND = "command"
LOCAL = "local"
NOBODY = "nobody"
RESERVED = frozenset({COMMAND, LOCAL, NOBODY})


class UserValueError(Exception):
    """A name or a password cannot be one; the message names the field."""


class UserStateError(Exception):
    """What was asked does not go with the users that there are; the message says why."""


def add(session: Session, *, name: str, password_hash: str, role: Role) -> User:
    """Store a user. Raises UserValueError for the name, UserStateError where it is taken or nobody could act."""
    check_name(name)
    if role is not Role.OPERATOR and not has_any(session):
        raise UserStateError("the first user must be an operator, or nobody could act")
    user = User(name=name, folded_name=folded(name), password_hash=password_hash, role=role)
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise UserStateError(
            f"there is a user {name!r} already (capital and small letters are the same)"
        ) from None
    return user


def find(session: Session, name: str) -> User | None:
    """A user by the name, in capital or small letters."""
    return session.scalar(select(User).where(User.folded_name == folded(name))) if _is_name(name) else None


def known(session: Session, name: str) -> User:
    """The same. Raises UserStateError where there is none."""
    user = find(session, name)
    if user is None:
        raise UserStateError(f"there is no user {name!r}: `watchkeeper users list` lists them")
    return user


def list_users(session: Session) -> list[User]:
    """All users by name."""
    return list(session.scalars(select(User).order_by(User.folded_name)))


def has_any(session: Session) -> bool:
    """Whether there is any user, so that the console asks everybody to sign in."""
    return session.scalar(select(User.id).limit(1)) is not None


def set_password(session: Session, user: User, password_hash: str) -> None:
    """Give a user another password; all sign-ins of theirs end."""
    user.password_hash = password_hash
    end_sign_ins(session, user)


def set_role(session: Session, user: User, role: Role) -> None:
    """Give a user a role; where it is another, all sign-ins end. Raises UserStateError for the last operator."""
    if user.role is role:
        return
    if role is not Role.OPERATOR:
        _check_others_act(session, user)
    user.role = role
    end_sign_ins(session, user)


def set_active(session: Session, user: User, *, is_active: bool) -> None:
    """Let a user sign in or not; whoever is not to is signed out. Raises UserStateError for the last operator."""
    if user.is_active == is_active:
        return
    if not is_active:
        _check_others_act(session, user)
    user.is_active = is_active
    end_sign_ins(session, user)


def end_sign_ins(session: Session, user: User) -> None:
    """Sign a user out of all browsers."""
    user.generation += 1
    session.flush()


def remove(session: Session, user: User, *, may_open: bool = False) -> None:
    """Forget a user; what they did stays in the audit.

    Raises UserStateError for the last operator among others, and for the very last user unless `may_open`.
    """
    others = [each for each in list_users(session) if each.id != user.id]
    if others:
        _check_others_act(session, user)
    elif not may_open:
        raise UserStateError(
            f"{user.name} is the last user: without any, whoever is on this machine may do everything in the "
            "console, and nobody from elsewhere may look; --yes does it"
        )
    session.delete(user)
    session.flush()


def note_sign_in(session: Session, user_id: int) -> None:
    """Remember when a user last signed in."""
    user = session.get(User, user_id)
    if user:
        user.signed_in_at = utc_now()


def check_name(name: str) -> None:
    """Whether that can be a user's name. Raises UserValueError."""
    if not _is_name(name):
        raise UserValueError(
            f"name: 1 to {NAME_MAX_CHARS} characters that can be seen, none but single spaces between them"
        )
    if folded(name) in RESERVED:
        raise UserValueError(f"name: {name} stands for somebody else in the audit")


def hash_password(password: str) -> str:
    """What is stored of a password; takes about a tenth of a second. Raises UserValueError."""
    check_password(password)
    return generate_password_hash(_normal(password))


def check_password(password: str) -> None:
    """Whether that can be a password. Raises UserValueError, which does not repeat it."""
    if len(password) < PASSWORD_MIN_CHARS:
        raise UserValueError(f"password: at least {PASSWORD_MIN_CHARS} characters, such as four words")
    if len(password) > PASSWORD_MAX_CHARS:
        raise UserValueError(f"password: at most {PASSWORD_MAX_CHARS} characters")
    if not _is_utf8(password):
        raise UserValueError("password: must be UTF-8 text")


def is_password_of(user: User | None, password: str) -> bool:
    """Whether the password is the user's; takes as long where there is no such user."""
    stand_in = _stand_in()  # made by whoever comes first, also where there is a user
    if len(password) > PASSWORD_MAX_CHARS or not _is_utf8(password):
        password = ""
    is_right = check_password_hash(user.password_hash if user else stand_in, _normal(password))
    return is_right and user is not None


def folded(name: str) -> str:
    """A name as it is compared."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@cache
def _stand_in() -> str:
    return generate_password_hash(secrets.token_urlsafe())


def _is_name(name: str) -> bool:
    is_plain = name.isprintable() and name == name.strip() and "  " not in name
    return is_plain and 0 < len(name) <= NAME_MAX_CHARS and 0 < len(folded(name)) <= NAME_MAX_CHARS


def _check_others_act(session: Session, user: User) -> None:
    """Raise where no other active operator would be left; locked, so that two do not both count on the other."""
    operators = (
        select(User.id)
        .where(User.role == Role.OPERATOR, User.is_active.is_(True))
        .order_by(User.id)
        .with_for_update()
    )
    if list(session.scalars(operators)) == [user.id]:
        raise UserStateError(
            f"{user.name} is the last operator who may sign in: nobody could act any more. Add another one first "
            "(`watchkeeper users add NAME --role operator`)"
        )


def _normal(password: str) -> str:
    # Keyboards give the same letter in different ways.
    return unicodedata.normalize("NFKC", password)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
