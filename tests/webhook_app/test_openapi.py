"""`/openapi.json` says what the API is: all of its routes, and answers as they really come."""

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from analyzing import execute_to_the_end
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from notifying import add_channel
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sinks import HttpSink
from sqlalchemy import select

from storage import providers, runs
from storage.database import Database
from storage.settings import Settings
from storage.tables import Alert, Delivery, Incident, Notification
from webhook_app.app import create_app
from webhook_app.console.paths import is_page
from webhook_app.openapi.document import METHODS

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 4
# Measuring this host takes seconds, and these take nothing that could be broken.
SLOW = ("/intelligence/memory/", "/intelligence/disk/", "/intelligence/recommendations/")
SYNC = "/orchestration/pipeline/sync/"

Document = dict[str, Any]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy is no fault of the API's."""
    monkeypatch.setenv("WATCHKEEPER_ACCEPT_TIMEOUT_SECONDS", "60")


@pytest.fixture
def ids(client: FlaskClient, database: Database, http_sink: HttpSink) -> dict[str, str]:
    """An installation in which something has happened, and what stands for it in paths."""
    add_channel(database, "ops", http_sink.url)
    with database.write() as session:
        providers.add_provider(session, name="mine", provider="local", config={})
    payload = {"name": "Disk full", "severity": "critical", "labels": {"host": "db-1"}}
    order = {"payload": payload, "definition": "ai-analyzed"}
    run_id = client.post("/orchestration/pipeline/", json=order).json["run_id"]
    execute_to_the_end(run_id)
    with database.write() as session:
        runs.create_run(session, definition_name="full", definition_version=1)
        return {
            "run_id": run_id,
            "delivery_id": session.scalar(select(Delivery.delivery_id)) or "",
            "alert_id": str(session.scalar(select(Alert.id))),
            "incident_id": str(session.scalar(select(Incident.id))),
            "notification_id": str(session.scalar(select(Notification.id))),
            "driver": "generic",
            "source": "generic",
        }


@pytest.fixture
def document(client: FlaskClient) -> Document:
    response = client.get("/openapi.json", headers={"Host": "elsewhere.example"})
    assert response.status_code == 200
    found: Document = response.json
    return found


@pytest.fixture
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is made up, nothing of it is sent to anybody."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError("not in tests")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def path_of(path: str, ids: dict[str, str]) -> str:
    """A path with what its parameters stand for; a definition and a channel are both called by name."""
    name = "ops" if path.startswith("/notify/") else "full"
    return path.format(**ids, name=name)


def test_document_has_every_route_and_no_other(client: FlaskClient, document: Document) -> None:
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in client.application.url_map.iter_rules()
        if not is_page(rule.rule) and rule.rule != "/"
        for method in rule.methods & set(METHODS)
    }

    told = {(path, method) for path, item in document["paths"].items() for method in item}
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]

    assert told == routes
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for item in document["paths"].values() for operation in item.values())


def test_what_the_document_calls_guarded_is_refused_without_the_token(tmp_path: Path) -> None:
    guarded = Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}", api_token="right")  # type: ignore[call-arg]
    client = create_app(guarded, Database(guarded.database_url)).test_client()
    paths = client.get("/openapi.json").json["paths"]

    let_in = {
        path
        for path, item in paths.items()
        for method in item
        if client.open(path.replace("{", "").replace("}", ""), method=method.upper()).status_code != 401
    }

    open_to_all = {path for path, item in paths.items() for each in item.values() if not is_guarded(each)}
    assert let_in == open_to_all == {"/openapi.json", "/alerts/webhook/", "/alerts/webhook/{source}/"}


def is_guarded(operation: dict[str, Any]) -> bool:
    return {"api_token": []} in operation.get("security", [])


def test_what_is_looked_at_has_the_form_that_the_document_says(
    client: FlaskClient, ids: dict[str, str], document: Document
) -> None:
    wrong = {}
    for path, item in document["paths"].items():
        content = item.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if path in SLOW or "application/json" not in content:
            continue
        response = client.get(path_of(path, ids))
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        faults = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(response.json)]
        if response.status_code != 200 or faults:
            wrong[path] = (response.status_code, faults)

    assert wrong == {}


@pytest.mark.usefixtures("_only_this_machine")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_whatever_is_asked_is_answered_as_the_document_says(
    client: FlaskClient, ids: dict[str, str], mode: GenerationMode
) -> None:
    def here(environ: dict[str, Any], start_response: Any) -> Any:
        return client.application(environ | {"REMOTE_ADDR": "127.0.0.1"}, start_response)

    schema = schemathesis.openapi.from_wsgi("/openapi.json", here)
    wrong, codes = [], Counter[int]()
    for found in schema.get_all_operations():
        operation = found.ok()
        can_be_wrong = operation.method != "get" and operation.body and operation.path != SYNC
        if operation.path in SLOW or (mode is GenerationMode.NEGATIVE and not can_be_wrong):
            continue
        try:
            ask(operation, mode, ids, codes)
        except (AssertionError, ExceptionGroup) as error:
            wrong.append((operation.label, str(error), getattr(error, "exceptions", ())))

    assert wrong == []
    assert codes[200 if mode is GenerationMode.POSITIVE else 400] > 50


def ask(operation: Any, mode: GenerationMode, ids: dict[str, str], codes: Counter[int]) -> None:
    """Ask it some things, every other one about what is there."""
    asked = 0

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def try_it(case: Any) -> None:
        nonlocal asked
        asked += 1
        if asked % 2 and case.path_parameters:
            name = "ops" if operation.path.startswith("/notify/") else "full"
            known = {**ids, "name": name}
            case.path_parameters = {key: known[key] for key in case.path_parameters}
        if operation.path == SYNC:
            case.body = {**(case.body if isinstance(case.body, dict) else {}), "timeout_seconds": 0}
        response = case.call()
        codes[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    try_it()
