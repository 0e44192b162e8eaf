"""`watchkeeper eval`: what it asks, what it prints, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ai_vendors import GOOD, VENDORS
from commands import Said, watchkeeper
from sinks import HttpSink

from storage import migrate, providers
from storage.database import Database
from tasks.analyze.evaluation.case import TOPICS, load_cases

OPENAI = VENDORS["openai"]
CASE = "disk-logs-fill-root"
# Where the vendor always says that it is the disk.
RIGHT_AND_WRONG = [CASE, "cpu-too-hot"]


@pytest.fixture(autouse=True)
def unusable_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that asked for the database or the home would fail."""
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    """An installation's database."""
    url = f"sqlite:///{tmp_path}/saved.db"
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", url)
    database = Database(url)
    migrate.upgrade(database)
    return database


def form(said: Said) -> dict[str, Any]:
    assert said.code in {0, 1}, said.stderr
    loaded: dict[str, Any] = json.loads(said.stdout)
    return loaded


def activate(database: Database, kind: str, config: dict[str, Any]) -> None:
    with database.write() as session:
        providers.add_provider(session, name="ours", provider=kind, config=config)
        providers.activate(session, "ours")
    database.dispose()


def always_the_disk(*typed: str) -> Said:
    """Score a vendor that gives one answer to whatever it is asked."""
    with HttpSink(default=OPENAI.answer(json.dumps(GOOD))) as sink:
        return watchkeeper("eval", "--provider", "openai", "--config", json.dumps(OPENAI.config(sink.url)), *typed)


def row_of(text: str, name: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(f"{name} "))


class TestLocalRules:
    def test_a_real_process_scores_them_without_prefect_database_or_home(self, tmp_path: Path) -> None:
        program = (
            "import sys\nfrom deployments.cli import main\n"
            "try:\n    main()\n"
            "finally:\n    print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        )

        said = subprocess.run(
            [sys.executable, "-c", program, "eval"], env=os.environ, capture_output=True, text=True, check=True
        )

        assert len(said.stdout.splitlines()) == len(load_cases()) + len(TOPICS) + 4
        assert row_of(said.stdout, "all")[1] == str(len(load_cases()))
        assert row_of(said.stdout, CASE)[1] == "right"
        assert not {"prefect", "flask", "pydantic_ai"} & set(said.stderr.split())
        assert not (tmp_path / "home").exists()

    def test_they_cost_no_tokens(self) -> None:
        said = watchkeeper("eval", "--case", CASE)

        assert form(watchkeeper("eval", "--case", CASE, "--json"))["model"] == "rules"
        assert said.code == 0
        assert "okens" not in said.text + said.stderr


class TestReport:
    def test_a_table_says_what_is_amiss_and_sums_it_up_by_topic(self) -> None:
        said = always_the_disk("--case", *RIGHT_AND_WRONG)

        assert said.code == 0
        assert row_of(said.text, "case") == ["case", "type", "cause", "invented", "format", "note"]
        assert row_of(said.text, CASE) == [CASE, "right", "named", "nothing", "held"]
        assert row_of(said.text, "cpu-too-hot")[1:5] == ["wrong", "missed", "nothing", "held"]
        assert "disk, not cpu; does not name: temperature" in said.text
        assert row_of(said.text, "disk") == ["disk", "1", "1", "1", "1", "1"]
        assert row_of(said.text, "cpu") == ["cpu", "1", "0", "0", "1", "1"]
        assert row_of(said.text, "all") == ["all", "2", "1", "1", "2", "2"]
        assert "memory " not in said.text

    def test_json_has_the_verdicts_and_the_sums(self) -> None:
        said = always_the_disk("--json", "--case", RIGHT_AND_WRONG[0], "--case", RIGHT_AND_WRONG[1])

        told = form(said)
        one = {"cases": 1, "type_right": 1, "cause_named": 1, "nothing_invented": 1, "format_held": 1}
        verdict = {"type_right": True, "cause_named": True, "nothing_invented": True, "format_held": True}
        assert told["cases"] == [
            {"id": CASE, "topic": "disk", **verdict, "notes": []},
            {
                "id": "cpu-too-hot",
                "topic": "cpu",
                **verdict,
                "type_right": False,
                "cause_named": False,
                "notes": ["disk, not cpu", "does not name: temperature"],
            },
        ]
        assert told["topics"] == {"disk": one, "cpu": one | {"type_right": 0, "cause_named": 0}}
        assert told["sums"] == {
            "cases": 2,
            "type_right": 1,
            "cause_named": 1,
            "nothing_invented": 2,
            "format_held": 2,
        }
        assert (told["provider"], told["model"]) == ("openai", "gpt-4o-mini")
        assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (240, 90, 330)

    @pytest.mark.parametrize(("at_least", "code"), [("0", 0), ("1", 0), ("2", 1)])
    def test_at_least_makes_too_few_right_types_a_failure(self, at_least: str, code: int) -> None:
        said = always_the_disk("--json", "--case", *RIGHT_AND_WRONG, "--at-least", at_least)

        assert said.code == code
        assert form(said)["sums"]["type_right"] == 1


class TestAiProvider:
    def test_it_is_asked_for_real_and_its_tokens_are_counted(self) -> None:
        invented = GOOD | {"probable_cause": "Old logs on web-99 were never rotated"}
        answers = [OPENAI.answer(json.dumps(GOOD)), OPENAI.answer(json.dumps(invented))]
        with HttpSink(answers) as sink:
            config = json.dumps(OPENAI.config(sink.url) | {"max_tokens": 400})

            first, second = (
                watchkeeper("eval", "--provider", "openai", "--config", *typed, "--case", CASE, stdin=stdin)
                for typed, stdin in [([config], b""), (["-"], config.encode())]
            )

            asked = sink.requests
        assert (first.code, second.code) == (0, 0)
        assert "HostOutOfDiskSpace" in OPENAI.asked(asked[0])
        assert OPENAI.given_key(asked[0]) == OPENAI.key
        assert row_of(first.text, CASE) == [CASE, "right", "named", "nothing", "held"]
        assert row_of(second.text, CASE) == [
            CASE,
            "right",
            "named",
            "something",
            "held",
            "invents",
            "host",
            "web-99",
        ]
        assert "\nTokens: 165 (120 asked with, 45 answered with)\n" in first.text
        assert "cases to ask openai (gpt-4o-mini) about: 1; they take " in first.stderr

    def test_a_refusal_is_a_verdict_with_its_reason_and_without_the_key(self) -> None:
        refusal = OPENAI.error(401, f"Incorrect API key provided: {OPENAI.key}")
        with HttpSink(default=refusal) as sink:
            config = json.dumps(OPENAI.config(sink.url))

            said = watchkeeper(
                "eval", "--provider", "openai", "--config", config, "--json", "--case", *RIGHT_AND_WRONG
            )

        told = form(said)
        assert told["sums"] == {
            "cases": 2,
            "type_right": 0,
            "cause_named": 0,
            "nothing_invented": 0,
            "format_held": 0,
        }
        assert all("no answer: 127.0.0.1 answered 401" in case["notes"][0] for case in told["cases"])
        assert OPENAI.key not in said.text + said.stderr

    def test_a_reply_that_does_not_fit_does_not_hold_the_format_but_is_paid_for(self) -> None:
        with HttpSink(default=OPENAI.answer("I would rather not say")) as sink:
            config = json.dumps(OPENAI.config(sink.url))

            said = watchkeeper("eval", "--provider", "openai", "--config", config, "--case", CASE)

        assert row_of(said.text, CASE)[1:7] == ["-", "-", "-", "-", "no", "answer:"]
        assert "Tokens: 330 (240 asked with, 90 answered with)" in said.text

    def test_without_a_config_the_active_provider_of_that_kind_is_asked_and_nothing_stored(
        self, saved: Database
    ) -> None:
        with HttpSink(default=OPENAI.answer(json.dumps(GOOD))) as sink:
            activate(saved, "openai", OPENAI.config(sink.url))

            said = watchkeeper("eval", "--provider", "openai", "--json", "--case", CASE)

        assert form(said)["sums"]["type_right"] == 1
        assert form(said)["model"] == "gpt-4o-mini"
        with saved.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM analysis_runs").scalar() == 0

    def test_an_active_provider_of_another_kind_lends_it_no_config(self, saved: Database) -> None:
        activate(saved, "mistral", OPENAI.config("http://127.0.0.1:1"))

        said = watchkeeper("eval", "--provider", "openai", "--case", CASE)

        assert said.code == 1
        assert "provider 'openai'" in said.stderr
        assert "OPENAI_API_KEY" in said.stderr

    def test_where_no_database_was_ever_made_none_is_made_to_look_for_the_active_provider(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("WATCHKEEPER_DATABASE_URL")

        said = watchkeeper("eval", "--provider", "openai", "--case", CASE)

        assert (said.code, "'OPENAI_API_KEY' is not set" in said.stderr) == (1, True)
        assert not (tmp_path / "home").exists()


class TestWrongUse:
    @pytest.mark.parametrize(
        ("typed", "code", "named"),
        [
            (["--case", "nope"], 2, "unknown case 'nope'; `watchkeeper eval` lists them all"),
            (["--provider", "opena"], 2, "unknown provider 'opena'; one of local, openai"),
            (["--config", "{"], 2, "--config is not JSON"),
            (["--config", "[]"], 2, "--config must be a JSON object"),
            (["--config", '{"top": 3}'], 1, "provider 'local': unknown key top; known: top_n_processes, "),
            (["--case", CASE, "--at-least", "2"], 2, "--at-least 2 is more than the 1 asked about"),
            (["--at-least", "-1"], 2, "--at-least"),
        ],
    )
    def test_what_cannot_be_taken_is_named(self, typed: list[str], code: int, named: str) -> None:
        said = watchkeeper("eval", *typed)

        assert said.code == code
        assert named in said.stderr.replace("\n", " ")
        assert not said.stdout
