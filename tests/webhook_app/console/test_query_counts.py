"""Every page of the console asks its fixed number of questions, however many rows there are."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from console_client import console
from filled import Size, fill
from flask import Flask
from sqlalchemy import event

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app

FEW = Size(alerts=30, runs=30, settings=2)
MANY = Size(alerts=1_200, runs=1_200, settings=80)
# What each page asks the database. A number that rises here costs every reader of the page: say why in the commit.
QUESTIONS = {
    "/admin/": 20,
    "/admin/incidents/details/?id=1": 15,
    "/admin/incidents/export/csv/": 3,
    "/admin/incidents/": 4,
    "/admin/incidents/?search=host-7": 22,
    "/admin/alerts/details/?id=1": 6,
    "/admin/alerts/export/csv/": 2,
    "/admin/alerts/": 3,
    "/admin/alerts/?search=host-7": 21,
    "/admin/alert-history/details/?id=1": 3,
    "/admin/alert-history/export/csv/": 3,
    "/admin/alert-history/": 4,
    "/admin/alert-history/?search=host-7": 22,
    "/admin/deliveries/details/?id=1": 5,
    "/admin/deliveries/export/csv/": 2,
    "/admin/deliveries/": 3,
    "/admin/deliveries/?search=host-7": 21,
    "/admin/runs/details/?id=1": 11,
    "/admin/runs/export/csv/": 2,
    "/admin/runs/": 3,
    "/admin/runs/?search=host-7": 21,
    "/admin/stages/details/?id=1": 2,
    "/admin/stages/export/csv/": 2,
    "/admin/stages/": 3,
    "/admin/stages/?search=host-7": 21,
    "/admin/checks/details/?id=1": 3,
    "/admin/checks/export/csv/": 2,
    "/admin/checks/": 3,
    "/admin/checks/?search=host-7": 21,
    "/admin/checks/run/": 1,
    "/admin/analyses/details/?id=1": 2,
    "/admin/analyses/export/csv/": 2,
    "/admin/analyses/": 3,
    "/admin/analyses/?search=host-7": 21,
    "/admin/notifications/details/?id=1": 5,
    "/admin/notifications/export/csv/": 2,
    "/admin/notifications/": 3,
    "/admin/notifications/?search=host-7": 21,
    "/admin/channels/details/?id=1": 7,
    "/admin/channels/export/csv/": 6,
    "/admin/channels/": 7,
    "/admin/channels/?search=host-7": 24,
    "/admin/providers/details/?id=1": 3,
    "/admin/providers/export/csv/": 2,
    "/admin/providers/": 7,
    "/admin/providers/?search=host-7": 25,
    "/admin/definitions/details/?id=1": 5,
    "/admin/definitions/export/csv/": 4,
    "/admin/definitions/": 5,
    "/admin/definitions/?search=host-7": 21,
    "/admin/definitions/run/?id=1": 3,
    "/admin/definitions/try/?id=1": 3,
    "/admin/audit/details/?id=1": 2,
    "/admin/audit/export/csv/": 2,
    "/admin/audit/": 3,
    "/admin/audit/?search=host-7": 21,
    "/admin/search/?q=host-7": 31,
}
# These show no rows, or fall under another: a path with what it needs, Flask-Admin's own that are switched off.
NO_PAGES = (
    "static",
    "ajax_lookup",
    "create_view",
    "edit_view",
    "new_view",
    "version_view",
    "run_by_id",
    "login",
    "password",
)


@pytest.mark.parametrize("size", [FEW, MANY], ids=["few rows", "many rows"])
def test_a_page_asks_the_same_number_of_questions_however_many_rows_there_are(
    database: Database, tmp_path: Path, size: Size
) -> None:
    fill(database, size)
    app = create_app(Settings(home=tmp_path), database)

    asked = {path: _questions(app, database, path) for path in _paths(app)}

    assert asked == QUESTIONS


def test_the_question_before_a_deed_reads_its_rows_at_once(database: Database, tmp_path: Path) -> None:
    fill(database, FEW)
    browser = console(create_app(Settings(home=tmp_path), database))
    asked = []

    for rows in (2, 20):
        form = {"action": "resolve", "rowid": list(range(1, rows + 1))}
        browser.post("/admin/alerts/action/", form)  # as above
        with _heard(database) as statements:
            answer = browser.post("/admin/alerts/action/", form)
        asked.append(len(statements))
        assert answer.text.count("<li>Alert ") == rows

    assert asked[0] == asked[1]


def _paths(app: Flask) -> Iterator[str]:
    """Every page that can be fetched, from the app itself, so that a new one cannot be forgotten."""
    for rule in app.url_map.iter_rules():
        name = rule.endpoint.rpartition(".")[2]
        is_page = rule.rule.startswith("/admin/") and "GET" in (rule.methods or ())
        if not is_page or name in NO_PAGES:
            continue
        path = rule.rule.replace("<export_type>", "csv")
        if name == "index_view":
            yield from (path, f"{path}?search=host-7")
        elif path == "/admin/search/":
            yield f"{path}?q=host-7"
        else:
            yield f"{path}?id=1" if name in ("details_view", "version_view", "run_view", "try_view") else path


def _questions(app: Flask, database: Database, path: str) -> int:
    browser = console(app)
    browser.get(path)  # what is kept in memory is asked for once

    with _heard(database) as statements:
        answer = browser.get(path)

    assert answer.status_code == 200, path
    return len(statements)


@contextmanager
def _heard(database: Database) -> Iterator[list[str]]:
    """The questions that this thread asks meanwhile; not the limits that are set before them."""
    statements: list[str] = []
    asking = threading.get_ident()

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == asking and statement.lstrip("( ").startswith(("SELECT", "WITH")):
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", hear)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", hear)
