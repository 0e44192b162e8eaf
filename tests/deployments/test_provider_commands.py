"""`watchkeeper providers`: saving, choosing and trying AI providers."""

import json
import os
import subprocess
import sys

import pytest
from ai_vendors import GOOD, VENDORS
from commands import Said, watchkeeper
from sinks import HttpSink
from sqlalchemy import select

from storage import providers
from storage.database import Database
from storage.tables import AnalysisRun
from storage.vocabulary import AnalysisStatus

OPENAI = VENDORS["openai"]
CONFIG = json.dumps({"api_key": "hunter2", "base_url": "https://gateway/v1"})
# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def add(name: str, *more: str, config: str = CONFIG, provider: str = "openai") -> Said:
    return watchkeeper("providers", "add", name, "--provider", provider, "--config", config, *more)


def active(database: Database) -> str | None:
    with database.read() as session:
        found = providers.find_active(session)
    return found.name if found else None


def listed() -> list[str]:
    return [" ".join(line.split()) for line in watchkeeper("providers", "list").text.splitlines()]


@on_one_database
def test_provider_is_saved_by_a_real_process_and_its_secrets_are_not_shown(
    database: Database, database_url: str
) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("WATCHKEEPER_", "PREFECT_"))}
    command = [sys.executable, "-m", "deployments.cli", "providers", "add", "prod", "--provider", "openai"]

    added = subprocess.run(
        [*command, "--config", "-", "--activate"],
        env={**clean, "WATCHKEEPER_DATABASE_URL": database_url, "PYTHONPROFILEIMPORTTIME": "1"},
        input=CONFIG,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    shown = watchkeeper("providers", "list")

    assert added.returncode == 0, added.stderr[-500:]
    assert added.stdout == "added provider prod, which is active now\n"
    assert active(database) == "prod"
    assert shown.text.splitlines()[1].split()[:3] == ["prod", "openai", "yes"]
    assert "hunter2" not in added.stdout + added.stderr + shown.text + shown.stderr
    assert "prefect.client" not in added.stderr


def test_one_provider_at_a_time_is_active(database: Database) -> None:
    seen = []
    for typed in (
        ("activate", "spare"),
        ("activate", "prod"),
        ("deactivate",),
        ("deactivate",),
        ("activate", "spare"),
        ("remove", "spare"),
        ("remove", "prod"),
    ):
        if not seen:
            add("prod", "--activate")
            add("spare", "--description", "for bad days")
            assert active(database) == "prod"
        said = watchkeeper("providers", *typed)
        seen.append((said.text.strip(), active(database)))

    assert seen == [
        ("provider spare is active", "spare"),
        ("provider prod is active", "prod"),
        ("no provider is active: the local rules answer", None),
        ("no provider was active", None),
        ("provider spare is active", "spare"),
        ("removed provider spare: the local rules answer now", None),
        ("removed provider prod", None),
    ]
    assert listed() == ["no provider is saved: the local rules answer"]


@pytest.mark.usefixtures("database")
@on_one_database
def test_edit_replaces_the_config_as_a_whole() -> None:
    add("prod")

    said = watchkeeper("providers", "edit", "prod", "--config", '{"api_key": "s", "model": "gpt-5"}')

    assert said.text == "provider prod has its new config\n"
    assert listed()[1] == 'prod openai no {"api_key": "***", "model": "gpt-5"}'


@pytest.mark.usefixtures("database")
@on_one_database
def test_edit_changes_the_description_alone_or_with_the_config() -> None:
    add("prod", "--description", "for bad days")

    first = watchkeeper("providers", "edit", "prod", "--description", "the team's")
    before = listed()[1]
    second = watchkeeper("providers", "edit", "prod", "--description", "", "--config", '{"api_key": "s"}')
    nothing = watchkeeper("providers", "edit", "prod")

    assert (first.text, first.stderr) == ("provider prod has its new description\n", "")
    assert '"base_url": "https://gateway/v1"} the team\'s' in before
    assert second.text == "provider prod has its new config and description\n"
    assert listed()[1] == 'prod openai no {"api_key": "***"}'
    assert (nothing.code, "--config, --description, or both" in nothing.stderr) == (2, True)


@pytest.mark.usefixtures("database")
@on_one_database
def test_secret_in_clear_text_is_warned_of_and_a_reference_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", "x")

    clear = add("prod", config='{"api_key": "hunter2", "max_tokens": 500}')
    referred = add("spare", config='{"api_key": {"env": "TEAM_KEY"}, "max_tokens": 500}')
    edited = watchkeeper("providers", "edit", "spare", "--config", '{"api_key": "hunter2"}')

    warning = (
        'watchkeeper: api_key is saved in clear text; better a reference such as {"api_key": {"env": "NAME"}}\n'
    )
    assert [said.stderr for said in (clear, referred, edited)] == [warning, "", warning]
    assert [said.code for said in (clear, referred, edited)] == [0, 0, 0]


def test_keys_of_a_kind_are_listed_with_their_defaults() -> None:
    said = watchkeeper("providers", "keys", "openai")
    ollama = watchkeeper("providers", "keys", "ollama")
    unknown = watchkeeper("providers", "keys", "nobody")

    rows = dict(line.split(maxsplit=1) for line in said.text.splitlines())
    assert rows["model"] == "gpt-4o-mini"
    assert rows["api_key"] == '{"env": "OPENAI_API_KEY"}'
    assert (rows["timeout_seconds"], rows["hide_hosts"]) == ("20", "false")
    assert "api_key           none" not in ollama.text
    assert "timeout_seconds   40" in ollama.text
    assert (unknown.code, "'nobody' is none of local, openai" in unknown.stderr) == (2, True)


@pytest.mark.usefixtures("database")
@on_one_database
def test_reference_is_shown_and_resolved_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", "hunter2")

    added = add("prod", config='{"api_key": {"env": "TEAM_KEY"}}')

    assert added.text == "added provider prod\n"
    assert '{"api_key": {"env": "TEAM_KEY"}}' in listed()[1]


@pytest.mark.usefixtures("database")
@on_one_database
@pytest.mark.parametrize(
    ("provider", "config", "said"),
    [
        ("nobody", "{}", "provider: 'nobody' is none of local, "),
        ("openai", "{", "--config is not JSON"),
        ("openai", "[]", "--config must be a JSON object"),
        ("openai", "{}", "provider 'openai': api_key: environment variable 'OPENAI_API_KEY' is not set"),
        ("openai", '{"api_key": {"env": "NO_SUCH"}}', "api_key: environment variable 'NO_SUCH' is not set"),
        ("openai", '{"api_key": {"file": "/no/such"}}', "api_key: secret file '/no/such' is not there"),
        ("openai", '{"api_key": {"env": "NO_SUCH"}}', "must be there for this command, and also where the worker"),
        ("openai", '{"modle": "x"}', "provider 'openai': unknown key modle; known: model, base_url, api_key, "),
        ("openai", '{"a": 1, "b": 2, "model": ""}', "unknown keys a, b; known: "),
        ("openai", '{"a": 1, "b": 2, "model": ""}', ", hide_hosts; model: is empty"),
        ("openai", '{"timeout_seconds": 0}', "provider 'openai': timeout_seconds: must be greater than 0"),
        ("local", '{"scan_paths": [{"env": "NO_SUCH"}], "top": 1}', "provider 'local': unknown key top; known: "),
        ("local", '{"scan_paths": [{"env": "NO_SUCH"}]}', "scan_paths[0]: environment variable 'NO_SUCH'"),
        ("openai", '{"api_key": {"env": "EMPTY"}}', "provider 'openai': api_key: is empty"),
        ("openai", '{"api_key": "hunter2", "base_url": "ftp://hunter2/"}', "provider 'openai': base_url: "),
    ],
)
def test_wrong_config_is_refused_when_it_is_saved_by_the_name_of_the_field(
    monkeypatch: pytest.MonkeyPatch, provider: str, config: str, said: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("EMPTY", "")

    refused = add("prod", provider=provider, config=config)

    assert refused.code == 1
    assert said in refused.stderr
    assert "hunter2" not in refused.stderr
    assert listed() == ["no provider is saved: the local rules answer"]


@on_one_database
def test_wrong_config_is_refused_also_when_a_provider_is_edited_or_activated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_KEY", "x")
    add("prod", config='{"api_key": {"env": "TEAM_KEY"}}')
    monkeypatch.delenv("TEAM_KEY")

    edited = watchkeeper("providers", "edit", "prod", "--config", '{"api_key": "x", "modle": "y"}')
    activated = watchkeeper("providers", "activate", "prod")

    assert "unknown key modle" in edited.stderr
    assert "'TEAM_KEY' is not set" in activated.stderr
    assert (edited.code, activated.code, active(database)) == (1, 1, None)
    assert "TEAM_KEY" in listed()[1]


@pytest.mark.usefixtures("database")
def test_name_that_is_taken_is_refused() -> None:
    add("prod")

    again = add("prod", "--activate")

    assert (again.code, again.stderr) == (1, "watchkeeper: there is a provider 'prod' already\n")


@pytest.mark.usefixtures("database")
@on_one_database
@pytest.mark.parametrize("name", [" ", "x" * 129])
def test_name_that_cannot_be_stored_is_refused(name: str) -> None:
    said = add(name)

    assert said.code == 2
    assert "the name must be text of 1 to 128 characters" in said.stderr


@pytest.mark.usefixtures("database")
@on_one_database
@pytest.mark.parametrize("typed", [("activate",), ("remove",), ("test",), ("edit", "--config", "{}")])
def test_unknown_provider_is_named(typed: tuple[str, ...]) -> None:
    said = watchkeeper("providers", typed[0], "nobody", *typed[1:])

    assert (said.code, "there is no provider 'nobody'" in said.stderr) == (1, True)


def test_trying_a_provider_asks_it_anew_each_time_and_says_what_that_took(database: Database) -> None:
    answer = OPENAI.answer(json.dumps(GOOD), prompt_tokens=300, completion_tokens=60)
    with HttpSink(default=answer) as sink:
        add("prod", config=json.dumps(OPENAI.config(sink.url)))
        said = watchkeeper("providers", "test", "prod")
        watchkeeper("providers", "test", "prod")

        assert len(sink.requests) == 2
        assert os.uname().nodename not in OPENAI.asked(sink.requests[0])
    lines = [" ".join(line.split()) for line in said.text.splitlines()]
    assert lines[:3] == ["prod answered", f"model {OPENAI.model}", "tokens 360 (300 asked, 60 answered)"]
    assert lines[3].startswith("duration ")
    assert lines[4] == f"answer {GOOD['summary']}"
    with database.read() as session:
        stored = list(session.scalars(select(AnalysisRun)))
    assert [(row.status, row.total_tokens) for row in stored] == [(AnalysisStatus.SUCCEEDED, 360)] * 2


@on_one_database
@pytest.mark.parametrize("status", [401, 503])
def test_provider_that_fails_when_tried_is_told_without_a_secret(database: Database, status: int) -> None:
    with HttpSink(default=OPENAI.error(status, f"not for {OPENAI.key}")) as sink:
        add("prod", config=json.dumps(OPENAI.config(sink.url)))
        said = watchkeeper("providers", "test", "prod")

    assert said.code == 1
    where = sink.url.removeprefix("http://").partition("/")[0]
    assert said.stderr == f"watchkeeper: prod (openai at {where}): 127.0.0.1 answered {status}: not for ***\n"
    with database.read() as session:
        assert session.scalars(select(AnalysisRun.status)).all() == [AnalysisStatus.FAILED]


@on_one_database
def test_local_rules_can_be_saved_and_tried_too(database: Database) -> None:
    add("rules", provider="local", config='{"top_n_processes": 3}')

    said = watchkeeper("providers", "test", "rules")

    assert said.code == 0
    assert "none counted" in said.text
    with database.read() as session:
        assert session.scalars(select(AnalysisRun.provider)).all() == ["local"]


def test_help_names_the_commands_and_the_extra() -> None:
    said = watchkeeper("providers", "--help")
    adding = watchkeeper("providers", "add", "--help")

    for command in ("add", "list", "activate", "deactivate", "edit", "remove", "keys", "test"):
        assert f" {command} " in said.text
    assert "watchkeeper[ai]" in said.text
    words = " ".join(adding.text.replace("│", " ").split())
    assert "Secrets must be readable here" in words
    assert "watchkeeper providers keys KIND" in words


@pytest.mark.parametrize("arguments", [["nosuch"], ["add"], ["add", "x"], ["edit", "x"], ["test"]])
def test_wrong_use_ends_with_2(arguments: list[str]) -> None:
    assert watchkeeper("providers", *arguments).code == 2
