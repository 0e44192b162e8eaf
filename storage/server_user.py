"""The system user that runs the embedded PostgreSQL when we are root: PostgreSQL refuses to run as root."""

import os
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import pwd

SERVER_USER = "watchkeeper-pg"
OTHER_DATABASE = "set WATCHKEEPER_DATABASE_URL to another database"
_USER_COMMANDS = (
    ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER),
    ("adduser", "-S", "-D", "-H", SERVER_USER),  # BusyBox, on Alpine
)


class EmbeddedServerError(Exception):
    """The embedded server cannot be used; the message says what is wrong and what to do."""


class ClosedFolderError(EmbeddedServerError):
    """A folder is closed to the user that would run the server."""


def closed_to(user: "pwd.struct_passwd", path: Path) -> Path | None:
    """The first part of the path, among those that exist, that the user may not enter or run."""
    parts = {part for form in (path.absolute(), path.resolve()) for part in (form, *form.parents)}
    closed = (part for part in sorted(parts) if part.exists() and not _may_enter(user, part))
    return next(closed, None)


def _may_enter(user: "pwd.struct_passwd", path: Path) -> bool:
    status = path.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == user.pw_gid else stat.S_IXOTH))


def server_user() -> "pwd.struct_passwd | None":
    """The system user of the server, created if missing; None when we are not root and need none."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(SERVER_USER)
    said = _create_user()
    with suppress(KeyError):
        return pwd.getpwnam(SERVER_USER)  # there as well when another process was quicker
    raise EmbeddedServerError(
        f"cannot create the system user {SERVER_USER} ({said}): create it, or {OTHER_DATABASE}"
    )


def _create_user() -> str:
    """Run the first command of this system that creates users; what it said."""
    folders = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    for name, *arguments in _USER_COMMANDS:
        if program := shutil.which(name, path=folders):
            return subprocess.run([program, *arguments], capture_output=True, text=True, check=False).stderr
    return "neither useradd nor adduser is there"


def owner() -> tuple[int, int]:
    """The user and group ids that own the server's files."""
    user = server_user()
    return (user.pw_uid, user.pw_gid) if user else (os.geteuid(), os.getegid())
