import subprocess
import time
from pathlib import Path

import pytest

from tasks.check.readings import programs


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is no more than a script yet, called `tell`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "tell"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_program_is_told_by_its_code_and_what_it_said(program: Path) -> None:
    write(program, 'echo "$1 and $2"; printf "not\\n good\\n" >&2; exit 3')

    ended = programs.run("tell", "a b", "c", timeout_seconds=5)

    assert ended == (3, "a b and c\n", "not\n good\n")
    assert ended.complaint == "not good"


def test_a_program_gets_nothing_of_our_environment_and_no_input(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_SECRET", "hunter2")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    write(program, "cat; env")

    said = programs.run("tell", timeout_seconds=5).output

    assert "LC_ALL=C\n" in said
    assert "hunter2" not in said


def test_of_a_program_that_says_too_much_the_beginning_is_kept(program: Path) -> None:
    write(program, "printf 'first\\n'; yes | head -c 1000000")

    said = programs.run("tell", timeout_seconds=20).output

    assert said.startswith("first\ny\n")
    assert len(said) == programs.MAX_OUTPUT_CHARS


def test_bytes_that_are_no_text_become_text_that_a_database_takes(program: Path) -> None:
    write(program, r"printf 'caf\351\000'")

    assert programs.run("tell", timeout_seconds=5).output == "caf\ufffd"


def test_a_program_that_hangs_is_ended(program: Path) -> None:
    write(program, "exec sleep 60")
    started = time.monotonic()

    with pytest.raises(subprocess.TimeoutExpired, match="tell"):
        programs.run("tell", timeout_seconds=0.2)

    assert time.monotonic() - started < 2


def test_a_program_is_found_where_a_service_accounts_path_does_not_lead(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(program, "echo found")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(programs, "ADMIN_FOLDERS", str(program.parent))

    assert programs.run("tell", timeout_seconds=5).output == "found\n"


def test_a_program_that_is_not_there_is_no_such_file() -> None:
    with pytest.raises(FileNotFoundError, match="No such file or directory: 'tell'"):
        programs.run("tell", timeout_seconds=5)


def test_what_is_no_program_is_not_taken_for_one(program: Path) -> None:
    program.write_text("text")  # to run it would be a lack of rights, which means another thing

    with pytest.raises(FileNotFoundError):
        programs.run("tell", timeout_seconds=5)
