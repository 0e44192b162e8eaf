"""Measuring in a fork, with checkers of all bad kinds."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from deployments.commands import check_fork
from deployments.commands.check_fork import measured
from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import Checker, CheckerConfig


@dataclass(frozen=True)
class Good(Checker):
    kind: ClassVar[str] = "good"
    measures: ClassVar[str] = "nothing"
    Config: ClassVar[type[CheckerConfig]] = CheckerConfig
    config: CheckerConfig

    def measure(self) -> CheckResult:
        return CheckResult(
            checker_name=self.kind, status=CheckStatus.OK, message="ö", metrics={"pid": os.getpid()}
        )


class Hog(Good):
    """Lets no other thread of its process run."""

    def measure(self) -> CheckResult:
        re.match(r"(a+)+b", "a" * 50)
        raise AssertionError("that takes years")


class Dead(Good):
    def measure(self) -> CheckResult:
        os._exit(1)


class Talkative(Good):
    def measure(self) -> CheckResult:
        return super().measure().model_copy(update={"metrics": {"text": "x" * 3_000_000}})


@dataclass(frozen=True)
class Parent(Good):
    """Leaves a process behind at its timeout."""

    path: Path = Path()

    def measure(self) -> CheckResult:
        with subprocess.Popen(["sleep", "300"]) as process:
            self.path.write_text(str(process.pid))
        return super().measure()


def test_results_come_in_order_from_one_other_process_that_is_gone() -> None:
    results = measured([Good(CheckerConfig()), Talkative(CheckerConfig()), Good(CheckerConfig())])

    pids = [result.metrics.get("pid") for result in results]
    assert pids[0] == pids[2] != os.getpid()
    assert results[0].message == "ö"
    assert len(results[1].metrics["text"]) == 3_000_000
    assert not psutil.pid_exists(pids[0])


def test_a_fork_that_lets_no_thread_run_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_fork, "GRACE_SECONDS", 0.5)
    before = psutil.Process().children()
    started = time.monotonic()

    [good, hog] = measured([Good(CheckerConfig(timeout=0.1)), Hog(CheckerConfig(timeout=0.1))])

    assert time.monotonic() - started < 3
    assert (hog.status, hog.error) == (CheckStatus.UNKNOWN, "the checkers' process did not answer")
    assert good.status is CheckStatus.UNKNOWN
    assert psutil.Process().children() == before


def test_a_fork_that_dies_makes_all_unknown() -> None:
    results = measured([Good(CheckerConfig()), Dead(CheckerConfig())])

    assert [result.error for result in results] == ["the checkers' process died"] * 2


def test_what_a_checker_started_ends_with_it(tmp_path: Path) -> None:
    pid_path = tmp_path / "pid"

    [result] = measured([Parent(CheckerConfig(timeout=0.5), path=pid_path)])

    assert result.error == "timed out after 0.5 s"
    assert not psutil.pid_exists(int(pid_path.read_text())) or _is_zombie(int(pid_path.read_text()))


def test_a_fault_of_ours_is_raised_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_checkers(_: object) -> list[CheckResult]:
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(check_fork, "run_checkers", run_checkers)

    with pytest.raises(RuntimeError, match=r"(?s)in run_checkers.*ZeroDivisionError: our fault"):
        measured([Good(CheckerConfig())])


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_command_without_all_standard_files_measures_too(closed: str) -> None:
    command = [sys.executable, "-m", "deployments.cli", "run-check", "memory"]

    said = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )

    assert "memory_percent" in said.stdout


def _is_zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
