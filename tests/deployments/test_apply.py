"""`watchkeeper apply` and `export`, and the same of `definitions`."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Said, watchkeeper

from deployments.commands.applying import doing
from deployments.commands.applying.faults import DocumentError
from deployments.commands.applying.reading import read_text
from storage import channels, definitions, providers, routes
from storage.database import Database
from storage.records import ChannelPolicy
from tasks.definition.library import save_presets
from webhook_app import kept_auth

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SLACK_URL = "https://hooks.slack.com/services/T0/B0/hunter2"
WHOLE = """
definitions:
  mine:
    description: "of mine"
    config:
      version: "1.0"
      nodes:
        - {id: in, type: ingest, next: tell}
        - {id: tell, type: notify}
  full: {is_active: false}
routes:
  rules:
    - name: critical
      when: [{field: severity, op: is, value: critical}]
      pipeline: mine
  default: direct
channels:
  ops:
    driver: slack
    config: {webhook_url: {env: SLACK_URL}}
    policy: {on: [firing, resolved], repeat_interval_seconds: 2h, fallback: spare}
  spare: {driver: generic, config: {endpoint: {file: ENDPOINT_FILE}}, is_active: false}
providers:
  rules: {provider: local, is_active: true}
schedules:
  local-monitor: {every: 5m}
  mine: {cron: "0 6 * * *", timezone: Europe/Berlin}
  local-smart: off
sources:
  grafana: {tokens: [{env: GRAFANA_TOKEN}], header: X-Token}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLACK_URL", SLACK_URL)
    monkeypatch.setenv("GRAFANA_TOKEN", "hunter2")
    return tmp_path / "home"


@pytest.fixture
def whole(tmp_path: Path) -> str:
    """A file with every section."""
    secret, file = tmp_path / "endpoint", tmp_path / "watchkeeper.yaml"
    secret.write_text("http://127.0.0.1:9/hunter2")
    file.write_text(WHOLE.replace("ENDPOINT_FILE", str(secret)))
    return str(file)


def apply(text: object, *flags: str) -> Said:
    given = text if isinstance(text, str) else json.dumps(text)
    return watchkeeper("apply", "-", *flags, stdin=given.encode())


def present(database: Database) -> Any:
    with database.read() as session:
        return doing.present(session)


def test_a_file_is_applied_and_its_export_makes_the_same_of_an_empty_installation(
    database: Database, whole: str, home: Path
) -> None:
    applied = watchkeeper("apply", whole)
    there = present(database)
    exported = watchkeeper("export")
    again = apply(exported.text, "--exit-code")

    assert (applied.code, applied.stderr) == (0, "")
    assert "hunter2" not in applied.text + exported.text + exported.stderr
    assert there["channels"]["ops"]["policy"]["repeat_interval_seconds"] == 7200
    assert there["schedules"]["mine"] == {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}
    assert there["definitions"]["full"]["is_active"] is False
    assert (home / kept_auth.NAME).stat().st_mode & 0o777 == 0o600
    assert (again.code, again.text) == (0, "nothing to change; 9 as the file says\n")

    with database.write() as session:
        for name in ("ops", "spare"):
            channels.remove_channel(session, name)
        providers.remove_provider(session, "rules")
        definitions.remove(session, "mine")
        definitions.remove(session, "full")
        definitions.remove(session, "local-monitor")
        routes.save(session, rules=[])
    (home / kept_auth.NAME).unlink()
    assert present(database) != there

    assert apply(exported.text).code == 0
    assert present(database) == there


def test_applying_twice_raises_no_version_and_a_dry_run_changes_nothing(database: Database, whole: str) -> None:
    dry = watchkeeper("apply", whole, "--dry-run", "--exit-code")
    assert (dry.code, "nothing was done" in dry.text) == (3, True)
    with database.read() as session:
        assert (definitions.list_definitions(session), routes.current(session)) == ([], None)
        assert channels.list_channels(session) == []

    first = watchkeeper("apply", whole)
    second = watchkeeper("apply", whole, "--json")

    assert (first.code, second.code) == (0, 0)
    assert json.loads(second.text)["changes"] == []
    with database.read() as session:
        mine, rules = definitions.find(session, "mine"), routes.current(session)
    assert mine is not None
    assert rules is not None
    assert (mine.version, rules.version) == (1, 1)


@on_one_database
def test_what_changed_is_shown_by_its_key_and_secrets_are_not(database: Database) -> None:
    del database
    hook = {"driver": "slack", "config": {"webhook_url": SLACK_URL}}
    first = apply({"channels": {"ops": hook}})
    changed = {**hook, "config": {"webhook_url": f"{SLACK_URL}3"}, "policy": {"min_severity": "warning"}}

    said = apply({"channels": {"ops": changed}})
    exported = watchkeeper("export")

    assert "channels.ops.config.webhook_url is saved in clear text" in first.stderr
    assert "config.webhook_url: " in said.text
    assert "policy.min_severity: info -> warning" in said.text
    assert "WATCHKEEPER_CHANNELS_OPS_WEBHOOK_URL" in exported.text
    assert "set WATCHKEEPER_CHANNELS_OPS_WEBHOOK_URL" in exported.stderr
    for each in (first, said, exported):
        assert "hunter2" not in each.text + each.stderr


@on_one_database
def test_every_fault_is_said_at_once_by_its_place(database: Database) -> None:
    nodes = [{"id": "a", "type": "ingest", "next": "gone"}]
    faulty = {
        "chanels": {},
        "definitions": {"a/b": {"config": {"nodes": nodes}}, "x": {"confg": {}}},
        "routes": {"rules": [{"when": [{"feld": "source", "op": "is", "value": "grafana"}], "pipeline": "q"}]},
        "channels": {"bad": {"driver": "generic", "policy": {"min_severit": 1, "repeat_interval_seconds": "4y"}}},
        "schedules": {"full": {"cron": "x"}, "direct": "on"},
        "sources": {"grafana": {"tokens": ["hunter2"]}},
        "providers": [],
    }

    said = apply(faulty)

    places = [line.split(": ")[2] for line in said.stderr.splitlines()]
    assert said.code == 1
    assert places == [
        "chanels",
        "definitions.a/b",
        "definitions.a/b.config",
        "definitions.x.confg",
        "routes.rules[0].when[0].field",
        "routes.rules[0].when[0].feld",
        "channels.bad.policy.repeat_interval_seconds",
        "channels.bad.policy.min_severit",
        "schedules.full.cron",
        "schedules.direct",
        "sources.grafana.tokens[0]",
        "providers",
    ]
    assert "hunter2" not in said.stderr
    assert present(database)["channels"] == {}


@on_one_database
def test_what_leads_nowhere_is_refused_and_nothing_is_done(database: Database) -> None:
    good = {"driver": "generic", "config": {"endpoint": "http://127.0.0.1:9/hook"}}
    document = {
        "channels": {"good": good, "bad": {**good, "policy": {"fallback": "nobody"}}},
        "routes": {"default": "nosuch"},
        "schedules": {"nosuch": {"every": "5m"}},
        "sources": {"grafana": {"tokens": [{"env": "NOT_SET"}]}},
        "providers": {"p": {"provider": "openai", "config": {"api_key": {"env": "NOT_SET"}}}},
    }

    said = apply(document, "--json")

    faults = "\n".join(json.loads(said.text)["faults"])
    assert said.code == 1
    for place in (
        "channels.bad.policy.fallback: there is no channel 'nobody'",
        "routes: default: ",
        "schedules.nosuch: ",
        "sources.grafana.tokens[0]: environment variable 'NOT_SET' is not set",
        "providers.p.config: ",
    ):
        assert place in faults
    with database.read() as session:
        assert channels.list_channels(session) == []


def test_a_fault_while_it_is_done_undoes_all_of_it(
    database: Database, whole: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_auth.tempfile, "mkstemp", _full_disk)

    said = watchkeeper("apply", whole)

    assert (said.code, "cannot be written" in said.stderr) == (2, True)
    with database.read() as session:
        assert channels.list_channels(session) == []
        assert definitions.find(session, "mine") is None
    assert not (home / kept_auth.NAME).exists()


def _full_disk(**_: object) -> tuple[int, str]:
    raise OSError(28, "No space left on device")


@on_one_database
def test_prune_removes_what_the_named_sections_leave_out_but_no_preset(database: Database, whole: str) -> None:
    watchkeeper("apply", whole)
    with database.write() as session:
        save_presets(session)

    blocked = apply({"definitions": {}}, "--prune")
    said = apply({"definitions": {}, "channels": {}, "routes": {}}, "--prune")

    assert "pipeline 'mine'" in blocked.stderr
    assert said.code == 0, said.stderr
    there = present(database)
    assert there["channels"] == {}
    assert set(there["definitions"]) == {
        "local-monitor",
        "local-smart",
        "direct",
        "health-checked",
        "ai-analyzed",
        "full",
    }
    assert set(there["providers"]) == {"rules"}
    assert set(there["sources"]) == {"grafana"}


@on_one_database
def test_a_preset_that_a_file_makes_its_own_outlasts_the_next_start(database: Database) -> None:
    config = {"version": "1.0", "nodes": [{"id": "notify", "type": "notify"}]}

    apply({"definitions": {"full": {"config": config}, "direct": {"description": "mine"}}})
    with database.write() as session:
        save_presets(session)

    with database.read() as session:
        full, direct = definitions.find(session, "full"), definitions.find(session, "direct")
    assert full is not None
    assert direct is not None
    assert (full.config, direct.description) == (config, "mine")


@on_one_database
def test_only_the_provider_that_the_file_says_is_active_afterwards(database: Database) -> None:
    both = {"a": {"provider": "local", "is_active": True}, "b": {"provider": "local"}}
    apply({"providers": both})

    apply(
        {
            "providers": {
                "b": {"provider": "local", "is_active": True},
                "a": {"provider": "local", "is_active": False},
            }
        }
    )

    with database.read() as session:
        active = providers.find_active(session)
    assert active is not None
    assert active.name == "b"


@on_one_database
def test_what_somebody_switched_off_stays_off_where_the_file_says_nothing_of_it(database: Database) -> None:
    document = {"channels": {"ops": {"driver": "generic", "config": {"endpoint": "http://127.0.0.1:9/"}}}}
    apply(document)
    with database.write() as session:
        channels.set_active(session, "ops", is_active=False)
        channels.edit_channel(session, "ops", policy=ChannelPolicy(rate_per_minute=3))

    said = apply(document)

    assert "policy.rate_per_minute: 3.0 -> null" in said.text
    assert present(database)["channels"]["ops"]["is_active"] is False


@on_one_database
def test_sources_are_refused_where_a_variable_counts_in_their_place(
    database: Database, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    del database
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", '{"zabbix": {"tokens": ["hunter2"]}}')

    said = apply({"sources": {"grafana": {"tokens": [{"env": "GRAFANA_TOKEN"}]}}})
    exported = watchkeeper("export")

    assert "WATCHKEEPER_WEBHOOK_AUTH is set, and counts in place of this" in said.stderr
    assert not (home / kept_auth.NAME).exists()
    assert "WATCHKEEPER_SOURCES_ZABBIX_TOKENS_0" in exported.text
    assert "hunter2" not in exported.text


@on_one_database
def test_one_definition_is_saved_under_its_files_name_or_a_given_one(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "forward.json"
    file.write_text(
        '{"version": "1.0", "nodes": [{"id": "notify", "type": "notify", "config": {"channels": ["pager"]}}]}'
    )

    said = watchkeeper("definitions", "apply", str(file))
    exported = watchkeeper("definitions", "export", "forward")
    named = watchkeeper("definitions", "apply", str(file), "--name", "other")
    unknown = watchkeeper("definitions", "export", "nosuch")

    assert said.code == 0, said.stderr
    assert "definitions.forward: node notify: " in said.stderr, "the channel is not there"
    assert named.code == 0, named.stderr
    assert {"forward", "other"} <= present(database)["definitions"].keys()
    assert read_text(exported.text)["definitions"]["forward"]["config"]["nodes"][0]["id"] == "notify"
    assert (unknown.code, "there is no definition 'nosuch'" in unknown.stderr) == (1, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "line 2: the key 'a' stands twice"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("a: [1\nb: 2", "line 2"),
        ('{"a": ', "line 1"),
        ("a: !!python/object/apply:os.system [x]", "line 1: the tag"),
        ("a: &a [*a]", "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 100_000, "nested deeper"),
        ("a: .inf", "line 1: no number"),
        ('{"a": NaN}', "NaN"),
        (f"a: {'9' * 5000}", "line 1: no number"),
        (
            "\n".join([*(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(9))]),
            "aliases",
        ),
    ],
    ids=[
        *("twice", "twice-in-json", "yaml", "json", "tag", "of-itself", "deep", "deep-json"),
        *("infinite", "nan", "digits", "bomb"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_line(text: str, said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        read_text(text)


def test_words_of_yaml_are_words_and_dates_are_text() -> None:
    data = read_text("on: [off, yes, 2026-01-31, 12:30:00]\n7: &x {a: 1}\nz: *x\n")

    assert data == {"on": ["off", "yes", "2026-01-31", "12:30:00"], "7": {"a": 1}, "z": {"a": 1}}
