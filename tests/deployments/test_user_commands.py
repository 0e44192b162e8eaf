"""`watchkeeper users`: who may sign in to the console, from the command line."""

import json
import sys
from pathlib import Path

import pexpect
import pytest
from commands import Said, watchkeeper
from console_client import PASSWORD
from sqlalchemy import select

from storage import users
from storage.database import Database
from storage.tables import AuditEntry
from storage.vocabulary import Role

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def add(name: str = "ann", *more: str, password: str = PASSWORD) -> Said:
    return watchkeeper("users", "add", name, *more, stdin=f"{password}\nsecond line\n".encode())


def entries(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(row.actor, row.action, row.detail) for row in rows]


def test_user_is_added_listed_and_in_the_audit(database: Database) -> None:
    first = add("Ann")
    second = add("Ben")

    listed = watchkeeper("users", "list").text
    rows = json.loads(watchkeeper("users", "list", "--json").text)["users"]
    assert (first.code, first.text) == (0, "added operator Ann: from now on everybody has to sign in\n")
    assert second.text == "added viewer Ben\n"
    assert "Ann" in listed
    assert "never" in listed
    assert [(row["name"], row["role"], row["is_active"]) for row in rows] == [
        ("Ann", "operator", True),
        ("Ben", "viewer", True),
    ]
    assert "scrypt" not in listed + json.dumps(rows)
    actor, action, detail = entries(database)[0]
    assert (actor, action) == ("command", "add user")
    assert detail.startswith("Ann as operator; by ")
    with database.read() as session:
        assert users.is_password_of(users.find(session, "ann"), PASSWORD)


def test_password_may_stand_in_a_file(database: Database, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\r\nno part of it\n")

    said = watchkeeper("users", "add", "ann", "--password-file", str(tmp_path / "password"))
    missing = watchkeeper("users", "add", "ben", "--password-file", str(tmp_path / "none"))

    assert said.code == 0
    assert (missing.code, "--password-file" in missing.stderr) == (1, True)
    with database.read() as session:
        assert users.is_password_of(users.find(session, "ann"), PASSWORD)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("typed", "password", "code", "said"),
    [
        (("ann",), "short", 2, "password: at least 12 characters"),
        (("ann",), "", 2, "password: standard input holds none"),
        (("a\tb",), PASSWORD, 2, "name: 1 to 128 characters"),
        (("local",), PASSWORD, 2, "name: local stands for somebody else"),
        (("ann", "--role", "boss"), PASSWORD, 2, "role: 'boss' is none of viewer, operator"),
        (("ann", "--role", "viewer"), PASSWORD, 1, "the first user must be an operator"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    typed: tuple[str, ...], password: str, code: int, said: str
) -> None:
    refused = add(*typed, password=password)

    assert (refused.code, said in refused.stderr) == (code, True)
    assert watchkeeper("users", "list").text.startswith("there is no user")


@pytest.mark.usefixtures("database")
def test_wrong_states_are_refused_with_the_reason() -> None:
    add("ann")

    twice = add("ANN")
    unknown = watchkeeper("users", "disable", "zoe")
    demoted = watchkeeper("users", "role", "ann", "viewer")
    disabled = watchkeeper("users", "disable", "ann")
    removed = watchkeeper("users", "remove", "ann")
    meant = watchkeeper("users", "remove", "ann", "--yes")

    assert "already" in twice.stderr
    assert "there is no user 'zoe'" in unknown.stderr
    assert "last operator" in demoted.stderr
    assert "last operator" in disabled.stderr
    assert "last user" in removed.stderr
    assert [each.code for each in (twice, unknown, demoted, disabled, removed)] == [1] * 5
    assert (meant.code, meant.text) == (0, "removed ann: the console answers this machine only now\n")


def test_user_is_changed_and_each_deed_is_in_the_audit(database: Database) -> None:
    add("ann")
    add("ben")

    said = [
        watchkeeper("users", "role", "ben", "operator"),
        watchkeeper("users", "disable", "BEN"),
        watchkeeper("users", "enable", "ben"),
        watchkeeper("users", "password", "ben", stdin=b"another password\n"),
        watchkeeper("users", "remove", "ben"),
    ]

    assert [each.code for each in said] == [0] * 5
    assert [action for _, action, _ in entries(database)[2:]] == [
        "change role",
        "disable user",
        "enable user",
        "change password",
        "remove user",
    ]
    assert "another password" not in str(entries(database))


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(database: Database) -> None:
    command = [sys.executable, "-m", "deployments.cli", "users", "add", "ann"]

    terminal = pexpect.spawn(command[0], command[1:], env=None, encoding="utf-8", timeout=30, dimensions=(24, 200))
    terminal.expect("Password of ann.*: ")
    terminal.sendline(PASSWORD)
    terminal.expect("Once more: ")
    terminal.sendline(PASSWORD)
    terminal.expect(pexpect.EOF)
    shown = terminal.before or ""
    terminal.close()

    assert "added operator ann" in shown
    assert PASSWORD not in shown
    with database.read() as session:
        user = users.find(session, "ann")
    assert user is not None
    assert user.role is Role.OPERATOR
    assert users.is_password_of(user, PASSWORD)
