"""Who may sign in: names, passwords, and that somebody is left who may act."""

from datetime import timedelta

import pytest
from console_client import PASSWORD, add_user
from sqlalchemy import select

from storage import retention, users
from storage.database import Database
from storage.kept import AUDIT, kept_days
from storage.settings import Settings
from storage.tables import AuditEntry, User
from storage.tables.base import utc_now
from storage.users import UserStateError, UserValueError
from storage.vocabulary import AuditOutcome, Role

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def generation(database: Database, name: str) -> int:
    with database.read() as session:
        return users.known(session, name).generation


def test_name_is_found_in_capital_and_small_letters_and_taken_once(database: Database) -> None:
    add_user(database, "Änne Groß")

    with database.read() as session:
        found = users.find(session, "ÄNNE GROSS")
    with pytest.raises(UserStateError, match="already"):
        add_user(database, "änne groß")

    assert found is not None
    assert found.name == "Änne Groß"


@pytest.mark.parametrize(
    "name", ["", " ", " ann", "ann ", "a  b", "a\nb", "a\x00b", "a\u202eb", "\ud800", "x" * 129, "ﷺ" * 20]
)
def test_what_cannot_be_read_is_no_name(name: str) -> None:
    with pytest.raises(UserValueError, match="name: 1 to 128 characters"):
        users.check_name(name)


@pytest.mark.parametrize("name", ["local", "Command", "nobody"])
def test_whom_the_audit_calls_otherwise_is_no_user(name: str) -> None:
    with pytest.raises(UserValueError, match="audit"):
        users.check_name(name)


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 1025, "twelve chars \ud800"])
def test_password_has_its_bounds_and_is_not_repeated(password: str) -> None:
    with pytest.raises(UserValueError) as refused:
        users.check_password(password)

    assert str(refused.value).startswith("password: ")
    assert not password or password not in str(refused.value)


@on_one_database
def test_password_is_known_again_however_its_letters_were_typed(database: Database) -> None:
    add_user(database)

    with database.write() as session:
        user = users.known(session, "ann")
        users.set_password(session, user, users.hash_password("Schlüssel im Moor"))

    assert users.is_password_of(user, "Schlu\u0308ssel im Moor")
    assert not users.is_password_of(user, PASSWORD)
    assert not users.is_password_of(None, PASSWORD)
    assert not users.is_password_of(user, "\ud800")
    assert user.password_hash.startswith("scrypt:")


def test_first_user_must_be_an_operator(database: Database) -> None:
    with pytest.raises(UserStateError, match="first user must be an operator"):
        add_user(database, role=Role.VIEWER)

    with database.read() as session:
        assert not users.has_any(session)


@pytest.mark.parametrize("deed", ["demote", "disable", "remove"])
def test_last_operator_among_others_stays(database: Database, deed: str) -> None:
    add_user(database, "Ann")
    add_user(database, "Ben", Role.VIEWER)
    add_user(database, "Out")
    with database.write() as session:
        users.set_active(session, users.known(session, "Out"), is_active=False)

    with pytest.raises(UserStateError, match="Ann is the last operator"), database.write() as session:
        do(deed, session, users.known(session, "Ann"))
    with database.write() as session:
        do(deed, session, users.known(session, "Ben"))

    assert generation(database, "Ann") == 1


def do(deed: str, session: users.Session, user: User) -> None:
    if deed == "demote":
        users.set_role(session, user, Role.VIEWER)
    elif deed == "disable":
        users.set_active(session, user, is_active=False)
    else:
        users.remove(session, user)


def test_very_last_user_goes_only_when_that_is_meant(database: Database) -> None:
    add_user(database)

    with pytest.raises(UserStateError, match="last user"), database.write() as session:
        users.remove(session, users.known(session, "ann"))
    with database.write() as session:
        users.remove(session, users.known(session, "ann"), may_open=True)

    with database.read() as session:
        assert not users.has_any(session)


@on_one_database
def test_what_ends_sign_ins_raises_the_generation_and_nothing_else_does(database: Database) -> None:
    add_user(database, "Ann")
    add_user(database, "Ben")
    seen = []

    for act in (
        lambda session, user: users.set_role(session, user, Role.OPERATOR),
        lambda session, user: users.set_active(session, user, is_active=True),
        lambda session, user: users.note_sign_in(session, user.id),
        lambda session, user: users.set_role(session, user, Role.VIEWER),
        lambda session, user: users.set_password(session, user, "x"),
        lambda session, user: users.set_active(session, user, is_active=False),
    ):
        with database.write() as session:
            act(session, users.known(session, "Ben"))
        seen.append(generation(database, "Ben"))

    assert seen == [1, 1, 1, 2, 3, 4]


def test_audit_is_let_go_of_after_its_days_and_not_before(database: Database) -> None:
    now = utc_now()
    with database.write() as session:
        for days in (364, 366):
            session.add(
                AuditEntry(at=now - timedelta(days=days), actor="Ann", action="x", outcome=AuditOutcome.DONE)
            )
    days = next(days for kept, days in kept_days(Settings()) if kept is AUDIT)
    before = now - timedelta(days=days)

    with database.write() as session:
        due = retention.find_due(session, AUDIT, before=before, limit=10)
        count = retention.forget(session, AUDIT, due, before=before)

    with database.read() as session:
        assert (days, count, len(session.scalars(select(AuditEntry)).all())) == (365, 1, 1)
