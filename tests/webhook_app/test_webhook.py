"""The receiver's answers, and what is on disk after them."""

import hashlib
import json
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from sqlalchemy.orm import undefer

from storage import definitions, settings
from storage.database import Database
from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus
from webhook_app.app import create_app

LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}


def stored(database: Database) -> list[Delivery]:
    with database.read() as session:
        return list(session.scalars(select(Delivery).options(undefer(Delivery.body)).order_by(Delivery.id)))


def test_accepted_webhook_is_stored_byte_for_byte(client: FlaskClient, database: Database, payloads: Path) -> None:
    body = (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()

    response = client.post("/alerts/webhook/alertmanager/", data=body)

    assert response.status_code == 202
    [delivery] = stored(database)
    assert response.json == {
        "status": "accepted",
        "delivery_id": delivery.delivery_id,
        "trace_id": delivery.trace_id,
        "status_url": f"/alerts/deliveries/{delivery.delivery_id}/",
    }
    assert delivery.body == body
    assert delivery.sha256 == hashlib.sha256(body).hexdigest()
    assert (delivery.source, delivery.pipeline, delivery.environment) == ("alertmanager", "full", "test")
    assert delivery.status is DeliveryStatus.WAITING


def test_source_is_recognised_where_the_url_names_none(
    client: FlaskClient, database: Database, payloads: Path
) -> None:
    client.post("/alerts/webhook/", data=(payloads / "alertmanager/01_firing_two_hosts.json").read_bytes())
    client.post("/alerts/webhook/", data=(payloads / "generic/03_title_only.json").read_bytes())

    assert [delivery.source for delivery in stored(database)] == ["alertmanager", "generic"]


@pytest.mark.parametrize("url", ["/alerts/webhook/generic", "/alerts/webhook"])
def test_url_without_its_last_slash_is_served_without_a_redirect(
    client: FlaskClient, database: Database, url: str
) -> None:
    response = client.post(url, json={"name": "x"})

    assert response.status_code == 202
    assert len(stored(database)) == 1


@pytest.mark.parametrize("config", [{}, {"nodes": 5}, {"nodes": [5]}, {"nodes": [{"type": "no such type"}]}])
def test_webhook_to_a_faulty_definition_is_kept(client: FlaskClient, database: Database, config: Any) -> None:
    with database.write() as session:
        definitions.save(session, name="full", config=config)

    response = client.post("/alerts/webhook/generic/", json={"name": "x"})

    assert response.status_code == 202
    assert len(stored(database)) == 1


@pytest.mark.parametrize("pipeline", ["local-monitor", "local-smart"])
def test_pipeline_that_would_not_read_the_webhook_is_refused(
    client: FlaskClient, database: Database, pipeline: str
) -> None:
    response = client.post(f"/alerts/webhook/generic/?pipeline={pipeline}", json={"name": "x"})

    assert response.status_code == 404
    assert "without an ingest node" in response.json["error"]
    assert response.json["pipelines"] == ["ai-analyzed", "direct", "full", "health-checked"]
    assert stored(database) == []


@pytest.mark.parametrize(
    ("url", "size", "said"),
    [
        ("/alerts/webhook/hunter2/", 1, {"status": 404, "source": "none"}),
        ("/alerts/webhook/generic/?pipeline=hunter2", 1, {"status": 404, "source": "generic"}),
        ("/alerts/webhook/generic/", 6_000_000, {"status": 413, "source": "generic"}),
    ],
)
def test_refused_webhook_is_logged_and_not_each_time(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, url: str, size: int, said: dict[str, object]
) -> None:
    caplog.clear()

    answers = {client.post(url, data=b" " * size + b"{}").status_code for _ in range(3)}

    [line] = [vars(record) for record in caplog.records if record.name == "watchkeeper.receiver"]
    assert answers == {said["status"]}
    assert {name: line[name] for name in said} == said
    assert "hunter2" not in str(line)


def test_pipeline_can_be_chosen_in_the_url(client: FlaskClient, database: Database) -> None:
    client.post("/alerts/webhook/generic/?pipeline=direct", json={"name": "x"})

    assert stored(database)[0].pipeline == "direct"


def test_repeat_with_the_senders_id_is_answered_duplicate_and_stored_once(
    client: FlaskClient, database: Database
) -> None:
    first = client.post("/alerts/webhook/generic/", json={"name": "x"}, headers={"X-Webhook-Id": "abc"})

    again = client.post("/alerts/webhook/generic/", json={"name": "x"}, headers={"X-Webhook-Id": "abc"})

    assert again.status_code == 202
    assert again.json["status"] == "duplicate"
    assert again.json["delivery_id"] == first.json["delivery_id"]
    assert len(stored(database)) == 1


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"text"', b"{}", b'{"alerts": {}}'])
def test_json_that_nothing_can_be_made_of_is_kept_in_quarantine(
    client: FlaskClient, database: Database, body: bytes
) -> None:
    response = client.post("/alerts/webhook/", data=body)

    assert response.status_code == 202
    assert response.json["status"] == "quarantined"
    assert response.json["reason"]
    [delivery] = stored(database)
    assert (delivery.status, delivery.body) == (DeliveryStatus.QUARANTINED, body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b'{"secret": "hunter2"', "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "nested deeper"),
    ],
)
def test_what_is_not_json_is_refused_in_words_and_not_repeated(
    client: FlaskClient, database: Database, body: bytes, reason: str
) -> None:
    response = client.post("/alerts/webhook/", data=body)

    assert response.status_code == 400
    assert reason in response.json["error"]
    assert b"hunter2" not in response.data
    assert all(delivery.body == body and "hunter2" not in delivery.reason for delivery in stored(database))


def test_nesting_of_two_hundred_levels_is_legal(client: FlaskClient, payloads: Path) -> None:
    response = client.post("/alerts/webhook/", data=(payloads / "nasty/14a_nesting_200.json").read_bytes())

    assert (response.status_code, response.json["status"]) == (202, "accepted")


def test_body_with_a_byte_order_mark_is_read(client: FlaskClient, payloads: Path) -> None:
    response = client.post("/alerts/webhook/", data=(payloads / "nasty/28_utf8_bom.json").read_bytes())

    assert (response.status_code, response.json["status"]) == (202, "accepted")


def test_body_over_the_limit_is_refused_with_413(client: FlaskClient, database: Database) -> None:
    response = client.post("/alerts/webhook/", data=b" " * (5 * 1024 * 1024 + 1))

    assert response.status_code == 413
    assert "5242880" in response.json["error"]
    assert stored(database) == []


def test_five_thousand_alerts_are_within_the_limit(client: FlaskClient, payloads: Path) -> None:
    body = (payloads / "nasty/05_group_of_5000_alerts.json").read_bytes()

    assert client.post("/alerts/webhook/alertmanager/", data=body).status_code == 202


def test_unknown_source_is_answered_404_with_the_sources(client: FlaskClient) -> None:
    response = client.post("/alerts/webhook/nagios/", json={"name": "x"})

    assert response.status_code == 404
    assert "alertmanager" in response.json["sources"]


def test_unknown_pipeline_is_answered_404_with_the_pipelines(client: FlaskClient, database: Database) -> None:
    response = client.post("/alerts/webhook/?pipeline=nope", json={"name": "x"})

    assert response.status_code == 404
    assert "full" in response.json["pipelines"]
    assert stored(database) == []


def test_health_check_names_the_sources(client: FlaskClient) -> None:
    response = client.get("/alerts/webhook/")

    assert response.status_code == 200
    assert response.json["status"] == "ok"


def test_without_a_token_only_this_machine_may_post(client: FlaskClient, database: Database) -> None:
    response = client.post("/alerts/webhook/", json={"name": "x"}, environ_base=ELSEWHERE)

    assert response.status_code == 401
    assert stored(database) == []


def test_with_a_token_only_its_bearers_may_post(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_TOKEN", "s3cret")
    client = create_app(settings.load(), database).test_client()

    def post(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return client.post(
            "/alerts/webhook/", json={"name": "x"}, headers=headers, environ_base=ELSEWHERE
        ).status_code

    assert [post(""), post("wrong"), post("s3cret")] == [401, 401, 202]


def test_status_url_tells_what_became_of_a_delivery(client: FlaskClient) -> None:
    accepted = client.post("/alerts/webhook/", json={"name": "x"}).json

    shown = client.get(accepted["status_url"]).json

    assert (shown["status"], shown["source"], shown["runs"]) == ("waiting", "generic", [])
    assert client.get("/alerts/deliveries/nope/").status_code == 404


def test_every_answer_is_strict_json(client: FlaskClient, payloads: Path) -> None:
    response = client.post("/alerts/webhook/", data=(payloads / "nasty/15_nan_infinity.json").read_bytes())

    assert response.status_code == 202
    json.loads(response.data, parse_constant=pytest.fail)


def test_database_that_is_gone_is_answered_503_with_retry_after(tmp_path: Path) -> None:
    gone = Database(f"sqlite:///{tmp_path / 'no-such-folder' / 'x.db'}")
    client = create_app(settings.load(), gone).test_client()

    response = client.post("/alerts/webhook/", json={"name": "x"})

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0


def test_database_locked_too_long_is_answered_503_within_four_seconds(
    client: FlaskClient, database: Database
) -> None:
    holder = Database(database.engine.url.render_as_string(hide_password=False))
    lock = holder.write()
    session = lock.__enter__()
    session.execute(text("SELECT 1" if database.is_sqlite else "LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE"))
    began = monotonic()

    response = client.post("/alerts/webhook/", json={"name": "x"})

    took = monotonic() - began
    lock.__exit__(None, None, None)
    holder.dispose()
    assert response.status_code == 503
    assert took < 4
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) in (0, 1)
