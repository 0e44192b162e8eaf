"""`watchkeeper routes` and `watchkeeper definitions`, on both databases."""

import json
from pathlib import Path

import pytest
from commands import watchkeeper

from storage import definitions, routes
from storage.database import Database
from tasks.definition.library import save_presets

RULES = [
    {
        "name": "storage",
        "when": [{"field": "label:team", "op": "is", "value": "storage"}],
        "pipeline": "health-checked",
    },
    {"when": [{"field": "source", "op": "is", "value": "zabbix"}], "pipeline": "direct"},
]


@pytest.fixture
def saved(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("COLUMNS", "80")
    with database.write() as session:
        save_presets(session)
        routes.save(session, rules=RULES, default_pipeline="ai-analyzed", created_by="ana")
    return database


@pytest.fixture
def body(payloads: Path) -> str:
    return str(payloads / "alertmanager/01_firing_two_hosts.json")


def test_rules_are_shown_in_their_order(saved: Database) -> None:  # noqa: ARG001
    said = watchkeeper("routes", "show")

    assert said.text.splitlines()[1:] == [
        "rule 1 (storage): label:team is storage -> health-checked",
        "rule 2: source is zabbix -> direct",
        "else -> ai-analyzed",
    ]
    assert json.loads(watchkeeper("routes", "show", "--json").stdout)["rules"] == RULES


def test_rule_that_takes_a_body_is_named_with_the_reasons(saved: Database, body: str) -> None:  # noqa: ARG001
    taken = watchkeeper("routes", "test", body)
    other = watchkeeper("routes", "test", "-", "--json", stdin=b'{"name": "x", "labels": {"team": "web"}}')
    broken = watchkeeper("routes", "test", "-", stdin=b"{")

    assert taken.text.splitlines()[0].startswith("rule 1 (storage): takes it, for alert 1")
    assert taken.text.splitlines()[-1] == "pipeline health-checked, by rule 1 (storage)"
    fields = json.loads(other.stdout)
    assert (fields["pipeline"], fields["rule"], fields["version"]) == ("ai-analyzed", None, 1)
    assert fields["why"][0]["misses"] == ["alert 1 (x): label:team is storage: it is web"]
    assert (broken.code, broken.text) == (1, "pipeline ai-analyzed, by the default\n")
    assert "not JSON" in broken.stderr


def test_unsaved_rules_are_tried_and_their_faults_named(saved: Database, body: str, tmp_path: Path) -> None:  # noqa: ARG001
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps({"default": "direct"}))
    bad.write_text(json.dumps({"rules": RULES, "default": "nosuch"}))

    assert watchkeeper("routes", "test", body, "--routes", str(good)).text == "pipeline direct, by the default\n"
    refused = watchkeeper("routes", "test", body, "--routes", str(bad))
    assert refused.code == 1
    assert "default: there is no active pipeline 'nosuch'" in refused.stderr


def test_definition_that_a_route_names_stays(saved: Database) -> None:
    for action in (["deactivate", "health-checked"], ["deactivate", "ai-analyzed"], ["delete", "full"]):
        said = watchkeeper("definitions", *action)
        assert said.code == 1
        assert "watchkeeper: " in said.stderr

    assert (
        "the routes name it (rule 1 (storage))"
        in watchkeeper("definitions", "deactivate", "health-checked").stderr
    )
    assert "deactivate full" in watchkeeper("definitions", "delete", "full").stderr
    with saved.read() as session:
        assert len(definitions.active_names(session)) == 6


def test_definitions_are_switched_renamed_and_deleted(saved: Database) -> None:
    with saved.write() as session:
        definitions.save(session, name="mine", config={"version": "1.0", "nodes": [{"id": "i", "type": "ingest"}]})

    for action in (["deactivate", "mine"], ["activate", "mine"], ["rename", "mine", "ours"], ["delete", "ours"]):
        assert watchkeeper("definitions", *action).code == 0

    with saved.read() as session:
        assert definitions.find(session, "mine") is definitions.find(session, "ours") is None


def test_shown_definition_can_be_fed_back(saved: Database, tmp_path: Path) -> None:  # noqa: ARG001
    file = tmp_path / "full.json"
    file.write_bytes(watchkeeper("definitions", "show", "full", "--version", "1").stdout)

    assert watchkeeper("definitions", "validate", str(file)).text == "valid\n"
    assert watchkeeper("definitions", "show", "full", "--version", "7").code == 1


def test_every_fault_of_a_definition_is_a_line(saved: Database) -> None:  # noqa: ARG001
    nodes = [{"id": "a", "type": "ingest", "next": "gone"}, {"id": "a", "type": "notify"}]

    said = watchkeeper("definitions", "validate", "-", stdin=json.dumps({"nodes": nodes}).encode())

    assert said.code == 1
    first, *faults = said.stderr.splitlines()
    assert first == "Pipeline definition invalid:"
    assert len(faults) >= 2
    assert all(fault.startswith("  - ") for fault in faults)


def test_list_names_them_all(saved: Database) -> None:  # noqa: ARG001
    listed = json.loads(watchkeeper("definitions", "list", "--json").stdout)["definitions"]

    assert [(each["name"], each["nodes"]) for each in listed][:2] == [("ai-analyzed", 3), ("direct", 2)]
    assert "local-smart" in watchkeeper("definitions", "list").text
