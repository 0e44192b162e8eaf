"""`watchkeeper doctor`: each fault provoked for real, as far as that is cheap."""

import json
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from commands import Said, watchkeeper
from rows import add_delivery
from sinks import Answer, HttpSink
from sqlalchemy import text

from storage import channels, definitions, migrate, runs, workers
from storage.database import Database
from storage.tables.base import utc_now
from storage.tables.pruning import Pruning
from tasks.definition.library import save_presets


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with nothing that runs."""
    with socket.socket() as closed, socket.socket() as other:
        for listener in (closed, other):
            listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WATCHKEEPER_PORT", str(closed.getsockname()[1]))
        monkeypatch.setenv("WATCHKEEPER_PREFECT_PORT", str(other.getsockname()[1]))
    monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def found_by(said: Said) -> dict[str, list[tuple[str, str]]]:
    """Level and message of each finding, by check."""
    found: dict[str, list[tuple[str, str]]] = {}
    for each in json.loads(said.stdout)["checks"]:
        assert each["remedy"] or each["level"] in ("ok", "unknown"), "it says what to do"
        found.setdefault(each["check"], []).append((each["level"], each["message"]))
    return found


def doctor() -> dict[str, Any]:
    return found_by(watchkeeper("doctor", "--json"))


def test_works_with_everything_down_and_makes_nothing(home: Path) -> None:
    begun_at = time.monotonic()

    said = watchkeeper("doctor")

    assert said.code == 1
    assert "no database was made yet" in said.text
    assert "start `watchkeeper up`" in said.text
    assert "Traceback" not in said.text + said.stderr
    assert list(home.iterdir()) == []
    assert time.monotonic() - begun_at < 12


def test_says_what_the_database_tells_of(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    with database.write() as session:
        save_presets(session)
        channels.add_channel(session, name="well", driver="generic", config={"endpoint": http_sink.url})
        lost = {"webhook_url": {"env": "NO_SUCH_SECRET"}}
        channels.add_channel(session, name="lost", driver="slack", config=lost)
        workers.beat(session, owner="one", hostname="host-1", pid=7, slots=4, in_flight=0, has_prefect=False)
        add_delivery(session, received_at=utc_now() - timedelta(minutes=10))
        run = runs.create_run(session, definition_name="full", definition_version=1)
        run.lease_expires_at = utc_now() - timedelta(minutes=10)
        session.add(Pruning(name="runs", pruned_at=utc_now() - timedelta(hours=3)))

    found = doctor()

    assert found["database"][0][0] == found["migrations"][0][0] == "ok"
    assert sorted(level for level, _ in found["channels"]) == ["fault", "ok"]
    assert any("'NO_SUCH_SECRET' is not set" in message for _, message in found["channels"])
    [(level, message)] = found["worker"]
    assert (level, "host-1 (pid 7)" in message, "does not reach Prefect" in message) == ("warning", True, True)
    assert found["inbox"][0][0] == "fault"
    assert found["runs"][0] == ("fault", "left behind, with nobody to take them up: 1")
    assert found["prefect"][0][0] == "fault"
    assert found["deployments"][0][0] == "unknown"
    assert found["provider"] == [("ok", "local (local) is asked")]
    [(level, message)] = found["retention"]
    assert (level, "though it is due every hour" in message) == ("warning", True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_schedule_that_only_up_knows_of_is_found_in_prefect(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpSink(default=Answer(200, body=b'{"schedules": [{"active": true}]}')) as server:
        monkeypatch.setenv("WATCHKEEPER_PREFECT_PORT", server.url.rstrip("/").rpartition(":")[2])
        scheduled = doctor()["schedules"]
    with HttpSink(default=Answer(200, body=b'{"schedules": [{"active": false}]}')) as server:
        monkeypatch.setenv("WATCHKEEPER_PREFECT_PORT", server.url.rstrip("/").rpartition(":")[2])
        [(level, message)] = doctor()["schedules"]

    assert scheduled == [("ok", "local-monitor: on in Prefect")]
    assert (level, "not checked" in message) == ("ok", True)
    assert database.is_sqlite


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_says_that_nobody_is_told_and_that_nobody_works(database: Database) -> None:
    found = doctor()

    assert found["channels"] == [("fault", "none is active: nobody is told anything")]
    assert found["worker"][0][0] == "fault"
    assert database.is_sqlite


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_tables_of_an_older_version_are_a_fault(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))

    found = doctor()

    assert found["migrations"] == [("fault", f"at 0001, and this version needs {migrate.head()}")]


def test_credential_that_others_may_read_is_a_fault(home: Path) -> None:
    (home / "prefect-auth").write_text("watchkeeper:secret")
    (home / "prefect-auth").chmod(0o644)

    found = doctor()

    assert [level for level, _ in found["home"]] == ["ok", "fault"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_prefect_server_is_asked_with_our_credential(
    database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "prefect-auth").write_text("watchkeeper:secret\n")
    (home / "prefect-auth").chmod(0o600)
    with database.write() as session:
        name = definitions.save(session, name="mine", config={"version": "1.0", "nodes": []}).name
    ours = {"X-From": "a server"}
    with HttpSink(default=Answer(404, headers=ours, body=b'"3.0.0"')) as server:
        monkeypatch.setenv("WATCHKEEPER_PREFECT_PORT", server.url.rstrip("/").rpartition(":")[2])
        missing = doctor()
        asked = server.requests[0].headers["Authorization"]
    with HttpSink(default=Answer(401)) as server:
        monkeypatch.setenv("WATCHKEEPER_PREFECT_PORT", server.url.rstrip("/").rpartition(":")[2])
        refused = doctor()
    with HttpSink(default=Answer(200, body=b'"3.0.0"')) as server:
        monkeypatch.setenv("WATCHKEEPER_PREFECT_PORT", server.url.rstrip("/").rpartition(":")[2])
        other = doctor()

    assert asked.startswith("Basic ")
    assert missing["deployments"] == [("fault", f"without a deployment: {name}")]
    assert "refuses our credential" in refused["prefect"][0][1]
    assert refused["prefect"][0][0] == "fault"
    assert other["prefect"][0][0] == "warning"
    assert "3.0.0" in other["prefect"][0][1]
    assert "secret" not in json.dumps([missing, refused, other]).replace("webhook secret", "")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_send_tries_every_active_channel(database: Database, http_sink: HttpSink) -> None:
    with HttpSink(default=Answer(500)) as broken:
        with database.write() as session:
            channels.add_channel(session, name="well", driver="generic", config={"endpoint": http_sink.url})
            channels.add_channel(session, name="broken", driver="generic", config={"endpoint": broken.url})
        found = found_by(watchkeeper("doctor", "--send", "--json"))

    assert sorted(level for level, _ in found["sending"]) == ["fault", "ok"]
    assert len(http_sink.requests) == 1


def test_clock_that_is_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpSink(default=Answer(200, headers={"Date": "Sat, 01 Jan 2022 00:00:00 GMT"})) as server:
        monkeypatch.setenv("WATCHKEEPER_PREFECT_PORT", server.url.rstrip("/").rpartition(":")[2])
        [(level, message)] = doctor()["clock"]

    assert (level, "behind this machine" in message) == ("fault", True)


def test_wrong_setting_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATSD_PORT", "many")

    said = watchkeeper("doctor")

    assert (said.code, said.text) == (2, "")
    assert said.stderr.startswith("watchkeeper: STATSD_PORT: ")
