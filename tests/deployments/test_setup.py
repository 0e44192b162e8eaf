"""`watchkeeper setup`: a person at a terminal, and a script without one."""

import os
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pexpect
import pytest
from commands import watchkeeper
from databases import fresh_sqlite
from sinks import HttpSink

from storage import channels, definitions, routes
from storage.database import Database
from webhook_app import kept_auth

SECONDS = 30
SIGNING = "whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjIt"
CHANNEL = 'ops=generic:{"endpoint": "http://127.0.0.1:9/hook"}'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation's home, with nothing in it but an empty database."""
    with fresh_sqlite(tmp_path) as url:
        monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", url)
        yield tmp_path / "home"


@pytest.fixture
def saved(home: Path) -> Iterator[Database]:
    del home
    database = Database(os.environ["WATCHKEEPER_DATABASE_URL"])
    yield database
    database.dispose()


@pytest.fixture
def terminal(home: Path) -> Iterator[Any]:
    """`watchkeeper setup` in a terminal of its own."""
    del home
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    child = pexpect.spawn(
        sys.executable, ["-m", "deployments.cli", "setup"], env=environment, timeout=SECONDS, encoding="utf-8"
    )
    child.setwinsize(50, 200)
    yield child
    child.close(force=True)


def answer(child: Any, *pairs: tuple[str, str]) -> None:
    """Type each answer once its question stands there; an empty one takes the default."""
    for question, text in pairs:
        child.expect_exact(question)
        child.sendline(text)


def ended(child: Any) -> int:
    """The rest of what it says is left in `before`."""
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def test_a_person_sets_up_a_monitor_with_a_channel_that_is_tried(
    terminal: Any, saved: Database, http_sink: HttpSink, home: Path
) -> None:
    shown = StringIO()
    terminal.logfile_read = shown
    answer(
        terminal,
        ("Situation", "9"),
        ("Situation", ""),
        ("Which of them, with commas", "cpu,nonsense"),
        ("Which of them, with commas", "cpu,memory"),
        ("Add a channel?", "y"),
        ("Its name", "on/call"),
        ("must hold no slash", "ops"),
        ("Its kind", "generic"),
        ("endpoint", "http://127.0.0.1:1/gone"),
        ("Set another of them", "secret"),
        ("kept in a file", "file"),
        ("secret (not shown)", SIGNING),
        ("Set another of them", ""),
        ("Add a channel?", "n"),
        ("Send a test message through ops?", "y"),
        ("Try again, correct it", "correct"),
        ("endpoint", f"{http_sink.url}/hook"),
        ("Set another of them", ""),
        ("Check how often", "2s"),
        ("Check how often", "10m"),
        ("Apply this?", "y"),
        ("Write it to a file as well?", "y"),
        ("File", "/no/such/folder/watchkeeper.yaml"),
        ("cannot be written", str(home.with_name("written.yaml"))),
    )

    assert ended(terminal) == 0
    assert "hook" in home.with_name("written.yaml").read_text()
    assert len(http_sink.requests) == 1
    with saved.read() as session:
        channel, monitor = channels.find(session, "ops"), definitions.find(session, "local-monitor")
    assert channel is not None
    assert monitor is not None
    kept = home / "secrets/channel-ops-secret"
    assert channel.config == {"endpoint": f"{http_sink.url}/hook", "secret": {"file": str(kept)}}
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (SIGNING, 0o600)
    assert monitor.schedule is not None
    assert monitor.schedule["every_seconds"] == 600
    assert monitor.config["nodes"][0]["config"]["checker_names"] == ["cpu", "memory"]
    assert SIGNING not in shown.getvalue()


def test_the_second_session_shows_what_is_there_and_changes_nothing(
    terminal: Any, saved: Database, home: Path
) -> None:
    first = watchkeeper(
        *("setup", "--yes", "--preset", "health-checked", "--channel", CHANNEL),
        *("--source", "grafana", "--source", "zabbix", "--checkers", "cpu,load"),
    )
    assert first.code == 0, first.stderr
    token = home / "secrets/webhook-token-grafana"
    before = (kept_auth_text(home), token.read_text())

    answer(terminal, ("(health-checked): ", ""), ("(cpu,load): ", ""), ("(n): ", ""), ("(grafana,zabbix): ", ""))

    assert ended(terminal) == 0
    assert "nothing to change" in terminal.before
    assert "alerts/webhook/grafana/?pipeline=health-checked" in terminal.before
    assert (kept_auth_text(home), token.read_text()) == before
    with saved.read() as session:
        rules, definition = routes.current(session), definitions.find(session, "health-checked")
    assert rules is not None
    assert (rules.version, rules.default_pipeline) == (1, "health-checked")
    assert definition is not None
    assert definition.version == 2
    ready = (home / "vendor/zabbix_media_type.yaml").read_text()
    assert "http://127.0.0.1:8420/alerts/webhook/zabbix/" in ready
    assert "watchkeeper.example.net" not in ready


@pytest.mark.parametrize("key", ["c", "d"])
def test_what_is_broken_off_leaves_nothing(terminal: Any, saved: Database, home: Path, key: str) -> None:
    answer(
        terminal,
        ("Situation", "direct"),
        ("Add a channel?", "y"),
        ("Its name", "ops"),
        ("Its kind", "slack"),
        ("kept in a file", "file"),
        ("webhook_url (not shown)", "https://hooks.slack.com/services/T0/B0/hunter2"),
        ("Set another of them", ""),
        ("Add a channel?", "n"),
        ("Send a test message", "n"),
        ("Which of them will post", "grafana"),
    )
    terminal.expect_exact("Apply this?")
    terminal.sendcontrol(key)

    assert ended(terminal) == 130
    assert "nothing was changed" in terminal.before
    assert not home.exists()
    with saved.read() as session:
        assert (channels.list_channels(session), routes.current(session)) == ([], None)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "no terminal"),
        (("--yes",), "--preset: missing"),
        (("--yes", "--preset", "nosuch"), "--preset: 'nosuch' is none of"),
        (("--yes", "--preset", "full"), "--channel: missing"),
        (
            ("--yes", "--preset", "full", "--channel", 'o=slack:{"webhook_url": "https://a.b/hunter2"}'),
            "a reference",
        ),
        (("--yes", "--preset", "full", "--channel", CHANNEL, "--source", "nosuch"), "--source: unknown source"),
        (("--yes", "--preset", "local-monitor", "--channel", CHANNEL, "--every", "1s"), "--every: "),
        (("--yes", "--preset", "full", "--provider", "openai"), "--provider: "),
        (("--yes", "--preset", "direct", "--channel", CHANNEL, "--provider", "local"), "direct has no use for it"),
        (("--file", "x.yaml", "--preset", "full"), "--file: "),
    ],
    ids=[
        "no-terminal",
        "preset",
        "unknown-preset",
        "channel",
        "clear-secret",
        "source",
        "every",
        "provider",
        "needless",
        "file-and-flags",
    ],
)
def test_a_script_is_told_which_flag_is_missing_or_wrong(
    home: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    refused = watchkeeper("setup", *flags)

    assert refused.code == 2
    assert refused.stderr.startswith("watchkeeper: ")
    assert said in refused.stderr
    assert "hunter2" not in refused.stderr
    assert not home.exists()


def kept_auth_text(home: Path) -> str:
    return (home / kept_auth.NAME).read_text()
