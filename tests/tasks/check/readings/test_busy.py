import itertools
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tasks.check.readings import busy
from tasks.check.readings.busy import Look, Usage, linux_usages, look, psutil_usages, top, watch_processes

on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

# Hashing frees Python's lock, so each thread keeps a core of its own busy.
BURN = """
import hashlib, threading
text = bytes(2_000_000)
def burn():
    while True: hashlib.sha256(text)
for _ in range({threads}): threading.Thread(target=burn, daemon=True).start()
print("ready", flush=True); input()
"""
HOLD = "x = bytearray(200 * 2**20); print('ready', flush=True); input()"
RENAME = """
import ctypes
ctypes.CDLL(None).prctl(15, {name!r})
print("ready", flush=True); input()
"""


@contextmanager
def running(program: str, *, title: str = "", user: str | None = None) -> Iterator[int]:
    """A Python child that says ready and then waits; its pid."""
    command = [title or sys.executable, "-c", program]
    with subprocess.Popen(
        command, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=user
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        try:
            yield child.pid
        finally:
            child.kill()


def told(pid: int, processes: list[dict[str, Any]]) -> dict[str, Any]:
    return next(process for process in processes if process["pid"] == pid)


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def named(pid: int) -> str:
    return next(usage.name for usage in linux_usages() if usage.pid == pid)


@on_linux
@pytest.mark.parametrize("threads", [1, 2])
def test_a_busy_process_comes_first_with_the_share_that_the_kernel_counts(threads: int) -> None:
    with running(BURN.format(threads=threads)) as pid:
        finish, before, began = watch_processes(), ticks(pid), time.monotonic()
        time.sleep(0.5)
        processes, after, seconds = finish(), ticks(pid), time.monotonic() - began

    kernel_percent = 100 * (after - before) / os.sysconf("SC_CLK_TCK") / seconds
    assert kernel_percent > 20  # far more in peace, and room for a busy machine
    assert told(pid, processes["by_cpu"])["cpu_percent"] == pytest.approx(kernel_percent, abs=12)
    assert [each["cpu_percent"] for each in processes["by_cpu"]] == sorted(
        (each["cpu_percent"] for each in processes["by_cpu"]), reverse=True
    )


@on_linux
def test_a_large_process_is_told_with_the_memory_that_the_kernel_counts() -> None:
    with running(HOLD) as pid:
        found = told(pid, top(look(), look())["by_memory"])
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        rss_mb = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    assert found["rss_mb"] == pytest.approx(rss_mb, rel=0.05)
    total_mb = psutil.virtual_memory().total / 2**20
    assert found["memory_percent"] == pytest.approx(100 * rss_mb / total_mb, abs=0.1)
    assert found["cpu_percent"] is not None


def test_no_more_than_the_first_five_are_told_the_largest_first() -> None:
    processes = top(look(), look())

    sizes = [process["rss_mb"] for process in processes["by_memory"]]
    assert sizes == sorted(sizes, reverse=True)
    assert (len(sizes), len(processes["by_cpu"])) == (5, 5)
    assert processes["seen"] > 5
    assert processes["is_complete"] is True


def test_the_process_that_looks_does_not_tell_of_itself() -> None:
    finish, until = watch_processes(), time.monotonic() + 0.3
    while time.monotonic() < until:
        sum(range(1000))

    processes = finish()

    assert os.getpid() not in [each["pid"] for key in ("by_cpu", "by_memory") for each in processes[key]]


@on_linux
@pytest.mark.parametrize(
    ("name", "shown"), [(b"a) R (b c", "a) R (b c"), (b"caf\xe9", "caf\ufffd"), ("žluť".encode(), "žluť")]
)
def test_any_bytes_may_stand_in_a_name(name: bytes, shown: str) -> None:
    with running(RENAME.format(name=name)) as pid:
        assert named(pid) == shown


@on_linux
def test_nothing_of_a_command_line_is_told() -> None:
    title = "very-long-named-server --password=hunter2"

    with running(RENAME.format(name=b"very-long-named"), title=title) as pid:
        assert "hunter2" in psutil.Process(pid).name()
        assert named(pid) == "very-long-named"
        assert next(usage.name for usage in psutil_usages() if usage.pid == pid) == "very-long-named"


@on_linux
def test_both_ways_to_look_agree() -> None:
    with running(HOLD) as pid:
        ours = next(usage for usage in linux_usages() if usage.pid == pid)
        theirs = next(usage for usage in psutil_usages() if usage.pid == pid)

    assert (theirs.pid, theirs.name) == (ours.pid, ours.name)
    assert theirs.cpu_seconds == pytest.approx(ours.cpu_seconds, abs=0.02)
    assert theirs.rss_bytes == pytest.approx(ours.rss_bytes, rel=0.05)


def test_what_a_process_may_not_show_counts_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = {"pid": 5, "name": None, "memory_info": None, "cpu_times": None, "create_time": None}
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter([SimpleNamespace(info=hidden)]))

    [usage] = psutil_usages()

    assert usage[:5] == (5, 0.0, "?", 0, 0.0)


@on_linux
def test_a_pid_that_is_used_again_is_seen_as_another_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stat = Path("/proc/1/stat").read_text()
    start = stat.rpartition(")")[2].split()[19]
    (tmp_path / "5").mkdir()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    (tmp_path / "5" / "stat").write_text(stat)
    before = look()
    (tmp_path / "5" / "stat").write_text(stat.replace(f" {start} ", " 123456 "))

    assert list(before.usages) == [(5, int(start))]
    assert list(look().usages) == [(5, 123456)]


def test_what_a_pid_did_before_it_was_used_again_counts_for_nobody() -> None:
    old = Usage(pid=5, started=1, name="old", rss_bytes=0, cpu_seconds=0.0, read_at=10.0)
    new = Usage(pid=5, started=2, name="new", rss_bytes=2**20, cpu_seconds=900.0, read_at=10.5)

    processes = top(Look({(5, 1): old}, is_complete=True), Look({(5, 2): new}, is_complete=True))

    assert processes["by_cpu"] == []
    assert [(each["name"], each["cpu_percent"]) for each in processes["by_memory"]] == [("new", None)]


def test_processes_that_come_and_go_meanwhile_do_no_harm() -> None:
    children = [subprocess.Popen(["sleep", str(index / 500)]) for index in range(60)]

    for _ in range(20):
        top(look(), look())

    for child in children:
        child.wait()


@on_linux
def test_a_process_that_ends_before_it_is_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    monkeypatch.setattr(psutil, "pids", lambda: [child.pid, os.getppid()])

    assert [usage.pid for usage in linux_usages()] == [os.getppid()]


@on_linux
def test_a_look_ends_in_time_on_a_host_with_very_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "pids", lambda: itertools.repeat(os.getppid()))
    started = time.monotonic()

    processes = top(look(), look())

    assert time.monotonic() - started < 2 * busy.LOOK_SECONDS + 0.5
    assert processes["is_complete"] is False


@pytest.mark.skipif(not shutil.which("ps"), reason="compares with ps")
def test_the_user_is_the_one_that_ps_names() -> None:
    users = {each["pid"]: each["user"] for each in top(look(), look())["by_memory"]}

    shown = subprocess.run(["ps", "-e", "-o", "pid=,ruid="], capture_output=True, text=True, check=True).stdout
    owners = {int(pid): int(uid) for pid, uid in map(str.split, shown.splitlines())}
    own_name = pwd.getpwuid(os.getuid()).pw_name
    assert None not in users.values()
    for pid in users.keys() & owners.keys():
        assert (users[pid] == own_name) == (owners[pid] == os.getuid())


def test_a_directory_of_users_that_hangs_costs_only_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(pwd, "getpwuid", lambda _: is_over.wait(10))
    started = time.monotonic()

    processes = top(look(), look())

    took = time.monotonic() - started
    is_over.set()
    assert took < 1
    assert {each["user"] for each in processes["by_memory"]} == {None}
