"""The commands as a person types them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest

from deployments.cli import UNREAD, app, main
from deployments.errors import EXPECTED, EXPECTED_OF_DATABASE, EXPECTED_OF_SETTINGS


def watchkeeper(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WATCHKEEPER_", "PREFECT_"))}
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        env={**clean, "WATCHKEEPER_HOME": str(home), "WATCHKEEPER_DATABASE_URL": f"sqlite:///{home}/w.db", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["up"],
        ["demo"],
        ["channels"],
        ["channels", "add"],
        ["test-notify"],
        ["test-notify", "generic"],
        ["deliveries"],
        ["parse"],
        ["check-health"],
        ["run-check"],
        ["run-check", "cpu"],
        ["get-recommendations"],
        ["providers"],
        ["providers", "add"],
        ["eval"],
        ["definitions"],
        ["routes"],
        ["trace"],
        ["report"],
        ["prune"],
        ["run-pipeline"],
        ["resume"],
        ["monitor-pipeline"],
    ],
)
def test_help_is_shown_without_importing_prefect(tmp_path: Path, command: list[str]) -> None:
    result = watchkeeper(tmp_path, *command, "--help", PYTHONPROFILEIMPORTTIME="1")

    assert result.returncode == 0
    assert "Usage" in result.stdout
    assert not re.search(r"\|\s+prefect$", result.stderr, re.MULTILINE)


def test_help_lists_every_command_with_what_it_is_for(tmp_path: Path) -> None:
    result = watchkeeper(tmp_path, "--help", COLUMNS="200")

    for name in [name for name in app if not name.startswith("-")]:
        assert re.search(rf"{name} +[A-Z].+\.", result.stdout), name


def test_commands_own_help_has_the_whole_of_its_text(tmp_path: Path) -> None:
    said = {
        name: watchkeeper(tmp_path, name, "--help", COLUMNS="200").stdout
        for name in ("parse", "check-health", "run-check")
    }

    assert "Exits with 0 if it could be parsed, else with 1 and the reason." in said["parse"]
    assert "3 unknown or wrong use" in said["check-health"]
    assert "Flags win over --config" in said["run-check"]


@pytest.mark.parametrize("arguments", [["nosuch"], ["--nosuch"], ["channels", "nosuch"], ["up", "--nosuch"]])
def test_wrong_use_is_named(tmp_path: Path, arguments: list[str]) -> None:
    result = watchkeeper(tmp_path, *arguments)

    assert result.returncode == 2
    assert "nosuch" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", sorted({*EXPECTED, EXPECTED_OF_SETTINGS, EXPECTED_OF_DATABASE}))
def test_errors_that_are_known_by_name_are_there(name: str) -> None:
    assert issubclass(resolve_name(name), Exception)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WATCHKEEPER_PORT", "x"), ("WATCHKEEPER_SLOTS", "0"), ("ORCHESTRATION_BACKOFF_FACTOR", "-1")],
)
def test_wrong_setting_is_refused_by_its_name(tmp_path: Path, variable: str, value: str) -> None:
    result = watchkeeper(tmp_path, "up", **{variable: value})

    assert result.returncode == 2
    assert variable in result.stderr
    assert "Traceback" not in result.stderr


def test_unusable_database_url_is_refused_without_repeating_it(tmp_path: Path) -> None:
    result = watchkeeper(tmp_path, "channels", "list", WATCHKEEPER_DATABASE_URL="mysql://root:hunter2@x/y")

    assert result.returncode == 1
    assert "WATCHKEEPER_DATABASE_URL" in result.stderr
    assert "hunter2" not in result.stderr + result.stdout


def test_up_with_a_public_address_and_no_token_is_refused(tmp_path: Path) -> None:
    result = watchkeeper(tmp_path, "up", "--host", "0.0.0.0")

    assert result.returncode == 1
    assert "WATCHKEEPER_WEBHOOK_TOKEN" in result.stderr


def test_up_without_a_server_wants_to_know_which_one(tmp_path: Path) -> None:
    result = watchkeeper(tmp_path, "up", "--no-server")

    assert result.returncode == 1
    assert "PREFECT_API_URL" in result.stderr


def test_database_that_cannot_be_reached_is_said_in_one_line(tmp_path: Path) -> None:
    result = watchkeeper(
        tmp_path, "channels", "list", WATCHKEEPER_DATABASE_URL="postgresql://nobody:hunter2@127.0.0.1:1/x"
    )

    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_command_whose_output_nobody_reads_to_its_end_says_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    unread, end = os.pipe()
    os.close(unread)
    monkeypatch.setattr("sys.argv", ["watchkeeper", "definitions", "schema"])

    with os.fdopen(end, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(SystemExit) as ended:
            main()

    assert ended.value.code == UNREAD
