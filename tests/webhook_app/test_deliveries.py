"""The inbox over HTTP, on both databases."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from rows import add_delivery

from storage import inbox, runs, settings
from storage.database import Database
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus
from storage.wakeup import bell_of
from tasks.ingest.sources import SOURCES
from webhook_app.app import create_app

BODY = b'\xef\xbb\xbf{"name": "x"}\r\n\x00'
HEADERS = {"User-Agent": "curl/8", "X-Api-Key": "hunter2"}
UNREADABLE = "no source recognises this payload (top level: number)"
Keep = Callable[..., str]


@pytest.fixture
def keep(database: Database) -> Keep:
    """Makes a delivery with these columns. Returns its id."""

    def keep_one(**fields: object) -> str:
        usual = {"body": BODY, "headers": HEADERS, "sender_delivery_id": str(uuid4())}
        with database.write() as session:
            return add_delivery(session, **(usual | fields))

    return keep_one


@pytest.fixture
def keep_in(keep: Keep) -> Keep:
    """Makes a delivery of a status, finished where that goes with it."""

    def keep_one(status: DeliveryStatus, **fields: object) -> str:
        finished_at = utc_now() if status in inbox.FINISHED else None
        return keep(**{"status": status, "reason": UNREADABLE, "finished_at": finished_at, **fields})

    return keep_one


def get(client: FlaskClient, path: str = "", **parameters: Any) -> dict[str, Any]:
    response = client.get(f"/alerts/deliveries/{path}", query_string=parameters)
    assert response.status_code == 200, response.text
    return json.loads(response.data)


def ids(answer: dict[str, Any]) -> list[str]:
    return [delivery["delivery_id"] for delivery in answer["deliveries"]]


def test_list_shows_deliveries_newest_first_without_their_bodies(client: FlaskClient, keep: Keep) -> None:
    first, second = keep(), keep()

    answer = get(client)

    assert ids(answer) == [second, first]
    assert (answer["count"], answer["next"]) == (2, None)
    delivery = answer["deliveries"][0]
    assert (delivery["status"], delivery["source"], delivery["pipeline"]) == ("waiting", "generic", "direct")
    assert delivery["body_bytes"] == len(BODY)
    assert not {"body", "headers"} & delivery.keys()


def test_pages_follow_one_another_while_new_deliveries_come_in(client: FlaskClient, keep: Keep) -> None:
    kept = [keep() for _ in range(5)]
    seen: list[str] = []

    answer = get(client, limit=2)
    for _ in range(3):
        seen += ids(answer)
        keep()
        if answer["next_url"] is None:
            break
        answer = json.loads(client.get(answer["next_url"]).data)

    assert seen == kept[::-1]


@pytest.mark.parametrize(
    "fields",
    [{"status": DeliveryStatus.QUARANTINED}, {"source": "zabbix"}, {"pipeline": "full"}, {"trace_id": "trace-2"}],
    ids=lambda fields: next(iter(fields)),
)
def test_each_filter_leaves_only_what_has_that_value(
    client: FlaskClient, keep: Keep, fields: dict[str, Any]
) -> None:
    keep()
    wanted = keep(**fields)

    assert ids(get(client, **fields)) == [wanted]


def test_since_is_a_time_or_a_duration(client: FlaskClient, keep: Keep) -> None:
    now = utc_now()
    keep(received_at=now - timedelta(hours=3))
    recent = keep(received_at=now - timedelta(hours=1))

    assert ids(get(client, since="2h")) == [recent]
    assert ids(get(client, since=(now - timedelta(hours=2)).isoformat())) == [recent]


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"status": "lost"}, "quarantined"),
        ({"since": "soon"}, "since"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"sauce": "x"}, "sauce"),
    ],
)
def test_wrong_parameter_is_refused_by_name(client: FlaskClient, parameters: dict[str, str], word: str) -> None:
    response = client.get("/alerts/deliveries/", query_string=parameters)

    assert response.status_code == 400
    assert word in response.json["error"]


def test_detail_shows_headers_runs_and_counts_and_no_secret(
    client: FlaskClient, database: Database, keep: Keep
) -> None:
    delivery_id = keep()
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=1)
        run_id = runs.create_run(
            session, definition_name="direct", definition_version=1, deliveries=claimed
        ).run_id

    detail = get(client, f"{delivery_id}/")

    assert detail["headers"] == {"User-Agent": "curl/8", "X-Api-Key": "***"}
    assert detail["runs"] == [{"run_id": run_id, "status": "PENDING", "url": f"/orchestration/pipeline/{run_id}/"}]
    assert detail["counts"] == {"runs": 1, "alerts": 0}
    assert (detail["is_body_kept"], detail["status"]) == (True, "claimed")
    assert client.get(detail["runs"][0]["url"]).status_code == 200


def test_body_comes_byte_for_byte_as_a_file(client: FlaskClient, keep: Keep) -> None:
    delivery_id = keep()

    response = client.get(f"/alerts/deliveries/{delivery_id}/body/")

    assert (response.status_code, response.data) == (200, BODY)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_body_that_is_no_longer_kept_is_gone(client: FlaskClient, keep_in: Keep) -> None:
    delivery_id = keep_in(DeliveryStatus.DONE, body=b"")

    response = client.get(f"/alerts/deliveries/{delivery_id}/body/")

    assert response.status_code == 410
    assert "no longer kept" in response.json["error"]
    assert get(client, f"{delivery_id}/")["is_body_kept"] is False


@pytest.mark.parametrize("status", [DeliveryStatus.DONE, DeliveryStatus.QUARANTINED, DeliveryStatus.DISCARDED])
def test_replay_lets_a_delivery_wait_again(client: FlaskClient, keep_in: Keep, status: DeliveryStatus) -> None:
    delivery_id = keep_in(status)

    response = client.post(f"/alerts/deliveries/{delivery_id}/replay/")

    assert response.status_code == 200
    assert (response.json["delivery_id"], response.json["status"]) == (delivery_id, "waiting")
    detail = get(client, f"{delivery_id}/")
    assert (detail["status"], detail["reason"], detail["finished_at"]) == ("waiting", "", None)


def test_replay_may_name_another_source(client: FlaskClient, keep_in: Keep) -> None:
    delivery_id = keep_in(DeliveryStatus.QUARANTINED)

    response = client.post(f"/alerts/deliveries/{delivery_id}/replay/", json={"source": "alertmanager"})

    assert response.json["source"] == "alertmanager"
    assert get(client, f"{delivery_id}/")["source"] == "alertmanager"


def test_replay_wakes_the_relay(client: FlaskClient, database: Database, keep_in: Keep) -> None:
    delivery_id = keep_in(DeliveryStatus.QUARANTINED)
    bell = bell_of(database.engine)
    bell.wait(0.2)  # the first wait connects and listens
    bell.wait(0.2)
    began = utc_now()

    client.post(f"/alerts/deliveries/{delivery_id}/replay/")
    bell.wait(10)

    assert utc_now() - began < timedelta(seconds=5)
    bell.close()


def test_discard_sets_aside_for_good_with_a_reason(client: FlaskClient, keep_in: Keep) -> None:
    delivery_id = keep_in(DeliveryStatus.QUARANTINED)

    response = client.post(f"/alerts/deliveries/{delivery_id}/discard/", json={"reason": "a te\x00st"})

    assert response.status_code == 200
    detail = get(client, f"{delivery_id}/")
    assert (detail["status"], detail["reason"]) == ("discarded", "a te\ufffdst")
    assert detail["finished_at"] is not None


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (DeliveryStatus.WAITING, "replay"),
        (DeliveryStatus.DONE, "discard"),
        (DeliveryStatus.DISCARDED, "discard"),
        (DeliveryStatus.CLAIMED, "discard"),
    ],
)
def test_what_the_status_forbids_is_refused_by_name(
    client: FlaskClient, keep_in: Keep, status: DeliveryStatus, action: str
) -> None:
    delivery_id = keep_in(status)

    response = client.post(f"/alerts/deliveries/{delivery_id}/{action}/")

    assert response.status_code == 409
    assert response.json["delivery_status"] == status
    assert f"is {status} and cannot be {action}ed" in response.json["error"]
    assert get(client, f"{delivery_id}/")["status"] == status


def test_delivery_of_a_run_that_goes_on_cannot_be_replayed(
    client: FlaskClient, database: Database, keep: Keep
) -> None:
    delivery_id = keep()
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=1)
        runs.create_run(session, definition_name="direct", definition_version=1, deliveries=claimed)

    response = client.post(f"/alerts/deliveries/{delivery_id}/replay/")

    assert (response.status_code, response.json["delivery_status"]) == (409, "claimed")


def test_replay_without_the_body_is_refused_saying_so(client: FlaskClient, keep_in: Keep) -> None:
    delivery_id = keep_in(DeliveryStatus.QUARANTINED, body=b"")

    response = client.post(f"/alerts/deliveries/{delivery_id}/replay/")

    assert response.status_code == 409
    assert "its body is no longer kept" in response.json["error"]


@pytest.mark.parametrize(
    ("action", "body", "word"),
    [
        ("replay", '{"source": "pigeon"}', "generic"),
        ("replay", '{"source": 5}', "source"),
        ("replay", '{"sauce": "generic"}', "sauce"),
        ("replay", '["generic"]', "object"),
        ("replay", "{", "not JSON"),
        ("discard", '{"reason": ["x"]}', "reason"),
        ("discard", json.dumps({"reason": "x" * 1001}), "reason"),
    ],
)
def test_wrong_wish_is_refused_by_name_and_nothing_changes(
    client: FlaskClient, keep_in: Keep, action: str, body: str, word: str
) -> None:
    delivery_id = keep_in(DeliveryStatus.QUARANTINED)

    response = client.post(
        f"/alerts/deliveries/{delivery_id}/{action}/", data=body, content_type="application/json"
    )

    assert response.status_code == 400
    assert word in response.json["error"]
    assert "pigeon" not in response.text
    assert get(client, f"{delivery_id}/")["status"] == "quarantined"


def test_unknown_source_is_answered_with_the_known_ones(client: FlaskClient, keep_in: Keep) -> None:
    delivery_id = keep_in(DeliveryStatus.QUARANTINED)

    response = client.post(f"/alerts/deliveries/{delivery_id}/replay/", json={"source": "pigeon"})

    assert all(source in response.json["error"] for source in SOURCES)


def test_wish_of_another_type_is_refused(client: FlaskClient, keep_in: Keep) -> None:
    delivery_id = keep_in(DeliveryStatus.QUARANTINED)

    response = client.post(f"/alerts/deliveries/{delivery_id}/replay/", data={"source": "generic"})

    assert response.status_code == 415


@pytest.mark.parametrize("name", ["nothing", "%00", "x" * 5000])
@pytest.mark.parametrize(
    ("method", "action"), [("GET", ""), ("GET", "body/"), ("POST", "replay/"), ("POST", "discard/")]
)
def test_unknown_delivery_is_not_found(client: FlaskClient, method: str, action: str, name: str) -> None:
    response = client.open(f"/alerts/deliveries/{name}/{action}", method=method)

    assert response.status_code == 404
    assert response.json == {"status": "error", "error": "unknown delivery"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "{}/"), ("GET", "{}/body/"), ("POST", "{}/replay/"), ("POST", "{}/discard/")],
)
def test_api_token_is_needed_for_everything(
    database: Database, keep_in: Keep, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "letmein")
    client = create_app(settings.load(), database).test_client()
    path = f"/alerts/deliveries/{path.format(keep_in(DeliveryStatus.QUARANTINED))}"

    refused = client.open(path, method=method)
    let_in = client.open(path, method=method, headers={"Authorization": "Bearer letmein"})

    assert (refused.status_code, let_in.status_code) == (401, 200)
