"""`watchkeeper get-recommendations`, on a machine where nothing runs and on one with incidents."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ai_vendors import GOOD, VENDORS
from commands import watchkeeper
from rows import add_alert, add_incident
from sinks import HttpSink
from sqlalchemy import select

from deployments import installed
from deployments.commands import recommendation_command
from storage import providers
from storage.database import Database
from storage.records import CheckResult
from storage.tables import AnalysisRun
from storage.vocabulary import CheckStatus
from tasks.analyze import host_advice
from tasks.analyze.providers import PROVIDERS
from tasks.check.apart import Measured
from tasks.errors import PermanentError

OPENAI = VENDORS["openai"]
# Nothing is below 0 per cent, so these are bad whatever the host is like.
ALWAYS_BAD = '{"memory": {"warning_threshold": 0, "critical_threshold": 0}, "cpu": {"sample_interval": 0.05}}'
# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """A host whose memory is full, read without the process that measures. Holds what was read."""
    read: list[Sequence[str]] = []

    def measure(names: Sequence[str], _configs: Mapping[str, Any], **_bounds: float) -> Measured:
        read.append(names)
        full = CheckResult(checker_name="memory", status=CheckStatus.CRITICAL, message="Memory 97 % used")
        return Measured(results=[full], evidence={"hostname": "web-1"})

    monkeypatch.setattr(host_advice, "measure", measure)
    monkeypatch.setattr(recommendation_command, "measured_with_evidence", measure)
    return read


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose database does not run; none may be started for what needs none."""
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")


def make_incident(database: Database) -> int:
    with database.write() as session:
        incident = add_incident(session, title="Memory is short")
        add_alert(session, incident_id=incident.id, name="Memory is short", labels={"instance": "db-99"})
        return incident.id


def save(database: Database, url: str) -> None:
    with database.write() as session:
        providers.add_provider(session, name="prod", provider="openai", config=OPENAI.config(url))
        providers.activate(session, "prod")


def rows(database: Database) -> list[AnalysisRun]:
    with database.read() as session:
        return list(session.scalars(select(AnalysisRun).order_by(AnalysisRun.id)))


def test_advice_about_this_host_needs_nothing_that_runs_nor_is_slow_to_import(tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("WATCHKEEPER_", "PREFECT_"))}
    home = {"WATCHKEEPER_HOME": str(tmp_path / "home"), "WATCHKEEPER_CHECKERS": ALWAYS_BAD}

    said = subprocess.run(
        [sys.executable, "-m", "deployments.cli", "get-recommendations", "--memory"],
        env={**clean, **home, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert said.returncode == 0
    summary, cause, origin, *_ = said.stdout.splitlines()
    assert socket.gethostname() in summary
    assert cause.startswith("Probable cause: ")
    assert origin == "By the local rules, 80 % sure."
    assert "(memory, critical)" in said.stdout
    assert "   - free -h" in said.stdout
    imported = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    assert "tasks.analyze.rules.diagnosis" in imported
    assert not imported & {"sqlalchemy", "httpx", "prefect", "flask", "psycopg", "tasks.http"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], {"cpu", "memory", "disk"}),
        (["--provider", "local"], {"cpu", "memory", "disk"}),
        (["--memory"], {"memory", "swap_io"}),
        (["--disk"], {"disk", "disk_inodes", "disk_common", "disk_linux", "disk_macos"}),
        (["--disk", "--memory"], {"memory", "disk", "disk_common"}),
    ],
)
def test_json_is_the_apis_and_about_what_was_asked(
    readings: list[Sequence[str]], flags: list[str], names: set[str]
) -> None:
    said = watchkeeper("get-recommendations", "--json", *flags)

    form = json.loads(said.text)
    assert said.code == 0
    assert (form["provider"], form["incident_id"], form["ai_output_ref"]) == ("local", None, "")
    assert (form["count"], form["confidence"], form["fallback_used"]) == (1, 0.8, False)
    assert form["recommendations"][0]["type"] == "memory"
    assert names <= set(readings[0])
    assert flags == [] or "--provider" in flags or "cpu" not in readings[0]


@pytest.mark.usefixtures("readings")
def test_incident_is_asked_of_the_active_provider_and_the_answer_is_stored(database: Database) -> None:
    incident_id = make_incident(database)
    with HttpSink([OPENAI.answer(json.dumps(GOOD))]) as sink:
        save(database, sink.url)
        said = watchkeeper("get-recommendations", "--incident-id", str(incident_id))
        again = watchkeeper("get-recommendations", "--incident-id", str(incident_id))

        assert "Memory is short" in OPENAI.asked(sink.requests[0])
        assert len(sink.requests) == 1
    assert said.text.splitlines() == [
        GOOD["summary"],
        f"Probable cause: {GOOD['probable_cause']}",
        f"By openai ({OPENAI.model}), 83 % sure.",
        "",
        "1. Make room (disk, high)",
        "   Old logs take most of it",
        "   - du -xh --max-depth=2 /var/log",
        "   - logrotate --force /etc/logrotate.conf",
    ]
    assert f"By openai ({OPENAI.model}), 83 % sure, as answered before." in again.text
    assert [row.incident_id for row in rows(database)] == [incident_id, incident_id]


@on_one_database
def test_failing_provider_is_said_on_standard_error_and_the_local_rules_answer(
    database: Database, readings: list[Sequence[str]]
) -> None:
    with HttpSink([OPENAI.error(401, f"no such key {OPENAI.key}")]) as sink:
        save(database, sink.url)
        said = watchkeeper("get-recommendations", "--provider", "openai", "--json")

    assert said.code == 0
    form = json.loads(said.text)
    assert (form["provider"], form["fallback_used"]) == ("local", True)
    assert "answered 401" in form["provider_error"]
    told = watchkeeper("get-recommendations", "--provider", "mistral" if "mistral" in PROVIDERS else "openai")
    assert "; the local rules answer instead" in told.stderr
    assert len(readings) == 2
    assert OPENAI.key not in said.text + said.stderr + told.stderr


@on_one_database
def test_what_a_model_says_steers_no_terminal(database: Database) -> None:
    reply = {**GOOD, "summary": "one\x1b[2J\n[red]two[/red] https://u:hunter2@x/", "recommendations": []}
    incident_id = make_incident(database)
    with HttpSink([OPENAI.answer(json.dumps(reply))]) as sink:
        save(database, sink.url)
        said = watchkeeper("get-recommendations", "--incident-id", str(incident_id))

    assert "hunter2" not in said.text
    assert "\x1b" not in said.text
    assert "[red]two[/red]" in said.text


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--provider", "nobody"], "--provider: 'nobody' is none of local, ", 2),
        (["--incident-id", "1", "--memory"], "--incident-id: leave out --memory and --disk", 2),
        (["--incident-id", "7", "--list-providers"], "--list-providers asks nobody: leave out", 2),
        (["--memory", "--list-providers"], "--list-providers asks nobody: leave out", 2),
        (["--disk", "--list-providers"], "--list-providers asks nobody: leave out", 2),
        (["--provider", "openai", "--list-providers"], "--list-providers asks nobody: leave out", 2),
        (["--incident-id", "0"], "--incident-id", 2),
        (["--incident-id", "9223372036854775808"], "--incident-id", 2),
        (["--incident-id", "x"], "--incident-id", 2),
        (["--nosuch"], "nosuch", 2),
        (["--incident-id", "1"], "the database cannot be used", 1),
    ],
)
def test_wrong_use_is_named(arguments: list[str], says: str, code: int) -> None:
    said = watchkeeper("get-recommendations", *arguments)

    assert said.code == code
    assert says in " ".join(said.stderr.split())
    assert said.stdout == b""


@pytest.mark.usefixtures("no_database")
def test_wrong_setting_of_a_checker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", '{"memory": {"warning_treshold": 5}}')

    said = watchkeeper("get-recommendations")

    assert said.code == 2
    assert said.stderr.startswith("watchkeeper: WATCHKEEPER_CHECKERS: checker memory: unknown config key")


@pytest.mark.usefixtures("database")
@on_one_database
def test_unknown_incident_is_named() -> None:
    said = watchkeeper("get-recommendations", "--incident-id", "77")

    assert (said.code, said.stderr) == (1, "watchkeeper: there is no incident 77\n")


@on_one_database
def test_list_says_what_each_provider_needs_and_which_are_saved(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    save(database, "http://127.0.0.1:1")

    said = watchkeeper("get-recommendations", "--list-providers")
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    poorer = watchkeeper("get-recommendations", "--list-providers").text
    form = json.loads(watchkeeper("get-recommendations", "--list-providers", "--json").text)

    lines = {line.split()[0]: " ".join(line.split()) for line in said.text.splitlines()}
    assert list(lines)[1:] == list(PROVIDERS)
    assert lines["openai"] == "openai gpt-4o-mini OPENAI_API_KEY is set installed prod (active)"
    assert lines["local"] == "local rules needs none installed"
    assert "OPENAI_API_KEY is not set" in poorer
    assert "needs watchkeeper[ai]" in poorer
    assert [each["provider"] for each in form["providers"]] == list(PROVIDERS)
    assert (form["saved"][0]["name"], form["saved"][0]["config"]["api_key"]) == ("prod", "***")
    assert "hunter2" not in said.text
    assert OPENAI.key not in said.text


class TestWhereNoDatabaseWasEverMade:
    """None is made to look for what cannot be in it."""

    @pytest.fixture(autouse=True)
    def home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.delenv("WATCHKEEPER_DATABASE_URL", raising=False)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path / "home"))
        return tmp_path / "home"

    def test_kinds_are_listed(self, home: Path) -> None:
        said = watchkeeper("get-recommendations", "--list-providers", "--json")

        assert [each["provider"] for each in json.loads(said.text)["providers"]] == list(PROVIDERS)
        assert json.loads(said.text)["saved"] == []
        assert not home.exists()

    @pytest.mark.usefixtures("readings")
    def test_local_rules_stand_in_for_a_provider_without_a_key(self, home: Path) -> None:
        said = watchkeeper("get-recommendations", "--provider", "openai", "--json")

        form = json.loads(said.text)
        assert (form["provider"], form["fallback_used"], form["ai_output_ref"]) == ("local", True, "")
        assert form["instead_of"] == "openai"
        assert "'OPENAI_API_KEY' is not set" in form["provider_error"]
        assert not home.exists()

    def test_nothing_stands_in_where_the_installation_forbids_it(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ORCHESTRATION_INTELLIGENCE_FALLBACK_ENABLED", "false")

        said = watchkeeper("get-recommendations", "--provider", "openai")

        assert (said.code, "'OPENAI_API_KEY' is not set" in said.stderr) == (1, True)
        assert not home.exists()

    def test_no_incident_is_known(self, home: Path) -> None:
        said = watchkeeper("get-recommendations", "--incident-id", "7")

        assert (said.code, "there is no incident 7" in said.stderr) == (1, True)
        assert not home.exists()

    def test_one_that_was_made_is_looked_into(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (home / "postgres").mkdir(parents=True)
        (home / "postgres" / "PG_VERSION").write_text("16")
        monkeypatch.setattr(installed, "running", _refused)

        said = watchkeeper("get-recommendations", "--list-providers")

        assert (said.code, said.stderr) == (1, "watchkeeper: the server was asked for\n")


def _refused(_home: Path) -> NoReturn:
    raise PermanentError("the server was asked for")


def test_help_says_what_is_stored_and_where_readings_go() -> None:
    said = watchkeeper("get-recommendations", "--help")

    words = " ".join(said.text.split())
    for flag in ("--incident-id", "--memory", "--disk", "--provider", "--json", "--list-providers"):
        assert flag in words
    assert "nothing is stored" in words
    assert "unless --provider names another: its readings" in words
    assert "are then sent there" in words
    assert "watchkeeper[ai]" in words
