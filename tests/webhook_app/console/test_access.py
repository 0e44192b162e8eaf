"""Who may open the console: without users this machine, with users whoever signed in; viewers look only."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_client import Console, add_user, console
from flask import Flask
from sqlalchemy import event, update

from storage import users
from storage.database import Database
from storage.settings import Settings
from storage.tables import User
from storage.vocabulary import Role
from webhook_app.app import create_app
from webhook_app.console.paths import is_page

ELSEWHERE = "192.0.2.7"
OPEN = {("GET", "/admin/static/1"), ("GET", "/admin/login/")}
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Flask:
    return create_app(Settings(home=tmp_path), database)


def all_pages(app: Flask) -> Iterator[tuple[str, str]]:
    """Every method and path of the console, as the app knows them."""
    for rule in app.url_map.iter_rules():
        if is_page(rule.rule):
            path = re.sub("<[^>]*>", "1", rule.rule)
            yield from ((method, path) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))


@on_one_database
def test_without_users_no_page_is_a_strangers(app: Flask) -> None:
    stranger = console(app, address=ELSEWHERE)

    let_in = {
        asked
        for asked in [*all_pages(app), ("GET", "/admin/no-such-page")]
        if stranger.client.open(asked[1], method=asked[0]).status_code != 403
    }

    assert let_in == {("GET", "/admin/static/1")}
    refused = stranger.get("/admin/")
    assert "watchkeeper users add" in refused.text


@on_one_database
def test_with_users_every_page_leads_to_the_sign_in_from_this_machine_too(app: Flask, database: Database) -> None:
    add_user(database)
    asked = [*all_pages(app), ("GET", "/admin/no-such-page")]

    for address in ("127.0.0.1", ELSEWHERE):
        stranger = console(app, address=address)
        answers = {each: stranger.client.open(each[1], method=each[0]) for each in asked}

        let_in = {each for each, answer in answers.items() if answer.status_code != 303}
        assert let_in == OPEN | {("POST", "/admin/login/")}
        assert answers["POST", "/admin/login/"].status_code == 400
        assert all(
            answer.headers["Location"].startswith("/admin/login/")
            for each, answer in answers.items()
            if each not in let_in
        )


@on_one_database
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
    ],
)
def test_without_users_a_proxy_and_a_foreign_name_are_not_this_machine(
    app: Flask, headers: dict[str, str]
) -> None:
    assert console(app).get("/admin/", headers=headers).status_code == 403


@on_one_database
@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_without_users_no_page_elsewhere_has_anything_done(app: Flask, site: str) -> None:
    response = console(app).post("/admin/alerts/action/", headers={"Sec-Fetch-Site": site})

    assert response.status_code == 403


def test_first_user_closes_the_console_at_once_and_the_last_one_opens_it_again(
    app: Flask, database: Database
) -> None:
    here = console(app)

    seen = [here.get("/admin/audit/").status_code]
    add_user(database)
    seen.append(here.get("/admin/audit/").status_code)
    with database.write() as session:
        users.remove(session, users.known(session, "ann"), may_open=True)
    seen.append(here.get("/admin/audit/").status_code)

    assert seen == [200, 303, 200]


def test_users_who_are_all_switched_off_leave_it_closed(app: Flask, database: Database) -> None:
    add_user(database)
    with database.write() as session:
        session.execute(update(User).values(is_active=False))

    assert console(app).get("/admin/").status_code == 303


def test_viewer_looks_and_has_nothing_done(app: Flask, database: Database) -> None:
    add_user(database, "Ann")
    add_user(database, "Ben", Role.VIEWER)
    viewer = console(app)
    viewer.sign_in("ben")

    looked = [viewer.get(path).status_code for path in ("/admin/", "/admin/alerts/", "/admin/alerts/export/csv/")]
    acted = {
        path: viewer.post(path).status_code
        for method, path in all_pages(app)
        if method == "POST" and path not in ("/admin/login/", "/admin/logout/", "/admin/password/")
    }

    assert looked == [200, 200, 200]
    assert set(acted.values()) == {403}


@on_one_database
def test_every_form_needs_its_token_and_a_page_says_so(app: Flask, database: Database) -> None:
    add_user(database)
    operator = console(app)
    operator.sign_in("ann")
    other = console(app)
    others_token = other.token()

    answers = {
        path: operator.client.post(path, data={"csrf_token": token})
        for token in ("", "forged", others_token)
        for method, path in all_pages(app)
        if method == "POST"
    }

    assert {answer.status_code for answer in answers.values()} == {400}
    assert all("nothing was done" in answer.text for answer in answers.values())
    assert operator.get("/admin/").status_code == 200


@on_one_database
def test_every_answer_has_the_strict_headers(app: Flask, database: Database) -> None:
    here = console(app)
    paths = ["/admin/", "/admin/alerts/", "/admin/no-such-page", "/admin/static/console.css", "/admin/static/none"]

    answers = [here.get(path) for path in paths]
    add_user(database)
    answers += [here.get("/admin/"), here.get("/admin/login/"), here.client.post("/admin/login/")]

    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 404, 303, 200, 400]
    for answer in answers:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        is_file = answer.request.path.startswith("/admin/static/")
        assert is_file or answer.headers["Cache-Control"] == "no-store"
        assert not is_file or "Set-Cookie" not in answer.headers
    assert here.get("/").headers["Location"] == "/admin/"


def test_who_it_is_costs_one_query_a_page(app: Flask, database: Database) -> None:
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    without_users = count_of_users(console(app), statements)
    add_user(database)
    somebody = console(app)
    unknown = count_of_users(somebody, statements)
    somebody.sign_in("ann")
    known = count_of_users(somebody, statements)

    assert (without_users, unknown, known) == (1, 1, 1)


def count_of_users(somebody: Console, statements: list[str]) -> int:
    statements.clear()
    somebody.get("/admin/audit/")
    return sum("FROM users" in statement for statement in statements)


def test_while_the_database_is_away_nobody_is_let_in(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), Database(f"sqlite:///{tmp_path / 'no-folder' / 'x.db'}"))
    here = console(app)

    answers = [here.get("/admin/"), here.get("/admin/login/"), here.sign_in("ann")]
    with here.client.session_transaction("/admin/") as held:
        held.update({"since": 2**33, "_user_id": "1 1 x"})
    answers.append(here.get("/admin/"))

    assert [answer.status_code for answer in answers] == [503] * 4
    assert all("the database is away" in answer.text for answer in answers)


@on_one_database
def test_api_and_webhooks_have_no_cookie_and_need_no_key(app: Flask, tmp_path: Path) -> None:
    client = app.test_client()

    answers = [client.get("/alerts/webhook/"), client.get("/incidents/"), client.get("/")]

    assert not any("Set-Cookie" in answer.headers for answer in answers)
    assert not (tmp_path / "console-key").exists()
