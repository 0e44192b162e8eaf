"""`watchkeeper parse`: what it prints, and that it touches nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Said, watchkeeper

from tasks.ingest.sources import SOURCES

FIELDS = [
    "name",
    "severity",
    "raw_severity",
    "status",
    "fingerprint",
    "started_at",
    "ended_at",
    "lifecycle",
    "labels",
    "annotations",
    "description",
]


@pytest.fixture(autouse=True)
def unusable_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that asked for the database or the home would fail."""
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path / "home"))


def parsed(said: Said) -> dict[str, object]:
    """The JSON on standard output; everything of it, and strict."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(said.stdout, parse_constant=refuse)


def test_body_is_printed_as_the_alerts_it_would_become(payloads: Path, tmp_path: Path) -> None:
    said = watchkeeper("parse", str(payloads / "generic/01_simple_firing.json"))

    assert (said.code, said.stderr) == (0, "")
    form = parsed(said)
    assert list(form) == ["source", "alerts", "errors"]
    assert (form["source"], form["errors"]) == ("generic", [])
    [alert] = form["alerts"]
    assert list(alert) == FIELDS
    assert alert["name"] == "nightly-backup failed"
    assert (alert["severity"], alert["status"], alert["lifecycle"]) == ("critical", "firing", None)
    assert (alert["started_at"], alert["ended_at"]) == ("2026-09-20T23:35:00Z", None)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [["-"], []])
def test_body_may_come_on_standard_input(arguments: list[str]) -> None:
    said = watchkeeper("parse", *arguments, stdin=b'{"name": "Disk full"}')

    assert said.code == 0
    assert parsed(said)["alerts"][0]["name"] == "Disk full"


def test_what_the_payload_leaves_out_is_warning_and_null() -> None:
    [alert] = parsed(watchkeeper("parse", stdin=b'{"name": "Disk full"}'))["alerts"]

    assert (alert["severity"], alert["raw_severity"]) == ("warning", "")
    assert (alert["started_at"], alert["ended_at"]) == (None, None)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-09-14T05:31:45+02:00", "2026-09-14T03:31:45Z"),
        ("2026-09-14T03:31:45.118Z", "2026-09-14T03:31:45.118Z"),
        ("2026-09-14T03:31:45.118123456Z", "2026-09-14T03:31:45.118123Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(written: str, shown: str) -> None:
    said = watchkeeper("parse", stdin=json.dumps({"name": "x", "started_at": written}).encode())

    assert parsed(said)["alerts"][0]["started_at"] == shown


def test_named_source_reads_the_body_whatever_it_looks_like() -> None:
    said = watchkeeper("parse", "--source", "alertmanager", stdin=b'{"name": "Disk full"}')

    assert said.code == 1
    form = parsed(said)
    assert (form["source"], form["alerts"]) == ("alertmanager", [])
    [error] = form["errors"]
    assert error in said.stderr


def test_alert_that_cannot_be_read_stands_beside_those_that_can() -> None:
    said = watchkeeper("parse", stdin=b'{"alerts": [{"name": "a"}, 5]}')

    assert said.code == 0
    form = parsed(said)
    assert [alert["name"] for alert in form["alerts"]] == ["a"]
    assert form["errors"] == ["alerts[1]: must be an object"]


def test_body_of_which_no_alert_can_be_read_has_failed() -> None:
    said = watchkeeper("parse", stdin=b'{"alerts": [5, 6]}')

    assert said.code == 1
    assert parsed(said) == {
        "source": "generic",
        "alerts": [],
        "errors": ["alerts[0]: must be an object", "alerts[1]: must be an object"],
    }
    assert "alerts[0]: must be an object" in said.stderr


def test_empty_list_of_alerts_is_no_fault(payloads: Path) -> None:
    said = watchkeeper("parse", str(payloads / "nasty/01_empty_alerts_list.json"))

    assert said.code == 0
    assert parsed(said)["alerts"] == parsed(said)["errors"] == []


@pytest.mark.parametrize(
    "body", [b"", b"nothing", b"5", b"null", b"[]", b'{"a": 1}', b'{"name": "x"', b"\xff\xfe"]
)
def test_body_that_nothing_can_be_made_of_fails_with_the_reason(body: bytes) -> None:
    said = watchkeeper("parse", stdin=body)

    assert said.code == 1
    form = parsed(said)
    assert (form["source"], form["alerts"]) == (None, [])
    [reason] = form["errors"]
    assert said.stderr == f"watchkeeper: {reason}\n"


def test_a_hundred_thousand_brackets_are_refused() -> None:
    said = watchkeeper("parse", stdin=b"[" * 100_000)

    assert said.code == 1
    assert "deeper" in said.stderr


def test_form_is_read_as_the_json_in_it() -> None:
    said = watchkeeper("parse", stdin=b"payload=%7B%22name%22%3A+%22Disk+full%22%7D&b=1")

    assert said.code == 0
    assert parsed(said)["alerts"][0]["name"] == "Disk full"


def test_unknown_source_is_refused_with_the_known_ones() -> None:
    said = watchkeeper("parse", "--source", "pigeon", stdin=b"{}")

    assert said.code == 1
    for known in ("pigeon", *SOURCES):
        assert known in said.stderr
    assert parsed(said)["source"] is None


@pytest.mark.parametrize("name", ["missing.json", ""])
def test_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    said = watchkeeper("parse", str(tmp_path / name))

    assert said.code == 1
    assert str(tmp_path / name) in said.stderr
    assert parsed(said)["alerts"] == []


def test_what_no_database_and_no_terminal_takes_is_replaced() -> None:
    said = watchkeeper("parse", stdin=rb'{"name": "a\ud800b\u0000c", "severity": NaN, "labels": {"x": Infinity}}')

    assert said.code == 0
    [alert] = parsed(said)["alerts"]
    assert alert["name"] == "a\ufffdb\ufffdc"
    assert "Infinity" in alert["labels"]["x"]


def test_process_needs_neither_prefect_nor_a_home(tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WATCHKEEPER_", "PREFECT_"))}
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "deployments.cli", "parse", "-"],
        env={**clean, "WATCHKEEPER_HOME": str(tmp_path / "home"), "LC_ALL": "C", "PYTHONUTF8": "0"},
        input='{"name": "Диск полон"}'.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0
    assert json.loads(result.stdout)["alerts"][0]["name"] == "Диск полон"
    assert not re.search(rb"\|\s+(prefect|flask)$", result.stderr, re.MULTILINE)
    assert not (tmp_path / "home").exists()


def test_person_at_a_terminal_is_told_that_the_body_is_waited_for() -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "deployments.cli", "parse"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.write(ours, b'{"name": "Disk full"}\n\x04')
        stdout, stderr = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)

    assert b"Ctrl-D" in stderr
    assert b"Disk full" in stdout


def test_zone_of_the_source_is_that_of_the_settings(payloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_SOURCE_TIMEZONES", '{"zabbix": "Europe/Berlin"}')

    said = watchkeeper("parse", str(payloads / "zabbix/01_problem_high.json"))

    assert json.loads(said.stdout)["alerts"][0]["started_at"] == "2026-09-17T21:58:41Z"
