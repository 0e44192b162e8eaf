"""Requests that no page of ours makes: they are refused in words, and never an error of ours."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from console_client import Console, add_user, console
from flask import Flask

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app

NOW = "2026-01-01T00:00:00+00:00"
PLACES: list[Any] = [
    [NOW, 2**70],
    [NOW, float("inf")],
    [NOW, -1],
    [NOW, 1, 1],
    ["2026-01-01", 2**63],
    ["0001-01-01T00:00:00+23:00", 1],
    ["\ud800", 1],
    ["\x00", 1],
    [2**70, 1],
    [2**40, 1],
    [True, 1],
    {},
    "ab",
]
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Flask:
    add_user(database)
    return create_app(Settings(home=tmp_path), database)


@pytest.fixture
def ann(app: Flask) -> Console:
    somebody = console(app)
    somebody.sign_in("ann")
    return somebody


@on_one_database
def test_files_are_asked_for_and_nothing_else(app: Flask, ann: Console) -> None:
    paths = ("/admin/static/", "/admin/static/console.css", "/admin/static/../alerts/", "/admin/static//../x")

    for client in (app.test_client(), ann.client):
        answers = [client.open(path, method=method) for path in paths for method in ("POST", "PROPFIND")]

        assert {answer.status_code for answer in answers} <= {404, 405, 308}
        assert not any("Set-Cookie" in answer.headers for answer in answers)


@on_one_database
def test_below_the_files_there_are_only_files(app: Flask) -> None:
    found = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/admin/static/")}

    assert {name.rpartition(".")[2] for name in found} == {"static"}


@on_one_database
def test_no_way_of_writing_a_path_leads_past_the_sign_in(app: Flask) -> None:
    client = app.test_client()

    for path in ("//admin/alerts/", "///admin/alerts/", "/admin//alerts/", "/admin/./alerts/", "/admin/login/../"):
        for method in ("GET", "HEAD", "POST"):
            answer = client.open("/", method=method, environ_overrides={"PATH_INFO": path})

            assert answer.status_code == 303, path
            assert answer.headers["Location"].startswith("/admin/login/")


def test_place_that_no_page_gave_is_refused_by_name(ann: Console) -> None:
    for place in PLACES:
        after = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
        for path in ("/admin/alerts/", "/admin/stages/", "/admin/channels/", "/admin/alerts/export/csv/"):
            answer = ann.get(path, query_string={"after": after})

            assert answer.status_code in (200, 400), (place, path)


@on_one_database
def test_after_an_action_people_come_back_to_a_page_of_the_console_only(ann: Console) -> None:
    for url in (
        "/admin/../metrics",
        "/admin/%2e%2e/metrics",
        "/admin/\r\nX: y",
        "/admin/\t/x",
        "//evil.example/admin/",
    ):
        answer = ann.post("/admin/alerts/action/", {"action": "none", "url": url})

        assert answer.headers["Location"] == "/admin/alerts/"


@on_one_database
def test_number_of_any_length_is_a_fault_of_the_definition(ann: Console) -> None:
    answer = ann.post("/admin/definitions/validate/", {"text": f'{{"nodes": {"9" * 5000}}}'})

    assert answer.json is not None
    assert [fault["message"] for fault in answer.json["faults"]] == [
        "this is not JSON that can be read: it has a number of too many digits"
    ]
