import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from networks import ROOT
from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.process import Process
from tasks.check.readings import processes
from tasks.check.readings.processes import (
    MAX_LINE_CHARS,
    Seen,
    Wanted,
    matching,
    other_processes,
    read_process,
)

TOKEN = f"wk-token-{os.getpid()}"
WAIT = "import sys; print(flush=True); sys.stdin.read()"
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="compares with /proc")
Start = Callable[..., "subprocess.Popen[bytes]"]


def measure(*processes: Any, **config: Any) -> CheckResult:
    return Process(Process.Config.model_validate({"processes": list(processes), **config})).measure()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process uses is watched for a moment only, in which no processor's clock ticks."""
    monkeypatch.setattr(processes, "CPU_WINDOW_SECONDS", 0.001)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python under another name, and wait until it runs; all are ended after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, *arguments: str, code: str = WAIT, argv0: str | None = None) -> "subprocess.Popen[bytes]":
        program = tmp_path / name
        if not program.exists():
            program.symlink_to(Path(sys.executable).resolve())
        command = [argv0 or str(program), "-IS", "-c", code, *arguments]
        process = subprocess.Popen(command, executable=program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("running_percent", "status"),
    [
        (100, "ok"),
        (99.9, "warning"),
        (66.7, "warning"),
        (50, "warning"),
        (49.9, "critical"),
        (0, "critical"),
    ],
)
def test_fewer_running_processes_are_worse(running_percent: float, status: str) -> None:
    assert Process.Config().judge(running_percent) == status


@needs_proc
def test_a_running_process_is_found_by_its_name_and_told_as_proc_does(start: Start) -> None:
    process = start("wk-alone", code=f"ballast = bytearray(50_000_000); {WAIT}")

    result = measure("wk-alone")

    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":" in line
    )
    meminfo = Path("/proc/meminfo").read_text().split()
    told = result.metrics["processes"]["wk-alone"]
    assert told.keys() == {"running", "pid", "status", "count", "cpu_percent", "memory_percent"}
    assert (told["running"], told["pid"], told["count"]) == (True, process.pid, 1)
    assert status["State"].split()[1].strip("()") == told["status"] == "sleeping"
    assert told["memory_percent"] == pytest.approx(
        100 * int(status["VmRSS"].split()[0]) / int(meminfo[meminfo.index("MemTotal:") + 1]), rel=0.1, abs=0.01
    )
    assert told["memory_percent"] > 0
    assert (result.status, result.message) == (CheckStatus.OK, "100 % of 1 processes run")


@pytest.mark.skipif(not shutil.which("pgrep"), reason="compares with pgrep")
def test_pgrep_finds_as_many(start: Start) -> None:
    for _ in range(3):
        start("wk-several", TOKEN)
    first, *_ = pids = [int(pid) for pid in subprocess.check_output(["pgrep", "-x", "wk-several"]).split()]

    told = measure("wk-several", {"pattern": f"{TOKEN}$"}).metrics["processes"]

    assert len(pids) == 3
    for each in told.values():
        assert (each["count"], each["pid"]) == (3, first)


def test_what_does_not_run_is_missing_by_name(start: Start) -> None:
    start("wk-there")

    result = measure("wk-there", "wk-gone", {"pattern": "wk-gone --daemon", "name": "the gone one"})

    assert result.status is CheckStatus.CRITICAL
    assert result.message == ("33.3 % of 3 processes run, missing: wk-gone, the gone one (critical below 50 %)")
    assert (result.metrics["running_count"], result.metrics["total_count"]) == (1, 3)
    assert result.metrics["running_percent"] == 33.3
    assert result.metrics["processes"]["the gone one"] == {
        "running": False,
        "pid": None,
        "status": None,
        "count": 0,
        "cpu_percent": None,
        "memory_percent": None,
    }


def test_each_process_has_a_reading_and_what_is_missing_is_as_bad_as_the_share(start: Start) -> None:
    start("wk-here")

    result = measure("wk-gone", "wk-here")

    assert [(reading.target, reading.status) for reading in result.readings] == [
        ("wk-gone", CheckStatus.WARNING),
        ("wk-here", CheckStatus.OK),
    ]
    assert result.readings[0].message == f"wk-gone does not run; {result.message}"
    assert result.message == "50 % of 2 processes run, missing: wk-gone (warning below 100 %)"


def test_of_many_missing_the_message_names_the_first() -> None:
    message = measure(*(f"wk-gone-{number}" for number in range(8))).message

    assert "missing: wk-gone-0, wk-gone-1, wk-gone-2, wk-gone-3, wk-gone-4 and 3 more (critical" in message


def test_a_part_of_a_name_is_another_name(start: Start) -> None:
    start("wk-whole-name")

    assert measure("wk-whole", "whole-name", "WK-WHOLE-NAME").metrics["running_count"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux cuts names off")
def test_a_name_that_the_kernel_cut_off_is_known_in_full_and_only_in_full(start: Start) -> None:
    process = start("wk-a-name-of-more-than-fifteen")

    comm = Path(f"/proc/{process.pid}/comm").read_text().strip()
    told = measure("wk-a-name-of-more-than-fifteen", "wk-a-name-of-more-than-sixteen").metrics["processes"]
    assert comm == "wk-a-name-of-mo"
    assert [each["running"] for each in told.values()] == [True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a script goes by its interpreter's name")
@pytest.mark.parametrize("name", ["wk-script", "wk-a-script-of-more-than-fifteen"])
def test_a_script_is_known_by_its_own_name(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text("#!/bin/sh\necho\nread line\n")
    script.chmod(0o755)

    with subprocess.Popen([script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        told = measure(name).metrics["processes"][name]
        process.communicate()

    assert (told["running"], told["pid"]) == (True, process.pid)


def test_a_name_that_a_program_gave_itself_counts_too(start: Start) -> None:
    process = start("wk-program", argv0="/opt/wk/wk-renamed")

    told = measure("wk-program", "wk-renamed").metrics["processes"]

    assert [each["pid"] for each in told.values()] == [process.pid, process.pid]


def test_a_pattern_is_looked_for_in_the_whole_command_line(start: Start) -> None:
    process = start("wk-pattern", "--config", TOKEN)

    told = measure({"pattern": rf"wk-pattern .*--config {TOKEN}"}, {"pattern": f"--config={TOKEN}"})

    assert [each["pid"] for each in told.metrics["processes"].values()] == [process.pid, None]


def test_of_a_very_long_command_line_both_ends_count(start: Start) -> None:
    process = start("wk-long", "x" * MAX_LINE_CHARS * 2, TOKEN)

    told = measure({"pattern": "wk-long"}, {"pattern": TOKEN}).metrics["processes"]

    assert [each["pid"] for each in told.values()] == [process.pid, process.pid]


def test_a_line_is_cut_before_a_pattern_sees_it() -> None:
    seen = read_process({"pid": 5, "name": "java", "cmdline": ["java", "x" * 100_000], "status": "running"})

    assert len(seen.line) == MAX_LINE_CHARS + 1


@needs_proc
def test_a_zombie_does_not_run(start: Start) -> None:
    process = start("wk-zombie", code="print(flush=True)")
    # Not waited for, so that it stays one.
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)

    result = measure("wk-zombie")

    assert result.status is CheckStatus.CRITICAL
    assert f"missing: wk-zombie (zombie, pid {process.pid})" in result.message
    told = result.metrics["processes"]["wk-zombie"]
    assert (told["running"], told["status"], told["count"]) == (False, "zombie", 0)


@needs_proc
def test_a_zombie_beside_a_running_one_changes_nothing(start: Start) -> None:
    zombie = start("wk-mixed", code="print(flush=True)")
    running = start("wk-mixed")
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)

    told = measure("wk-mixed").metrics["processes"]["wk-mixed"]

    assert (told["running"], told["pid"], told["count"]) == (True, running.pid, 1)


@pytest.mark.parametrize(
    ("name", "words", "names"),
    [
        ("nginx", ["nginx: worker process"], {"nginx", "nginx: worker process"}),
        ("bash", ["-bash"], {"bash", "-bash"}),
        ("vim", ["vim", "vimrc"], {"vim"}),
        (
            "a-long-script-n",
            ["/bin/sh", "/opt/a-long-script-name"],
            {"a-long-script-n", "sh", "a-long-script-name"},
        ),
        ("a-long-script-n", ["/opt/a-long-script-name", "/etc/nginx"], {"a-long-script-n", "a-long-script-name"}),
    ],
)
def test_what_a_program_is_given_to_work_on_is_not_its_name(name: str, words: list[str], names: set[str]) -> None:
    assert read_process({"pid": 5, "name": name, "cmdline": words, "status": "sleeping"}).names == names


def test_a_process_without_words_is_known_by_its_name() -> None:
    worker = read_process({"pid": 30, "name": "kworker/0:1", "cmdline": [], "status": "idle"})

    assert matching(Wanted(name="kworker/0:1"), [worker]) == [worker]
    assert matching(Wanted(pattern="^kworker"), [worker]) == [worker]
    assert not worker.is_closed


def test_a_process_whose_words_are_denied_is_known_by_its_name_and_counted() -> None:
    denied = read_process({"pid": 30, "name": "nginx", "cmdline": None, "status": "sleeping"})

    assert matching(Wanted(name="nginx"), [denied]) == [denied]
    assert matching(Wanted(pattern="ngin"), [denied]) == [denied]
    assert denied.is_closed


def test_a_process_that_denies_even_its_name_matches_nothing() -> None:
    denied = read_process({"pid": 30, "name": None, "cmdline": None, "status": None})

    assert denied == Seen(pid=30, names=frozenset(), line="", status="", is_closed=True)
    assert not matching(Wanted(pattern="nginx"), [denied])


@needs_proc
def test_a_busy_process_is_told_from_an_idle_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CPU_WINDOW_SECONDS", 0.2)
    start("wk-busy", code="print(flush=True)\nwhile True: pass")
    start("wk-idle")

    told = measure("wk-busy", "wk-idle").metrics["processes"]

    assert told["wk-busy"]["cpu_percent"] > 5  # of a core that others may want as well
    assert told["wk-idle"]["cpu_percent"] <= 5


def run_python(code: str, *arguments: str, wrapper: Sequence[str] = ()) -> Any:
    command = [*wrapper, sys.executable, "-c", code, *arguments]
    return json.loads(subprocess.check_output(command, cwd=ROOT, timeout=30))


LOOK_FOR = """
import json, sys
from tasks.check.checkers.process import Process
processes = json.loads(sys.argv[1])
result = Process(Process.Config.model_validate({"processes": processes})).measure()
print(json.dumps([each["count"] for each in result.metrics["processes"].values()]))
"""


def test_the_process_that_looks_does_not_find_itself() -> None:
    assert run_python(LOOK_FOR, json.dumps([{"pattern": TOKEN}])) == [0]


def test_what_wraps_a_check_command_is_not_what_it_looks_for() -> None:
    words = ["watchkeeper", "run-check", "process", "--names", TOKEN]
    wrapper = ["sh", "-c", 'shift 5; "$@"; exit $?', *words, "-"]  # as sudo, ssh or cron would hold the words

    code = f"import psutil\nassert '{TOKEN}' in psutil.Process().parent().cmdline()\n{LOOK_FOR}"
    assert run_python(code, json.dumps([{"pattern": TOKEN}]), wrapper=wrapper) == [0]


def test_another_check_command_is_not_what_is_looked_for(start: Start) -> None:
    process = start("watchkeeper", "check-health", TOKEN)

    assert measure({"pattern": TOKEN}).metrics["running_count"] == 0
    assert process.pid not in [each.pid for each in matching(Wanted(name="watchkeeper"), other_processes())]


def test_a_watchkeeper_that_does_not_check_can_be_watched(start: Start) -> None:
    start("watchkeeper", "worker", TOKEN)

    assert measure({"pattern": f"watchkeeper .*worker {TOKEN}"}).metrics["running_count"] == 1


def test_what_started_the_check_can_be_watched() -> None:
    parent = psutil.Process().name()

    [count] = run_python(LOOK_FOR, json.dumps([parent]))

    assert count >= 1


@needs_proc
def test_processes_that_come_and_go_meanwhile_do_no_harm() -> None:
    with subprocess.Popen(
        ["sh", "-c", "(while :; do sh -c :; done) & while :; do sh -c :; done"], start_new_session=True
    ) as storm:
        try:
            results = [measure("wk-gone") for _ in range(10)]
        finally:
            os.killpg(storm.pid, signal.SIGKILL)

    assert {result.status for result in results} == {CheckStatus.CRITICAL}


OWN_PROC = ("unshare", "--mount", "--pid", "--fork")


def may_have_own_proc() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    command = [*OWN_PROC, "mount", "-t", "proc", "proc", "/proc"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("hidepid", [1, 2])
def test_where_processes_are_hidden_nothing_is_said_of_them(hidepid: int) -> None:
    if not may_have_own_proc():
        pytest.skip("needs root and unshare for a /proc of its own")
    code = f"""
import json, os, subprocess, sys
from tasks.check.checkers.process import Process
subprocess.run(["mount", "-t", "proc", "-o", "hidepid={hidepid}", "proc", "/proc"], check=True)
checker = Process(Process.Config.model_validate({{"processes": ["wk-gone"]}}))
if os.fork():
    sys.exit(os.wait()[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    said = checker.measure().message
except PermissionError as error:
    said = str(error)
print(json.dumps(said))
"""
    said = run_python(code, wrapper=OWN_PROC)

    assert said == "this user may not see other users' processes (/proc is mounted with hidepid)"


def test_the_message_says_how_many_command_lines_could_not_be_read(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What macOS tells an ordinary user; Linux shows them to everybody.
    process = start("wk-closed")
    as_dict = psutil.Process.as_dict

    def denied(self: psutil.Process, attrs: Any = None, ad_value: Any = None) -> Any:
        told = as_dict(self, attrs, ad_value)
        return {**told, "cmdline": None} if self.pid == process.pid else told

    monkeypatch.setattr(psutil.Process, "as_dict", denied)

    assert "missing: wk-gone; 1 command lines cannot be read by this user (critical" in measure("wk-gone").message
    assert measure("wk-closed").message == "100 % of 1 processes run"


def test_no_process_named_is_nothing_to_check() -> None:
    with pytest.raises(NotApplicableError, match="no process is named"):
        measure()


@pytest.mark.parametrize(
    ("processes", "where", "says"),
    [
        ("nginx", ("processes",), "valid list"),
        ([""], ("processes", 0, "name"), "at least 1 character"),
        (["a\x00b"], ("processes", 0, "name"), "should match pattern"),
        (["a\nb"], ("processes", 0, "name"), "should match pattern"),
        (["\ud800"], ("processes", 0, "name"), "valid string"),
        (["x" * 201], ("processes", 0, "name"), "at most 200"),
        (["a", 3], ("processes", 1), "valid dictionary"),
        ([{}], ("processes", 0), "needs a name or a pattern"),
        ([{"patern": "x"}], ("processes", 0, "patern"), "not permitted"),
        ([{"pattern": "("}], ("processes", 0, "pattern"), "is no regular expression: missing )"),
        ([{"pattern": "a{9999999999}"}], ("processes", 0, "pattern"), "is no regular expression"),
        ([{"pattern": "x*"}], ("processes", 0, "pattern"), "would match every command line"),
        ([{"pattern": "nginx|"}], ("processes", 0, "pattern"), "would match every command line"),
        ([{"pattern": "(a+)+$"}], ("processes", 0, "pattern"), "must not repeat a group"),
        ([{"pattern": "x(?:a|aa)*$"}], ("processes", 0, "pattern"), "must not repeat a group"),
        ([{"pattern": "(a*){9}b"}], ("processes", 0, "pattern"), "must not repeat a group"),
        (["a", {"pattern": "b", "name": "a"}], ("processes",), "each must have a name of its own"),
        (["a", "a"], ("processes",), "each must have a name of its own"),
        ([f"p{number}" for number in range(51)], ("processes",), "at most 50 items"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_by_its_place(
    processes: Any, where: tuple[Any, ...], says: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        Process.Config.model_validate({"processes": processes})

    [error] = refusal.value.errors()
    assert error["loc"] == where
    assert says in error["msg"]


@pytest.mark.parametrize("pattern", [r"java .*\)+", r"(nginx|httpd) ", r"python3?", r"(a|b)?c", r"[0-9]{4}"])
def test_an_ordinary_pattern_is_taken(pattern: str) -> None:
    assert Wanted(pattern=pattern).pattern == pattern


def test_warning_below_critical_is_refused() -> None:
    with pytest.raises(ValidationError, match="warning_threshold 40 must not be below critical_threshold 50"):
        Process.Config(warning_threshold=40)


def test_defaults_are_those_of_the_documentation() -> None:
    config = Process.Config()

    assert (config.processes, config.thresholds) == ([], (100.0, 50.0))
