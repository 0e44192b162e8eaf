"""Webhooks that are posted as forms: what Datadog's "Encode as form" sends, and curl's default type."""

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import undefer

from storage.database import Database
from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus
from tasks.ingest.stage import _read

FORM = "application/x-www-form-urlencoded"


def stored(database: Database) -> Delivery:
    with database.read() as session:
        return session.scalars(select(Delivery).options(undefer(Delivery.body))).one()


@pytest.mark.parametrize("name", ["13_template_form_encoded.txt", "14_template_in_payload_field.txt"])
@pytest.mark.parametrize("url", ["/alerts/webhook/", "/alerts/webhook/datadog/"])
def test_datadog_form_is_kept_as_it_came_and_becomes_the_alert_of_its_json(
    client: FlaskClient, database: Database, payloads: Path, name: str, url: str
) -> None:
    body = (payloads / "datadog" / name).read_bytes()
    json_body = json.loads((payloads / "datadog/03_warn_other_group_of_same_monitor.json").read_bytes())

    response = client.post(url, data=body, content_type=f"{FORM}; charset=utf-8")

    delivery = stored(database)
    assert (response.status_code, response.json["status"]) == (202, "accepted")
    assert (delivery.source, delivery.status, delivery.body) == ("datadog", DeliveryStatus.WAITING, body)
    [alert] = _read(delivery, "").payload.alerts
    assert alert.fingerprint == json_body["aggreg_key"]
    assert alert.raw_payload == json_body


def test_json_that_curl_calls_a_form_is_accepted(client: FlaskClient, database: Database) -> None:
    response = client.post("/alerts/webhook/", data=b'{"name": "Disk full"}', content_type=FORM)

    assert (response.status_code, response.json["status"]) == (202, "accepted")
    [alert] = _read(stored(database), "").payload.alerts
    assert alert.name == "Disk full"


def test_form_that_nobody_recognises_is_kept_in_quarantine(client: FlaskClient, database: Database) -> None:
    response = client.post("/alerts/webhook/", data=b"a=1&b=2", content_type=FORM)

    assert (response.status_code, response.json["status"]) == (202, "quarantined")
    assert stored(database).status is DeliveryStatus.QUARANTINED


@pytest.mark.parametrize("body", [b"hunter2", b'{"a": "x=hunter2"', b"&".join([b"hunter2=1"] * 5000)])
def test_what_is_neither_json_nor_a_form_is_refused_and_not_repeated(client: FlaskClient, body: bytes) -> None:
    response = client.post("/alerts/webhook/", data=body, content_type=FORM)

    assert response.status_code == 400
    assert b"hunter2" not in response.data


def test_form_without_its_content_type_is_refused_as_what_is_not_json(client: FlaskClient, payloads: Path) -> None:
    body = (payloads / "datadog/13_template_form_encoded.txt").read_bytes()

    response = client.post("/alerts/webhook/datadog/", data=body, content_type="application/json")

    assert response.status_code == 400
