"""`/notify/channels/`: the saved channels by HTTP."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sinks import HttpSink

from storage import channels, settings
from storage.database import Database
from storage.records import ChannelPolicy
from storage.tables import ChannelState
from storage.tables.base import utc_now
from tasks.notify import saving
from tasks.notify.channel_alert import say_failing
from webhook_app import places
from webhook_app.app import create_app

URL = "/notify/channels/"
OPS: dict[str, Any] = {"name": "ops", "driver": "generic", "config": {"endpoint": "http://127.0.0.1:9/hook"}}
# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def stored_config(database: Database, name: str = "ops") -> dict[str, Any]:
    with database.read() as session:
        row = channels.find(session, name)
    assert row is not None
    return row.config


def test_channel_is_made_found_changed_and_removed(client: FlaskClient) -> None:
    policy = {"min_severity": "warning", "on": ["firing", "resolved"], "repeat_interval_seconds": 60}

    made = client.post(URL, json={**OPS, "policy": policy, "description": "nights"})
    changed = client.patch(f"{URL}ops/", json={"policy": {"on": ["firing"]}, "is_active": False})
    found = client.get(made.headers["Location"]).json
    listed = client.get(URL).json
    removed = client.delete(f"{URL}ops/")

    assert (made.status_code, made.json["url"]) == (201, f"{URL}ops/")
    assert (made.json["is_active"], made.json["description"]) == (True, "nights")
    assert made.json["policy"]["on"] == ["firing", "resolved"]
    assert made.json["standing"]["failures"] == 0
    assert changed.status_code == 200
    assert changed.json["policy"] == {**made.json["policy"], "on": ["firing"]}
    assert (changed.json["is_active"], changed.json["description"]) == (False, "nights")
    assert (found, listed["channels"], listed["count"]) == (changed.json, [changed.json], 1)
    assert (removed.status_code, client.get(f"{URL}ops/").status_code) == (200, 404)


@on_one_database
def test_no_answer_shows_a_secret_and_what_is_shown_cannot_be_saved(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "hunter2")
    config = {
        "endpoint": "https://me:hunter2@example.org:8443/hunter2",
        "headers": {"X-Team": "hunter2", "Authorization": {"env": "TEAM_TOKEN"}},
    }

    made = client.post(URL, json={**OPS, "config": config, "description": "password=hunter2"})
    answers = [made, client.get(URL), client.get(f"{URL}ops/"), client.post(f"{URL}ops/disable/")]
    again = client.patch(f"{URL}ops/", json={"config": made.json["config"]})

    assert "hunter2" not in "".join(answer.text for answer in answers)
    assert made.json["config"] == {
        "endpoint": "https://example.org:8443/***",
        "headers": {"X-Team": "***", "Authorization": {"env": "TEAM_TOKEN"}},
    }
    assert again.status_code == 400
    assert "config: endpoint: stands for a secret that is not shown" in again.json["error"]
    assert stored_config(database) == config


@on_one_database
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"endpoint": "https://me:***@example.org/hook"}, "endpoint"),
        ({"payload_template": {"text": ["a", {"auth": "password=***"}]}}, "payload_template.text[1].auth"),
        ({"payload_template": {"password=***": "b"}}, "payload_template.password=***"),
        ({"template": "*** {{ title }} *** password=***"}, "template"),
    ],
    ids=["url", "payload", "name", "more"],
)
def test_mask_is_saved_only_where_it_stood_before(
    client: FlaskClient, database: Database, changed: dict[str, Any], field: str
) -> None:
    config = {**OPS["config"], "template": "*** {{ title }} *** password=hunter2"}
    with database.write() as session:
        channels.add_channel(session, name="ops", driver="generic", config=config)

    refused = client.patch(f"{URL}ops/", json={"config": {**config, **changed}})
    kept = client.patch(f"{URL}ops/", json={"config": {**config, "timeout": 5}})

    assert refused.status_code == 400
    assert refused.json["error"].startswith(f"config: {field}: stands for a secret that is not shown")
    assert (kept.status_code, client.post(f"{URL}ops/enable/").status_code) == (200, 200)
    assert stored_config(database) == {**config, "timeout": 5}


def test_changes_of_a_policy_at_the_same_time_are_all_kept(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post(URL, json=OPS)
    check = saving.check_config

    def change_meanwhile(*arguments: Any, **more: Any) -> None:
        check(*arguments, **more)
        with database.write() as session:
            channels.edit_channel(session, "ops", policy=ChannelPolicy(update_interval_seconds=7))

    monkeypatch.setattr(saving, "check_config", change_meanwhile)
    changed = client.patch(f"{URL}ops/", json={"config": OPS["config"], "policy": {"repeat_interval_seconds": 60}})

    policy = changed.json["policy"]
    assert (policy["repeat_interval_seconds"], policy["update_interval_seconds"]) == (60, 7)


@on_one_database
def test_channel_that_cannot_be_tried_now_rests_on(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post(URL, json=OPS)
    rests_until = utc_now() + timedelta(minutes=5)
    with database.write() as session:
        session.add(ChannelState(channel="ops", failures=9, rests_until=rests_until, last_error=""))
    monkeypatch.setitem(client.application.extensions, places.SENDING, threading.Semaphore(0))

    response = client.post(f"{URL}ops/test/")

    assert response.status_code == 503
    assert client.get(f"{URL}ops/").json["standing"]["rests_until"] == rests_until.isoformat()


@on_one_database
@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        ({}, 400, "name: Field required; driver: Field required"),
        ({**OPS, "name": 5}, 400, "name: "),
        ({**OPS, "name": "a/b"}, 400, "name: must hold no slash"),
        ({**OPS, "name": "a\x00b\ud800"}, 201, ""),
        ({**OPS, "driver": "pigeon"}, 400, "driver: 'pigeon' is none of email, "),
        ({**OPS, "config": []}, 400, "config: "),
        ({**OPS, "config": {}}, 400, "config: exactly one of endpoint and webhook_url"),
        ({**OPS, "config": {"endpoint": "hunter2"}}, 400, "config: endpoint: not an http"),
        ({**OPS, "config": {"endpoint": {"env": "NO_SUCH"}}}, 400, "config: endpoint: environment variable"),
        ({**OPS, "policy": {"fallback": "nobody"}}, 400, "fallback: there is no channel 'nobody'"),
        ({**OPS, "policy": {"fallback": "ops"}}, 400, "fallback: a channel cannot be its own"),
        ({**OPS, "policy": {"min_severity": "loud"}}, 400, "policy: min_severity: "),
        ({**OPS, "policy": {"on": ["reminder"]}}, 400, "policy: on: only firing, "),
        ({**OPS, "policy": {"rate_per_minute": 1e-12}}, 400, "rate_per_minute: 0, or at least 0.001"),
        ({**OPS, "policy": {"loud": 1}}, 400, "policy: loud: "),
        ({**OPS, "is_active": "yes"}, 400, "is_active: "),
        ({**OPS, "colour": "red"}, 400, "colour: unknown; known: name, driver, config, "),
    ],
    ids=range(17),
)
def test_what_is_wrong_is_named_and_not_saved(
    client: FlaskClient, wish: dict[str, Any], status: int, words: str
) -> None:
    response = client.post(URL, json=wish)

    assert response.status_code == status
    assert words in response.json.get("error", "")
    assert "hunter2" not in response.text
    assert client.get(URL).json["count"] == (1 if status == 201 else 0)


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("patch", "ops/", {"driver": "email"}, "driver: unknown; known: config, description, policy, is_active"),
        ("patch", "ops/", {"config": 5}, "config: "),
        ("post", "ops/enable/", {"now": True}, "now: unknown"),
        ("post", "", [], "the body must be a JSON object"),
    ],
)
def test_wrong_body_of_a_change_is_named(
    door: FlaskClient, *, method: str, path: str, body: object, words: str
) -> None:
    response = getattr(door, method)(f"{URL}{path}", json=body)

    assert response.status_code == 400
    assert words in response.json["error"]


@on_one_database
def test_deep_json_is_refused(client: FlaskClient) -> None:
    data = b'{"config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    response = client.post(URL, data=data, content_type="application/json")

    assert response.status_code == 400


def test_name_that_is_taken_is_a_conflict(client: FlaskClient) -> None:
    client.post(URL, json=OPS)

    again = client.post(URL, json={**OPS, "description": "another"})

    assert again.status_code == 409
    assert client.get(f"{URL}ops/").json["description"] == ""


@on_one_database
def test_fallback_of_another_is_not_removed(client: FlaskClient) -> None:
    client.post(URL, json={**OPS, "name": "spare"})
    client.post(URL, json={**OPS, "policy": {"fallback": "spare"}})

    response = client.delete(f"{URL}spare/")

    assert (response.status_code, response.json["fallback_of"]) == (409, ["ops"])
    assert client.get(f"{URL}spare/").status_code == 200


@on_one_database
def test_channel_is_switched_on_only_with_a_usable_config(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/")
    client.post(URL, json={**OPS, "config": {"endpoint": {"env": "HOOK"}}})
    off = client.post(f"{URL}ops/disable/")
    on = client.post(f"{URL}ops/enable/")
    monkeypatch.delenv("HOOK")
    client.post(f"{URL}ops/disable/")

    refused = [client.post(f"{URL}ops/enable/"), client.patch(f"{URL}ops/", json={"is_active": True})]

    assert (off.json["is_active"], on.json["is_active"]) == (False, True)
    assert {response.status_code for response in refused} == {400}
    assert client.get(f"{URL}ops/").json["is_active"] is False


@on_one_database
def test_trying_a_channel_sends_a_message_and_ends_its_rest(
    client: FlaskClient, database: Database, http_sink: HttpSink
) -> None:
    client.post(URL, json={**OPS, "config": {"endpoint": http_sink.url}, "is_active": False})
    with database.write() as session:
        rests_until = utc_now() + timedelta(minutes=5)
        session.add(ChannelState(channel="ops", failures=9, rests_until=rests_until, last_error="token=hunter2"))
    before = client.get(f"{URL}ops/")
    http_sink.answer_with(500, 200)

    failed, well = (client.post(f"{URL}ops/test/") for _ in range(2))

    assert before.json["standing"]["last_error"] == "token=***"
    assert before.json["standing"]["failures"] == 9
    assert (failed.status_code, failed.json["error"]) == (502, "127.0.0.1 answered 500")
    assert (well.status_code, well.json["success"]) == (200, True)
    assert well.json["metadata"]["channel"] == "ops"
    assert len(http_sink.requests) == 2
    assert client.get(f"{URL}ops/").json["standing"]["failures"] == 0


@on_one_database
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("delete", "ops/", None), ("post", "ops/disable/", {}), ("patch", "ops/", {"is_active": False})],
)
def test_alert_about_a_channel_ends_when_it_is_switched_off_or_removed(
    client: FlaskClient, database: Database, method: str, path: str, body: object
) -> None:
    client.post(URL, json=OPS)
    with database.write() as session:
        session.add(ChannelState(channel="ops", failures=9, last_error="answered 503"))
    say_failing("ops", trace_id="t")
    [before] = client.get("/incidents/").json["incidents"]

    answer = getattr(client, method)(f"{URL}{path}", json=body)

    [after] = client.get("/incidents/").json["incidents"]
    assert (before["status"], answer.status_code, after["status"]) == ("open", 200, "resolved")


@on_one_database
def test_name_with_unusual_characters_can_be_reached_by_its_url(client: FlaskClient) -> None:
    made = client.post(URL, json={**OPS, "name": "Nächte & Ärger?#1 100%"})

    found = client.get(made.headers["Location"])

    assert (found.status_code, found.json["name"]) == (200, "Nächte & Ärger?#1 100%")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "nobody/"),
        ("patch", "nobody/"),
        ("delete", "nobody/"),
        ("post", "nobody/enable/"),
        ("post", "nobody/disable/"),
        ("post", "nobody/test/"),
        ("get", "a%00b/"),
    ],
)
def test_unknown_channel_is_404(client: FlaskClient, method: str, path: str) -> None:
    assert getattr(client, method)(f"{URL}{path}").status_code == 404


def test_everything_needs_the_api_token(tmp_path: Path) -> None:
    current = settings.load().model_copy(update={"api_token": "t0ken"})
    client = create_app(current, Database(f"sqlite:///{tmp_path / 'x.db'}")).test_client()

    answers = [client.get(URL), client.post(URL, json=OPS), client.get(f"{URL}x/"), client.delete(f"{URL}x/")]
    answers += [
        client.patch(f"{URL}x/"),
        *(client.post(f"{URL}x/{act}/") for act in ("enable", "disable", "test")),
    ]

    assert {answer.status_code for answer in answers} == {401}


def test_web_page_elsewhere_can_change_nothing(door: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "same-site"}

    answers = [door.post(f"{URL}x/{act}/", headers=headers) for act in ("enable", "disable", "test")]
    answers += [door.delete(f"{URL}x/", headers=headers), door.post(URL, json=OPS, headers=headers)]

    assert {answer.status_code for answer in answers} == {401}
    assert "Sec-Fetch-Site" in answers[0].json["error"]


def test_database_that_is_away_is_503(door: FlaskClient) -> None:
    assert [door.get(URL).status_code, door.post(URL, json=OPS).status_code] == [503, 503]
