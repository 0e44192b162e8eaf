"""Every nasty body at the door: how it is answered, and what is kept of it."""

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import undefer

from storage.database import Database
from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus

NASTY = Path(__file__).parents[1] / "payloads" / "nasty"
QUARANTINED = {"18_alerts_is_object_not_list.json": "alerts must be a list"}
NOT_JSON = {"26_not_json_truncated_body.json": "not JSON", "30_empty_body.json": "empty"}
ACCEPTED = sorted({path.name for path in NASTY.iterdir()} - QUARANTINED.keys() - NOT_JSON.keys())


def kept(database: Database) -> list[Delivery]:
    with database.read() as session:
        return list(session.scalars(select(Delivery).options(undefer(Delivery.body))))


@pytest.mark.parametrize("name", ACCEPTED)
def test_readable_body_is_accepted_with_strict_json(name: str, client: FlaskClient, database: Database) -> None:
    body = (NASTY / name).read_bytes()

    answer = client.post("/alerts/webhook/", data=body)

    fields = json.loads(answer.data, parse_constant=pytest.fail)
    assert (answer.status_code, fields["status"]) == (202, "accepted")
    assert [delivery.body for delivery in kept(database)] == [body]


@pytest.mark.parametrize(("name", "reason"), QUARANTINED.items())
def test_wrong_type_at_the_top_is_quarantined_with_its_field(
    name: str, reason: str, client: FlaskClient, database: Database
) -> None:
    answer = client.post("/alerts/webhook/", data=(NASTY / name).read_bytes())

    assert (answer.status_code, answer.json["status"]) == (202, "quarantined")
    assert reason in answer.json["reason"]
    assert [delivery.status for delivery in kept(database)] == [DeliveryStatus.QUARANTINED]


@pytest.mark.parametrize(("name", "reason"), NOT_JSON.items())
def test_what_is_not_json_is_answered_400(name: str, reason: str, client: FlaskClient) -> None:
    answer = client.post("/alerts/webhook/", data=(NASTY / name).read_bytes())

    assert answer.status_code == 400
    assert reason in answer.json["error"]


def test_truncated_body_is_kept_for_people_to_see(client: FlaskClient, database: Database) -> None:
    body = (NASTY / "26_not_json_truncated_body.json").read_bytes()

    answer = client.post("/alerts/webhook/alertmanager/", data=body, headers={"X-Webhook-Id": "one"})

    [delivery] = kept(database)
    assert (delivery.delivery_id, delivery.body) == (answer.json["delivery_id"], body)
    assert (delivery.status, delivery.source) == (DeliveryStatus.QUARANTINED, "alertmanager")
    assert "not JSON" in delivery.reason


def test_whole_body_behind_its_truncated_one_is_no_duplicate(client: FlaskClient) -> None:
    client.post("/alerts/webhook/", data=b'{"name": "Disk', headers={"X-Webhook-Id": "one"})

    answer = client.post("/alerts/webhook/", data=b'{"name": "Disk full"}', headers={"X-Webhook-Id": "one"})

    assert answer.json["status"] == "accepted"


def test_compressed_body_is_refused_by_name(client: FlaskClient) -> None:
    answer = client.post("/alerts/webhook/", data=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 400
    assert "Content-Encoding" in answer.json["error"]


def test_empty_body_is_not_kept(client: FlaskClient, database: Database) -> None:
    client.post("/alerts/webhook/", data=b" \n")

    assert kept(database) == []
