"""`/orchestration/definitions/` and `/orchestration/routes/`."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from storage import definitions
from storage.database import Database
from tasks.definition.library import save_presets

URL = "/orchestration/definitions/"
ROUTES = "/orchestration/routes/"
ALERT = {"name": "Disk full", "severity": "critical"}


def config(*types: str) -> dict[str, Any]:
    """A pipeline of nodes of these types, each called by its type."""
    nodes: list[dict[str, Any]] = [
        {"id": each, "type": each, "next": following}
        for each, following in zip(types, [*types[1:], None], strict=True)
    ]
    return {"version": "1.0", "nodes": nodes}


def make(client: FlaskClient, name: str, *types: str) -> Any:
    """A saved definition."""
    response = client.post(URL, json={"name": name, "config": config(*(types or ("ingest", "notify")))})
    assert response.status_code == 201, response.json
    return response.json


def test_definition_is_made_shown_replaced_and_run(client: FlaskClient) -> None:
    made = make(client, "db-team")
    replaced = client.put(made["url"], json={"config": config("ingest"), "version": 1, "description": "short"})
    late = client.put(made["url"], json={"config": config("notify"), "version": 1})
    shown = client.get(made["url"]).json
    run = client.post(f"{made['url']}execute/", json={"payload": ALERT})

    assert (made["version"], made["entry_node"], made["path"]) == (1, "ingest", ["ingest", "notify"])
    assert (replaced.json["version"], replaced.json["description"]) == (2, "short")
    assert (late.status_code, late.json["version"]) == (409, 2)
    assert [kept["version"] for kept in shown["versions"]] == [2, 1]
    assert (run.status_code, run.json["pipeline"], run.json["definition_version"]) == (202, "db-team", 2)


def test_list_goes_by_name_in_pages(client: FlaskClient) -> None:
    make(client, "z")
    client.patch(f"{URL}z/", json={"is_active": False})

    first = client.get(f"{URL}?limit=6").json
    second = client.get(first["next_url"]).json

    names = [row["name"] for page in (first, second) for row in page["definitions"]]
    assert names == ["ai-analyzed", "direct", "full", "health-checked", "local-monitor", "local-smart", "z"]
    assert [client.get(f"{URL}?cursor={wrong}").status_code for wrong in ("", "!!!", "%ff")] == [400] * 3
    assert [row["name"] for row in client.get(f"{URL}?active=false").json["definitions"]] == ["z"]


def test_faults_come_all_at_once_and_nothing_is_saved(client: FlaskClient) -> None:
    faulty = {"nodes": [{"id": "a", "type": "ingest", "next": "x"}, {"id": "b", "type": "notify", "next": "y"}]}

    refused = client.post(URL, json={"name": "mine", "config": faulty})
    judged = client.post(f"{URL}validate/", json={"config": faulty}).json
    saved = client.post(f"{URL}full/validate/").json

    assert refused.status_code == 400
    assert all(any(f"node {node}" in fault for fault in refused.json["errors"]) for node in "ab")
    assert (judged["valid"], judged["errors"]) == (False, refused.json["errors"])
    [warning] = saved.pop("warnings")
    assert saved == {"name": "full", "valid": True, "errors": []}
    assert "no notification channel is active" in warning
    assert client.get(f"{URL}mine/").status_code == 404


@pytest.mark.parametrize(
    "name", ["redelivery", "retention", "__adhoc__x", "validate", "a/b", "db team", "ä", "..", "a\n"], ids=repr
)
def test_name_that_leads_nowhere_is_refused(client: FlaskClient, name: str) -> None:
    made = client.post(URL, json={"name": name, "config": config("ingest")})
    renamed = client.patch(f"{URL}direct/", json={"name": name})

    for response in (made, renamed):
        assert (response.status_code, response.json["error"].split(":")[0]) == (400, "name")


def test_taken_name_is_refused(client: FlaskClient) -> None:
    make(client, "a")
    make(client, "b")

    assert client.post(URL, json={"name": "a", "config": config("ingest")}).status_code == 409
    assert client.patch(f"{URL}b/", json={"name": "a"}).status_code == 409
    assert client.patch(f"{URL}b/", json={"name": "c"}).json["url"] == f"{URL}c/"
    assert client.get(f"{URL}b/").status_code == 404


def test_what_webhooks_go_to_stays(client: FlaskClient) -> None:
    make(client, "team")
    rules = [{"when": [{"field": "source", "op": "is", "value": "grafana"}], "pipeline": "team"}]
    assert client.put(ROUTES, json={"rules": rules, "version": 0}).json["version"] == 1

    removed = client.delete(f"{URL}team/")
    answers = [
        removed,
        client.patch(f"{URL}team/", json={"is_active": False}),
        client.patch(f"{URL}team/", json={"name": "other"}),
        client.put(f"{URL}team/", json={"config": config("notify")}),
        client.patch(f"{URL}full/", json={"is_active": False}),
        client.delete(f"{URL}direct/"),
    ]
    assert [answer.status_code for answer in answers] == [409] * len(answers)
    assert removed.json["routes"] == ["rule 1"]
    client.put(ROUTES, json={})
    assert client.delete(f"{URL}team/").json == {"name": "team"}


def test_preset_that_somebody_described_stays_so(client: FlaskClient, database: Database) -> None:
    client.patch(f"{URL}direct/", json={"description": "ours", "is_active": False})

    with database.write() as session:
        save_presets(session)

    shown = client.get(f"{URL}direct/").json
    assert (shown["description"], shown["is_active"], shown["deployment"]) == ("ours", False, None)
    assert client.post(f"{URL}direct/execute/").status_code == 409


def test_schedule_is_set_and_taken_away(client: FlaskClient) -> None:
    url = make(client, "nightly", "context", "notify")["url"]

    wrong = client.patch(url, json={"schedule": {"cron": "0 3 * * *", "every_seconds": 60}})
    assert (wrong.status_code, "schedule" in wrong.json["error"]) == (400, True)
    assert client.patch(url, json={"schedule": {}}).json["error"].startswith("schedule: give exactly one of")
    assert client.patch(url, json={"schedule": {"cron": "0 3 * * *"}}).json["schedule"] == {"cron": "0 3 * * *"}
    assert client.patch(url, json={"description": "x"}).json["schedule"] == {"cron": "0 3 * * *"}
    assert client.patch(url, json={"schedule": None}).json["schedule"] is None


def test_secret_is_hidden_and_its_mask_is_not_saved(client: FlaskClient, database: Database) -> None:
    secret = {"nodes": [{"id": "a", "type": "intelligence", "config": {"api_key": "sk-0123456789abcdef"}}]}
    with database.write() as session:
        definitions.save(session, name="old", config=secret)

    shown = client.get(f"{URL}old/")

    assert "sk-0123456789abcdef" not in shown.text
    refused = client.put(f"{URL}old/", json={"config": shown.json["config"]})
    assert (refused.status_code, "***" in refused.json["error"]) == (400, True)


def test_login_that_an_answer_hid_in_a_url_is_not_saved_without_it(client: FlaskClient) -> None:
    text = "https://ops:hunter2@wiki.example and ***"
    own = {**config("ingest", "notify"), "description": text}
    shown = client.post(URL, json={"name": "linked", "config": own}).json["config"]
    assert "hunter2" not in shown["description"]

    assert client.put(f"{URL}linked/", json={"config": shown}).status_code == 400
    assert client.put(f"{URL}linked/", json={"config": {**own, "description": "***urgent***"}}).status_code == 200


def test_one_of_several_changes_of_the_rules_at_once_wins(client: FlaskClient) -> None:
    def change(default: str) -> int:
        body = {"default": default, "version": 0}
        return client.application.test_client().put(ROUTES, json=body).status_code

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(change, ["full", "direct", "health-checked", "ai-analyzed"]))

    assert sorted(codes) == [200, 409, 409, 409]
    assert client.get(ROUTES).json["version"] == 1


def test_rules_are_tried_before_they_hold(client: FlaskClient) -> None:
    rules = [
        {"name": "bad", "when": [{"field": "severity", "op": "is", "value": "critical"}], "pipeline": "direct"}
    ]

    tried = client.post(f"{ROUTES}test/", json={"payload": ALERT, "routes": {"rules": rules}}).json
    other = client.post(f"{ROUTES}test/", json={"payload": {"name": "x"}, "routes": {"rules": rules}}).json
    wrong = client.put(ROUTES, json={"rules": [{**rules[0], "pipeline": "no-such"}], "default": "none"})

    assert (tried["pipeline"], tried["rule"], tried["is_known"]) == ("direct", 1, True)
    assert (other["pipeline"], other["rule"], other["why"][0]["misses"][0]["field"]) == ("full", None, "severity")
    assert (wrong.status_code, len(wrong.json["errors"])) == (400, 2)
    assert client.get(ROUTES).json["version"] == 0
