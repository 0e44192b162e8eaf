"""`watchkeeper channels` and `test-notify`: saving, looking at and trying the destinations of notifications."""

import json
import os
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from commands import Said, watchkeeper
from rows import add_incident
from sinks import HttpSink

from storage import channels
from storage.database import Database
from storage.tables import ChannelState, Notification
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus, Severity
from tasks.notify import saving

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
GENERIC = {"endpoint": "http://127.0.0.1:9/hook"}


def add(name: str = "ops", *more: str, config: object = GENERIC, driver: str = "generic") -> Said:
    return watchkeeper("channels", "add", name, "--driver", driver, "--config", json.dumps(config), *more)


def shown(name: str = "ops") -> dict[str, object]:
    said = watchkeeper("channels", "show", name, "--json")
    assert said.code == 0, said.stderr
    return json.loads(said.text)


def fail(database: Database, name: str, *, failures: int = 7, error: str = "no luck") -> None:
    now = utc_now()
    with database.write() as session:
        session.add(
            ChannelState(
                channel=name,
                failures=failures,
                failing_since=now,
                rests_until=now + timedelta(minutes=5),
                last_error=error,
            )
        )


def state_of(database: Database, name: str = "ops") -> ChannelState:
    with database.read() as session:
        return channels.find_states(session, [name])[name]


def is_written(database: Database) -> bool:
    """Whether somebody has a write transaction open on a SQLite file."""
    with sqlite3.connect(database.engine.url.database or "", timeout=0) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


class TestSaving:
    def test_channel_is_saved_with_its_policy_and_found_as_it_was_typed(self, database: Database) -> None:
        add("spare")

        said = add(
            "ops",
            *("--description", "the night shift", "--min-severity", "warning", "--on", "firing,resolved"),
            *("--repeat-interval", "4h", "--update-interval", "0", "--rate-per-minute", "30"),
            *("--fallback", "spare", "--inactive"),
        )

        assert (said.code, said.text) == (0, "added channel ops, which is not active\n")
        with database.read() as session:
            row = channels.find(session, "ops")
            assert row is not None
            policy = channels.record_of(row).policy
        assert (row.driver, row.config, row.is_active, row.description) == (
            "generic",
            GENERIC,
            False,
            "the night shift",
        )
        assert policy.min_severity is Severity.WARNING
        assert policy.on == (NotificationReason.FIRING, NotificationReason.RESOLVED)
        assert (policy.repeat_interval_seconds, policy.update_interval_seconds) == (14_400, 0)
        assert (policy.rate_per_minute, policy.fallback) == (30, "spare")

    @on_one_database
    @pytest.mark.usefixtures("database")
    def test_edit_changes_what_is_named_and_nothing_else(self) -> None:
        add("spare")
        add("ops", "--min-severity", "warning", "--fallback", "spare", "--rate-per-minute", "5")

        policy = watchkeeper(
            "channels", "edit", "ops", "--fallback", "", "--on", "firing", "--rate-per-minute", "default"
        )
        config = watchkeeper("channels", "edit", "ops", "--config", '{"webhook_url": "http://x/y"}')
        nothing = watchkeeper("channels", "edit", "ops")

        fields = shown()
        assert policy.text == "channel ops has its new policy\n"
        assert config.text == "channel ops has its new config\n"
        assert fields["config"] == {"webhook_url": "http://x/***"}
        kept = fields["policy"]
        assert isinstance(kept, dict)
        assert (kept["min_severity"], kept["fallback"], kept["on"]) == ("warning", "", ["firing"])
        assert kept["rate_per_minute"] is None
        assert (nothing.code, "name what is to change" in nothing.stderr) == (2, True)

    @on_one_database
    def test_new_config_ends_the_rest_of_a_channel_that_failed(self, database: Database) -> None:
        add()
        fail(database, "ops")

        watchkeeper("channels", "edit", "ops", "--description", "x")
        rested = state_of(database).rests_until
        watchkeeper("channels", "edit", "ops", "--config", json.dumps(GENERIC))

        assert rested is not None
        assert (state_of(database).rests_until, state_of(database).failures) == (None, 7)

    @on_one_database
    @pytest.mark.parametrize("typed", [("edit", "ops", "--config", json.dumps(GENERIC)), ("enable", "ops")])
    def test_secrets_are_read_before_the_database_is_held(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...]
    ) -> None:
        add()
        writers: list[bool] = []
        monkeypatch.setattr(
            saving,
            "resolve",
            lambda config: writers.append(is_written(database)) or config,
        )

        said = watchkeeper("channels", *typed)

        assert (said.code, writers) == (0, [False])

    @on_one_database
    @pytest.mark.usefixtures("database")
    def test_channel_is_switched_and_removed(self) -> None:
        add()

        seen = [
            (watchkeeper("channels", *typed).text.strip(), "yes" in watchkeeper("channels", "list").text)
            for typed in (("disable", "ops"), ("enable", "ops"), ("remove", "ops"))
        ]

        assert seen == [
            ("channel ops is not active", False),
            ("channel ops is active", True),
            ("removed channel ops", False),
        ]
        assert watchkeeper("channels", "list").text == "no channel is saved: nobody is told anything\n"

    @on_one_database
    @pytest.mark.usefixtures("database")
    def test_fallback_of_another_is_not_removed(self) -> None:
        add("spare")
        add("ops", "--fallback", "spare")

        said = watchkeeper("channels", "remove", "spare")

        assert (said.code, "'spare' is the fallback of ops" in said.stderr) == (1, True)
        assert "spare" in watchkeeper("channels", "list").text

    @pytest.mark.usefixtures("database")
    @on_one_database
    @pytest.mark.parametrize(
        ("driver", "config", "more", "code", "said"),
        [
            ("pigeon", {}, [], 1, "driver: 'pigeon' is none of email, "),
            ("generic", [], [], 1, "--config must be a JSON object"),
            ("generic", {}, [], 1, "exactly one of endpoint and webhook_url"),
            ("generic", {"endpoint": "ftp://hunter2/"}, [], 1, "endpoint: not an http or https URL"),
            (
                "generic",
                {"endpoint": {"env": "NO_SUCH"}},
                [],
                1,
                "endpoint: environment variable 'NO_SUCH'",
            ),
            ("generic", {"endpoint": {"env": "NO_SUCH"}}, [], 1, "and also where the worker runs"),
            ("generic", {"endpoint": "http://x/***"}, [], 1, "endpoint: stands for a secret that is not shown"),
            ("email", {"smtp_host": "x"}, [], 1, "from_address"),
            ("generic", GENERIC, ["--fallback", "nobody"], 1, "fallback: there is no channel 'nobody'"),
            ("generic", GENERIC, ["--fallback", "ops"], 1, "fallback: a channel cannot be its own"),
            ("generic", GENERIC, ["--min-severity", "loud"], 2, "min_severity: "),
            ("generic", GENERIC, ["--on", "firing,reminder"], 2, "on: only firing, resolved, "),
            ("generic", GENERIC, ["--repeat-interval", "soon"], 2, "--repeat-interval: a duration such as"),
            ("generic", GENERIC, ["--rate-per-minute", "fast"], 2, "rate_per_minute: "),
            ("generic", GENERIC, ["--rate-per-minute", "1e-12"], 1, "rate_per_minute: 0, or at least 0.001"),
        ],
    )
    def test_what_is_wrong_is_refused_by_its_name_and_nothing_is_saved(
        self, driver: str, config: object, more: list[str], code: int, said: str
    ) -> None:
        refused = add("ops", *more, config=config, driver=driver)

        assert refused.code == code
        assert said in refused.stderr
        assert "hunter2" not in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "no channel is saved" in watchkeeper("channels", "list").text

    @pytest.mark.usefixtures("database")
    @on_one_database
    @pytest.mark.parametrize("name", ["", " ", "a/b", "..", "x" * 129, "a\nb"], ids=range(6))
    def test_name_that_no_url_could_hold_is_refused(self, name: str) -> None:
        refused = add(name)

        assert (refused.code, "name: must" in refused.stderr) == (1, True)

    @pytest.mark.usefixtures("database")
    @on_one_database
    def test_name_that_is_taken_is_refused(self) -> None:
        add()

        assert (add().code, "already" in add().stderr) == (1, True)

    @pytest.mark.usefixtures("database")
    @on_one_database
    @pytest.mark.parametrize(
        "typed", [("show",), ("enable",), ("disable",), ("remove",), ("test",), ("edit", "--on", "firing")]
    )
    def test_unknown_channel_is_named(self, typed: tuple[str, ...]) -> None:
        said = watchkeeper("channels", typed[0], "nobody", *typed[1:])

        assert (said.code, "there is no channel 'nobody'" in said.stderr) == (1, True)

    @pytest.mark.usefixtures("database")
    @on_one_database
    def test_channel_whose_secret_is_gone_is_not_switched_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOOK", "http://x/")
        add("ops", "--inactive", config={"endpoint": {"env": "HOOK"}})
        monkeypatch.delenv("HOOK")

        refused = watchkeeper("channels", "enable", "ops")

        assert (refused.code, "endpoint: environment variable 'HOOK'" in refused.stderr) == (1, True)
        assert shown()["is_active"] is False


class TestShowing:
    @on_one_database
    @pytest.mark.usefixtures("database")
    def test_secrets_are_not_shown_and_warned_of_while_references_are_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TEAM_TOKEN", "x")
        config = {
            "endpoint": "https://me:hunter2@example.org/hunter2?k=hunter2",
            "headers": {"Authorization": "hunter2", "X-Team": "hunter2", "X-Api-Key": {"env": "TEAM_TOKEN"}},
        }

        added = add(config=config)
        said = [added, watchkeeper("channels", "list"), watchkeeper("channels", "show", "ops")]
        fields = shown()

        assert "hunter2" not in "".join(each.text + each.stderr for each in said) + json.dumps(fields)
        assert fields["config"] == {
            "endpoint": "https://example.org/***",
            "headers": {"Authorization": "***", "X-Team": "***", "X-Api-Key": {"env": "TEAM_TOKEN"}},
        }
        assert "endpoint is saved in clear text" in added.stderr
        assert 'such as {"headers": {"Authorization": {"env": "NAME"}}}' in added.stderr
        assert "X-Api-Key is saved" not in added.stderr

    def test_list_says_how_a_channel_fares(self, database: Database) -> None:
        add("ops")
        add("quiet")
        fail(database, "ops", failures=6, error="answered 503 to token=hunter2")
        with database.write() as session:
            incident_id = add_incident(session).id
            for number, status in enumerate(["sent", "failed", "pending", "dead", "discarded"]):
                session.add(
                    Notification(
                        channel="ops",
                        driver="generic",
                        incident_id=incident_id,
                        episode=1,
                        reason=NotificationReason.REMINDER,
                        sequence=number,
                        status=NotificationStatus(status),
                        idempotency_key=str(number),
                        sent_at=utc_now().replace(year=2026, month=2, day=3, hour=4, minute=5),
                    )
                )

        ops, quiet = [" ".join(line.split()) for line in watchkeeper("channels", "list").text.splitlines()[1:]]

        assert ops.startswith("ops generic yes failing since 20")
        assert "(6 in a row, rests until " in ops
        assert ops.endswith("): answered 503 to token=*** 2026-02-03 04:05 2 1")
        assert quiet == "quiet generic yes - - 0 0"

    def test_keys_of_a_driver_are_listed_with_their_defaults(self) -> None:
        said = watchkeeper("channels", "keys", "email")
        unknown = watchkeeper("channels", "keys", "pigeon")

        rows = {line.split()[0]: line.split()[1:] for line in said.text.splitlines()[1:]}
        assert rows["smtp_port"] == ["587"]
        assert rows["smtp_host"] == ["must", "be", "given"]
        assert rows["password"] == ["null", "secret"]
        assert (unknown.code, "'pigeon' is none of email, " in unknown.stderr) == (2, True)
        assert "generic" in watchkeeper("channels", "keys").text.splitlines()


class TestTrying:
    def test_message_goes_out_for_real_and_is_told(self, database: Database, http_sink: HttpSink) -> None:
        add(config={"endpoint": http_sink.url})
        fail(database, "ops")
        watchkeeper("channels", "disable", "ops")

        said = watchkeeper("channels", "test", "ops")

        [request] = http_sink.requests
        body = json.loads(request.body)
        assert (said.code, said.text.splitlines()[0]) == (0, "ops (generic) has the message")
        assert request.headers["Idempotency-Key"] in said.text
        assert (body["reason"], body["channel"], body["thread"]) == ("message", "ops", "")
        assert (state_of(database).failures, state_of(database).rests_until) == (0, None)
        assert shown()["standing"] == {
            "failures": 0,
            "failing_since": None,
            "rests_until": None,
            "last_error": "",
            "last_sent_at": None,
            "waiting": 0,
            "dead": 0,
        }

    @on_one_database
    def test_failure_is_told_without_a_secret_and_counts_for_the_channel(
        self, database: Database, http_sink: HttpSink
    ) -> None:
        http_sink.answer_with(503)
        add(config={"endpoint": f"{http_sink.url}/hunter2"})

        said = watchkeeper("channels", "test", "ops")

        assert (said.code, said.text) == (1, "")
        assert said.stderr == "watchkeeper: channel 'ops': 127.0.0.1 answered 503\n"
        assert (state_of(database).failures, state_of(database).last_error) == (1, "127.0.0.1 answered 503")

    @on_one_database
    @pytest.mark.usefixtures("database")
    def test_without_a_name_the_first_active_channel_is_tried(self, http_sink: HttpSink) -> None:
        add("off", "--inactive", config={"endpoint": f"{http_sink.url}/off"})
        add("first", config={"endpoint": f"{http_sink.url}/first"})
        add("second", config={"endpoint": f"{http_sink.url}/second"})

        unnamed = watchkeeper("test-notify", "--title", "Hello", "--severity", "error")
        named = watchkeeper("test-notify", "second")
        inactive = watchkeeper("test-notify", "off")
        unknown = watchkeeper("test-notify", "nobody")

        bodies = [json.loads(request.body) for request in http_sink.requests]
        assert [request.path for request in http_sink.requests] == ["/first", "/second"]
        assert (bodies[0]["title"], bodies[0]["severity"]) == ("Hello", "critical")
        assert (unnamed.code, named.code) == (0, 0)
        assert (inactive.code, "channel 'off' is not active" in inactive.stderr) == (1, True)
        assert (unknown.code, "'nobody' is neither an active channel nor a driver" in unknown.stderr) == (1, True)

    def test_driver_with_flags_needs_no_database_and_takes_secrets_as_references(
        self, tmp_path: Path, http_sink: HttpSink
    ) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("WATCHKEEPER_", "PREFECT_"))}
        command = [sys.executable, "-m", "deployments.cli", "test-notify", "generic", "--method", "PUT"]
        flags = ["--endpoint", '{"env": "HOOK"}', "--message", "Hi", "--config", '{"headers": {"X-Team": "a"}}']

        said = subprocess.run(
            [*command, *flags],
            env={**clean, "WATCHKEEPER_HOME": str(tmp_path / "none"), "HOOK": f"{http_sink.url}/hunter2"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        [request] = http_sink.requests
        assert said.returncode == 0, said.stderr
        assert said.stdout.startswith("generic has the message\n")
        assert (request.method, request.path, request.headers["X-Team"]) == ("PUT", "/hunter2", "a")
        assert json.loads(request.body)["message"] == "Hi"
        assert "hunter2" not in said.stdout + said.stderr
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize(
        ("typed", "code", "said"),
        [
            (["generic"], 2, "generic: exactly one of endpoint and webhook_url is needed"),
            (["generic", "--endpoint", "hunter2"], 2, "generic: endpoint: not an http or https URL"),
            (["generic", "--endpoint", '{"env": "NO_SUCH"}'], 2, "endpoint: environment variable 'NO_SUCH'"),
            (["generic", "--endpoint", "http://127.0.0.1:1/hunter2"], 1, "generic: 127.0.0.1: Connection refused"),
            (["generic", "--endpoint", "http://x/", "--severity", "loud"], 2, "--severity: one of critical, "),
            (["generic", "--endpoint", "http://x/", "--title", " "], 2, "--title: says nothing"),
            (["one", "two"], 2, "name one channel, or a driver: email, "),
            (["--nosuch"], 2, "name one channel, or a driver: email, "),
        ],
    )
    def test_what_is_wrong_with_a_driver_is_told(self, typed: list[str], code: int, said: str) -> None:
        refused = watchkeeper("test-notify", *typed)

        assert refused.code == code
        assert said in refused.stderr
        assert "hunter2" not in refused.stderr

    def test_help_of_each_driver_lists_its_keys_as_flags(self) -> None:
        email, generic = (watchkeeper("test-notify", kind, "--help").text for kind in ("email", "generic"))

        for flag in ("--smtp-host", "--use-tls --no-use-tls", "--password", "--to-addresses", "--title"):
            assert flag in email
        assert "[choices: POST, PUT, PATCH, GET]" in generic
        assert '{"env":' in generic


def test_help_names_the_commands() -> None:
    said = watchkeeper("channels", "--help")

    for command in ("add", "list", "show", "edit", "enable", "disable", "remove", "keys", "test"):
        assert f" {command} " in said.text
