"""Which pipeline takes a webhook whose URL names none, on both databases."""

import logging
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from storage import definitions, routes, settings
from storage.database import Database
from storage.migrate import upgrade
from storage.tables import Delivery
from tasks.definition.library import save_presets
from tasks.ingest import sources
from webhook_app.app import create_app

STORAGE_TEAM = {"field": "label:team", "op": "is", "value": "storage"}


def save(database: Database, *rules: dict[str, Any], default: str = "") -> None:
    with database.write() as session:
        routes.save(session, rules=rules, default_pipeline=default)


def rule(*conditions: dict[str, Any], pipeline: str, name: str = "") -> dict[str, Any]:
    return {"name": name, "when": list(conditions), "pipeline": pipeline}


def of_source(source: str) -> dict[str, Any]:
    return {"field": "source", "op": "is", "value": source}


def taken(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = session.execute(select(Delivery.pipeline, Delivery.route).order_by(Delivery.id))
        return [(pipeline, route) for pipeline, route in rows]


@pytest.fixture
def alertmanager(payloads: Path) -> bytes:
    return (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()


def test_rule_takes_the_webhook_and_the_delivery_says_which(
    client: FlaskClient, database: Database, alertmanager: bytes
) -> None:
    save(
        database, rule(of_source("zabbix"), pipeline="full"), rule(STORAGE_TEAM, pipeline="direct", name="storage")
    )

    accepted = client.post("/alerts/webhook/alertmanager/", data=alertmanager)
    client.post("/alerts/webhook/", json={"name": "x"})

    assert accepted.status_code == 202
    assert taken(database) == [("direct", "version 1, rule 2 (storage)"), ("full", "version 1, default")]
    shown = client.get(accepted.json["status_url"])
    assert shown.json["route"] == "version 1, rule 2 (storage)"


def test_url_comes_before_the_rules(client: FlaskClient, database: Database) -> None:
    save(database, rule(of_source("generic"), pipeline="direct"))

    client.post("/alerts/webhook/generic/?pipeline=ai-analyzed", json={"name": "x"})

    assert taken(database) == [("ai-analyzed", "")]


def test_what_cannot_be_read_goes_to_the_default(client: FlaskClient, database: Database) -> None:
    save(database, rule(of_source("generic"), pipeline="full"), default="direct")

    unreadable = client.post("/alerts/webhook/generic/", json=[5])
    broken = client.post("/alerts/webhook/generic/", data=b"no json")

    assert (unreadable.json["status"], broken.status_code) == ("quarantined", 400)
    assert taken(database) == [("direct", "version 1, default")] * 2


def test_rule_whose_pipeline_is_gone_leaves_the_webhook_to_the_default(
    client: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    save(database, rule(of_source("generic"), pipeline="health-checked", name="old"), default="direct")
    with database.write() as session:
        definitions.set_active(session, "health-checked", is_active=False)

    with caplog.at_level(logging.WARNING, "watchkeeper.receiver"):
        response = client.post("/alerts/webhook/generic/", json={"name": "x"})

    assert response.status_code == 202
    assert taken(database) == [("direct", "version 1, rule 1 (old) names health-checked, which is gone: default")]
    assert "route names no pipeline that takes webhooks" in caplog.text


def test_default_of_the_rules_that_is_gone_leaves_it_to_the_installations(
    client: FlaskClient, database: Database
) -> None:
    save(database, default="nosuch")

    assert client.post("/alerts/webhook/generic/", json={"name": "x"}).status_code == 202
    assert taken(database)[0][0] == "full"


@pytest.mark.parametrize(
    "saved", [{"nonsense": 5}, {"when": [], "pipeline": "full"}], ids=["unknown key", "no condition"]
)
def test_faulty_saved_rules_refuse_nothing(client: FlaskClient, database: Database, saved: dict[str, Any]) -> None:
    save(database, saved)

    assert client.post("/alerts/webhook/generic/", json={"name": "x"}).status_code == 202
    assert taken(database) == [("full", "")]


def test_parser_that_fails_costs_the_webhook_its_rule_only(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(database, rule(STORAGE_TEAM, pipeline="direct"))

    def fail(payload: object) -> None:
        raise KeyError(payload)

    monkeypatch.setattr(sources.SOURCES["generic"], "parse", fail)

    assert client.post("/alerts/webhook/generic/", json={"name": "x"}).status_code == 202
    assert taken(database) == [("full", "version 1, default")]


def test_rules_hold_for_the_first_webhook_after_the_database_was_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'later' / 'x.db'}"
    client = create_app(settings.load(), Database(url)).test_client()
    assert client.post("/alerts/webhook/generic/", json={"name": "x"}).status_code == 503

    (tmp_path / "later").mkdir()
    database = Database(url)
    upgrade(database)
    with database.write() as session:
        save_presets(session)
    save(database, rule(of_source("generic"), pipeline="direct"))

    assert client.post("/alerts/webhook/generic/", json={"name": "x"}).status_code == 202
    assert taken(database) == [("direct", "version 1, rule 1")]
