import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from ended import is_gone
from hung_mount import hung_mount, taken_mount

from storage.vocabulary import CheckStatus
from tasks.check import apart
from tasks.errors import PermanentError


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]


def test_results_come_in_the_order_named_with_a_snapshot_of_the_host() -> None:
    measured = apart.measure(["disk", "memory"], {"disk": {"paths": ["/"]}})

    assert [result.checker_name for result in measured.results] == ["disk", "memory"]
    assert not [result.error for result in measured.results if result.error]
    assert measured.evidence["hostname"] == os.uname().nodename
    assert measured.evidence["memory"]["total_gb"] > 0
    assert "errors" not in measured.evidence


def test_a_config_reaches_its_checker() -> None:
    measured = apart.measure(["memory"], {"memory": {"warning_threshold": 0, "critical_threshold": 0}})

    assert measured.results[0].status is CheckStatus.CRITICAL


def test_a_wrong_config_is_refused_before_anything_is_started() -> None:
    with pytest.raises(PermanentError, match="checker memory: unknown config key 'wraning'"):
        apart.measure(["memory"], {"memory": {"wraning": 1}})


def test_nothing_is_left_running() -> None:
    before = children()

    apart.measure(["memory"], {})

    assert children() == before


def test_a_hung_mount_costs_the_timeout_and_leaves_no_process_behind() -> None:
    with hung_mount() as path:
        before = children()
        started = time.monotonic()

        measured = apart.measure(["disk", "memory"], {"disk": {"paths": ["/", str(path)], "timeout": 1}})

        took = time.monotonic() - started
        assert children() == before
    disk, memory = measured.results
    assert took < 4
    assert disk.status is CheckStatus.UNKNOWN
    assert str(path) in disk.message
    assert disk.metrics["disks"]["/"]["percent"] > 0
    assert memory.status is CheckStatus.OK


def test_a_child_that_the_kernel_holds_does_not_hold_up_the_answer(tmp_path: Path) -> None:
    started = time.monotonic()

    with taken_mount(tmp_path / "taken") as path:
        measured = apart.measure(["disk", "memory"], {"disk": {"paths": ["/", str(path)], "timeout": 1}})
        took = time.monotonic() - started

    disk, memory = measured.results
    assert took < 6
    assert (disk.status, memory.status) == (CheckStatus.UNKNOWN, CheckStatus.OK)
    assert disk.metrics["disks"].keys() == {"/"}
    assert measured.evidence["memory"]["total_gb"] > 0


def test_no_checker_takes_longer_than_they_all_may_whatever_its_timeout() -> None:
    with hung_mount() as path:
        started = time.monotonic()
        configs = {"disk": {"paths": [str(path)], "timeout": 600}}

        measured = apart.measure(["disk", "memory"], configs, within_seconds=1)

        assert time.monotonic() - started < 8
    assert measured.results[0].error == "timed out after 1 s"
    assert measured.results[1].status is CheckStatus.OK


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the checkers' process ended with code -9"),
        ("raise SystemExit('no such module')", "the checkers' process ended with code 1: no such module"),
        ("print('{')", "the checkers' process ended with code 0"),
        ("print('{}')", "the checkers' process ended with code 0"),
        ("print('[]')", "the checkers' process ended with code 0"),
    ],
)
def test_a_child_that_dies_makes_every_checker_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, reason: str
) -> None:
    run_instead(monkeypatch, tmp_path, program)

    measured = apart.measure(["memory", "disk"], {})

    assert [(result.status, result.error) for result in measured.results] == [(CheckStatus.UNKNOWN, reason)] * 2
    assert measured.results[0].warning_threshold == 70
    assert measured.evidence == {"errors": [reason]}


def test_a_child_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(
        monkeypatch, tmp_path, "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    )
    monkeypatch.setattr(apart, "START_SECONDS", 0.5)
    monkeypatch.setattr(apart, "EVIDENCE_SECONDS", 0.1)
    before = children()

    measured = apart.measure(["memory"], {"memory": {"timeout": 0.5}})

    assert measured.results[0].error == "the checkers' process did not answer within 1 s"
    assert children() == before


def run_instead(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    """Another program in the place of this interpreter."""
    script = folder / "python"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def checker_instead(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    """Another checker in the place of the child's `memory`."""
    program = """
import math, os, subprocess, sys, time
from tasks.check import child
from tasks.check.checkers.base import conclude, state
from tasks.check.checkers.memory import Memory

def measured(sentence="fine", **metrics):
    return conclude("memory", [state("ok", sentence)], metrics=metrics)

def measure(self):
{body}

Memory.measure = measure
child.main()
"""
    run_instead(monkeypatch, folder, program.replace("{body}", textwrap.indent(body, "    ")))


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (r"return measured('a\ud800b\0c', d='\udfff')", CheckStatus.OK, "a\ufffdb\ufffdc"),
        (r"raise ValueError('a\ud800b\0c')", CheckStatus.UNKNOWN, "ValueError: a\ufffdb\ufffdc"),
        (
            r"return measured(a=b'\xff')",
            CheckStatus.UNKNOWN,
            "metrics cannot be stored: Object of type bytes is not JSON serializable",
        ),
        (
            "metrics = {}; metrics['a'] = metrics; return measured(**metrics)",
            CheckStatus.UNKNOWN,
            "metrics cannot be stored: Circular reference detected",
        ),
        ("return measured(a=math.nan, b=[-math.inf])", CheckStatus.OK, "fine"),
        ("print('x' * 100); sys.stdout.flush(); return measured()", CheckStatus.OK, "fine"),
        ("subprocess.run(['echo', 'x' * 100]); return measured()", CheckStatus.OK, "fine"),
        ("sys.stderr.write('x' * 1_000_000); return measured()", CheckStatus.OK, "fine"),
    ],
)
def test_a_checker_that_says_odd_things_spoils_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, status: CheckStatus, says: str
) -> None:
    checker_instead(monkeypatch, tmp_path, body)

    memory, load = apart.measure(["memory", "load"], {}).results

    assert (memory.status, memory.message) == (status, says)
    assert load.error is None


def test_the_last_that_a_dying_child_says_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = "import sys; sys.stderr.write('x' * 1_000_000 + chr(10)); raise SystemExit('out of \\0 luck')"
    run_instead(monkeypatch, tmp_path, program)

    measured = apart.measure(["memory"], {})

    assert measured.results[0].error == "the checkers' process ended with code 1: out of \ufffd luck"
    assert measured.evidence == {"errors": [measured.results[0].error]}


def test_a_child_that_complains_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(monkeypatch, tmp_path, "import sys\nwhile True: sys.stderr.write('x' * 10_000)")
    monkeypatch.setattr(apart, "START_SECONDS", 0.5)
    monkeypatch.setattr(apart, "EVIDENCE_SECONDS", 0.1)

    measured = apart.measure(["memory"], {"memory": {"timeout": 0.5}})

    assert measured.results[0].error == "the checkers' process did not answer within 1 s"


@pytest.mark.parametrize(
    ("body", "evidence"),
    [
        (r"return {'a\ud800': ['b\0']}", {"a\ufffd": ["b\ufffd"]}),
        (r"raise ValueError('a\ud800')", {"errors": ["ValueError: a\ufffd"]}),
    ],
)
def test_an_odd_snapshot_spoils_no_checker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, evidence: dict[str, object]
) -> None:
    program = f"from tasks.check import child\ndef snapshot(): {body}\nchild.snapshot = snapshot\nchild.main()"
    run_instead(monkeypatch, tmp_path, program)

    measured = apart.measure(["memory"], {})

    assert measured.results[0].error is None
    assert measured.evidence == evidence


def test_an_interpreter_that_is_gone_makes_every_checker_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/gone/python")

    measured = apart.measure(["memory", "disk"], {})

    reason = "the checkers' process could not be started: [Errno 2] No such file or directory: '/gone/python'"
    assert [(result.status, result.error) for result in measured.results] == [(CheckStatus.UNKNOWN, reason)] * 2
    assert measured.evidence == {"errors": [reason]}


def test_a_host_out_of_descriptors_makes_every_checker_unknown() -> None:
    """In a process of its own, which has used up all that it may open."""
    program = """
import os, resource
from tasks.check import apart
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
while True:
    try:
        os.dup(2)
    except OSError:
        break
print(apart.measure(["memory"], {}).results[0].error)
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert ended.stdout == "the checkers' process could not be started: [Errno 24] Too many open files\n"


def test_what_a_killed_child_started_ends_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid_path = tmp_path / "pid"
    body = f"""
process = subprocess.Popen(["sleep", "60"])
open({str(pid_path)!r}, "w").write(str(process.pid))
os.kill(os.getpid(), 9)
"""
    checker_instead(monkeypatch, tmp_path, body)

    measured = apart.measure(["memory"], {})

    assert measured.results[0].error == "the checkers' process ended with code -9"
    assert is_gone(int(pid_path.read_text()))


def test_a_process_that_left_the_group_does_not_hold_up_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid_path = tmp_path / "pid"
    body = f"""
pid = os.fork()
if not pid:
    os.setsid()
    time.sleep(60)
    os._exit(0)
open({str(pid_path)!r}, "w").write(str(pid))
return measured()
"""
    checker_instead(monkeypatch, tmp_path, body)
    started = time.monotonic()

    try:
        measured = apart.measure(["memory"], {"memory": {"timeout": 2}})
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid_path.read_text()), signal.SIGKILL)

    assert measured.results[0].status is CheckStatus.OK
    assert time.monotonic() - started < 5
