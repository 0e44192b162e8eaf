"""What `watchkeeper users` does. Each deed is written to the audit, with who ran the command."""

import getpass
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session

from deployments.commands.check_output import plain, print_json, print_lines, print_table
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage import audit, users
from storage.settings import load
from storage.tables import User
from storage.users import UserValueError
from storage.vocabulary import Role
from tasks.errors import PermanentError

STDIN = "-"
# More than any password with what some editors put around it.
READ_MAX_BYTES = 8192


def add(name: str, *, role: str, password_file: str) -> None:
    """Save a user."""
    chosen = _read_role(role) if role else None
    with _naming_faults():
        users.check_name(name)
    with installed_database(load()) as database:
        with database.read() as session:
            if users.find(session, name):
                raise users.UserStateError(f"there is a user {name!r} already")
        password_hash = _read_password(name, password_file)
        with database.write() as session:
            # Not before the password was typed, which takes its time: another first user may have come.
            has_any = users.has_any(session)
            given = chosen or (Role.VIEWER if has_any else Role.OPERATOR)
            user = users.add(session, name=name, password_hash=password_hash, role=given)
            _record(session, user, "add user", f"as {given}")
    print_lines([f"added {given} {name}{'' if has_any else ': from now on everybody has to sign in'}"])


def list_all(*, as_json: bool) -> None:
    """Print all users."""
    with installed_database(load()) as database, database.read() as session:
        rows = users.list_users(session)
    if as_json:
        print_json({"users": [_fields(row) for row in rows]})
    elif not rows:
        print_lines(["there is no user: the console answers this machine only, and asks nobody to sign in"])
    else:
        print_table(
            ("name", "role", "active", "last signed in (UTC)"), [tuple(map(plain, _cells(row))) for row in rows]
        )


def set_password(name: str, *, password_file: str) -> None:
    """Give a user another password."""
    with installed_database(load()) as database:
        with database.read() as session:
            users.known(session, name)
        password_hash = _read_password(name, password_file)
        with database.write() as session:
            user = users.known(session, name)
            users.set_password(session, user, password_hash)
            _record(session, user, "change password")
    print_lines([f"{user.name} has a new password, and has to sign in with it"])


def set_role(name: str, role: str) -> None:
    """Give a user another role."""
    wanted = _read_role(role)
    with installed_database(load()) as database, database.write() as session:
        user = users.known(session, name)
        users.set_role(session, user, wanted)
        _record(session, user, "change role", f"to {wanted}")
    print_lines([f"{user.name} is {_with_article(wanted)}"])


def set_active(name: str, *, is_active: bool) -> None:
    """Switch a user on or off."""
    with installed_database(load()) as database, database.write() as session:
        user = users.known(session, name)
        users.set_active(session, user, is_active=is_active)
        _record(session, user, "enable user" if is_active else "disable user")
    print_lines([f"{user.name} {'may sign in' if is_active else 'is signed out and may not sign in'}"])


def remove(name: str, *, is_sure: bool) -> None:
    """Forget a user."""
    with installed_database(load()) as database, database.write() as session:
        user = users.known(session, name)
        _record(session, user, "remove user")
        users.remove(session, user, may_open=is_sure)
        is_open = not users.has_any(session)
    print_lines([f"removed {user.name}{': the console answers this machine only now' if is_open else ''}"])


def _read_role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise WrongUseError(f"role: {text!r} is none of {', '.join(Role)}") from None


def _read_password(name: str, file: str) -> str:
    """What is stored of the password that is typed, or stands in the file."""
    password = _typed(name) if not file and sys.stdin.isatty() else _first_line(file or STDIN)
    if not password:
        where = "standard input" if file in ("", STDIN) else file
        raise WrongUseError(f"password: {where} holds none; type it at a terminal, or name a --password-file")
    with _naming_faults():
        return users.hash_password(password)


def _typed(name: str) -> str:
    password = getpass.getpass(f"Password of {name}, at least {users.PASSWORD_MIN_CHARS} characters (not shown): ")
    with _naming_faults():
        users.check_password(password)
    if getpass.getpass("Once more: ") != password:
        raise WrongUseError("password: not the same twice; nothing was changed")
    return password


def _first_line(file: str) -> str:
    try:
        if file == STDIN:
            return sys.stdin.readline(READ_MAX_BYTES).rstrip("\r\n")
        with Path(file).open(encoding="utf-8") as opened:
            return opened.readline(READ_MAX_BYTES).rstrip("\r\n")
    except OSError as error:
        raise PermanentError(f"--password-file: cannot be read: {error.strerror}") from None
    except ValueError:
        raise WrongUseError("password: must be UTF-8 text") from None


@contextmanager
def _naming_faults() -> Iterator[None]:
    try:
        yield
    except UserValueError as error:
        raise WrongUseError(str(error)) from None


def _record(session: Session, user: User, action: str, said: str = "") -> None:
    detail = "; ".join(filter(None, (f"{user.name} {said}".strip(), f"by {_caller()} of this machine")))
    audit.record(
        session, actor=users.COMMAND, action=action, object_type="users", object_id=user.id, detail=detail
    )


def _caller() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number alone
        return f"user {os.getuid()}"


def _with_article(role: Role) -> str:
    return "an operator" if role is Role.OPERATOR else "a viewer"


def _fields(row: User) -> dict[str, object]:
    return {
        "name": row.name,
        "role": row.role,
        "is_active": row.is_active,
        "created_at": row.created_at,
        "signed_in_at": row.signed_in_at,
    }


def _cells(row: User) -> tuple[str, ...]:
    at = row.signed_in_at
    return row.name, row.role, "yes" if row.is_active else "no", f"{at:%Y-%m-%d %H:%M}" if at else "never"
