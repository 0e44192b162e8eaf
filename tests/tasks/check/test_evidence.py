import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tasks.check import evidence
from tasks.check.evidence import snapshot, top_processes

needs_proc = pytest.mark.skipif(not Path("/proc/uptime").exists(), reason="compares with /proc")


@pytest.fixture
def hog() -> Iterator[int]:
    """A process that holds 300 MB of memory."""
    program = "x = bytearray(300 * 2**20); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_a_snapshot_is_small_json_and_quick() -> None:
    started = time.monotonic()

    text = json.dumps(snapshot(), allow_nan=False)

    assert time.monotonic() - started < 0.5  # 0.2 s in peace, and room for a busy machine
    assert len(text) < 8_000


def test_a_snapshot_names_this_host_and_its_processors() -> None:
    evidence = snapshot()

    assert evidence["hostname"] == socket.gethostname()
    assert evidence["cpu_count"] == os.cpu_count()
    assert "errors" not in evidence


@needs_proc
def test_load_and_uptime_agree_with_the_kernel() -> None:
    evidence = snapshot()

    load = float(Path("/proc/loadavg").read_text().split()[0])
    uptime_seconds = float(Path("/proc/uptime").read_text().split()[0])
    assert evidence["load_averages"][0] == pytest.approx(load, abs=0.5)
    assert evidence["uptime_seconds"] == pytest.approx(uptime_seconds, abs=5)


def test_the_root_file_system_agrees_with_statvfs() -> None:
    status = os.statvfs("/")

    root = next(disk for disk in snapshot()["disks"] if disk["path"] == "/")

    assert root["total_gb"] == pytest.approx(status.f_blocks * status.f_frsize / 1024**3, abs=0.01)


@needs_proc
def test_a_process_that_holds_much_memory_is_among_the_largest(hog: int) -> None:
    found = [process for process in top_processes(5)["by_memory"] if process["pid"] == hog]

    fields = (line.split() for line in Path(f"/proc/{hog}/status").read_text().splitlines())
    rss_mb = next(int(line[1]) / 1024 for line in fields if line[0] == "VmRSS:")
    assert found[0]["rss_mb"] == pytest.approx(rss_mb, rel=0.1)


def test_the_largest_processes_come_first_and_are_five_at_most() -> None:
    processes = top_processes()

    memory = [process["rss_mb"] for process in processes["by_memory"]]
    seconds = [process["cpu_seconds"] for process in processes["by_cpu"]]
    assert memory == sorted(memory, reverse=True)
    assert seconds == sorted(seconds, reverse=True)
    assert len(memory) <= 5


def test_processes_that_come_and_go_meanwhile_do_no_harm() -> None:
    children = [subprocess.Popen(["sleep", str(index / 500)]) for index in range(60)]

    snapshots = [snapshot() for _ in range(8)]

    for child in children:
        child.wait()
    assert not [errors for each in snapshots if (errors := each.get("errors"))]


def test_what_a_process_may_not_show_counts_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = SimpleNamespace(info={"pid": 5, "name": None, "memory_info": None, "cpu_times": None})
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter([hidden]))

    processes = top_processes()

    assert processes["by_memory"] == [{"pid": 5, "name": "?", "rss_mb": 0.0, "memory_percent": 0.0}]
    assert processes["by_cpu"] == [{"pid": 5, "name": "?", "cpu_seconds": 0.0}]


def test_a_process_name_that_is_no_text_becomes_text_that_a_database_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    odd = SimpleNamespace(info={"pid": 5, "name": name, "memory_info": None, "cpu_times": None})
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter([odd]))

    assert top_processes()["by_memory"][0]["name"] == "caf?"


def test_the_process_scan_ends_in_time_on_a_host_with_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: object) -> Iterator[Any]:
        while True:
            yield SimpleNamespace(info={"pid": 5, "name": "x", "memory_info": None, "cpu_times": None})

    monkeypatch.setattr(psutil, "process_iter", endless)
    started = time.monotonic()

    processes = top_processes()

    assert time.monotonic() - started < 2.0
    assert processes["is_complete"] is False


def test_a_part_that_cannot_be_read_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> Any:
        raise FileNotFoundError(2, "No such file or directory", "/proc/swaps")

    monkeypatch.setattr(psutil, "swap_memory", unreadable)

    part = snapshot()

    assert "swap" not in part
    assert part["errors"] == ["swap: FileNotFoundError: [Errno 2] No such file or directory: '/proc/swaps'"]
    assert part["memory"]["total_gb"] > 0


def test_only_the_ten_fullest_disks_are_told_and_images_never(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [SimpleNamespace(device=f"/dev/{n}", mountpoint=f"/m{n}", fstype="ext4") for n in range(15)]
    image = SimpleNamespace(device="/dev/loop0", mountpoint="/snap/core", fstype="squashfs")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [*mounts, image])
    monkeypatch.setattr(
        psutil,
        "disk_usage",
        lambda path: SimpleNamespace(total=100, free=1, percent=float(path[2:] or 0) if path != "/" else 50.0),
    )

    paths = [disk["path"] for disk in snapshot()["disks"]]

    assert len(paths) == evidence.MAX_DISKS
    assert paths[:3] == ["/", "/m14", "/m13"]
    assert "/snap/core" not in paths


def test_a_device_that_is_mounted_twice_counts_once_at_its_first_place(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [
        SimpleNamespace(device="/dev/vda", mountpoint="/", fstype="ext4"),
        SimpleNamespace(device="/dev/vda", mountpoint="/var/bind", fstype="ext4"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)

    assert [disk["path"] for disk in snapshot()["disks"]] == ["/"]
