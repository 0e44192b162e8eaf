import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import psutil
import pytest
from hung_mount import hung_mount

from storage.redaction import MASK, redact
from tasks.check import evidence
from tasks.check.evidence import snapshot

needs_proc = pytest.mark.skipif(not Path("/proc/uptime").exists(), reason="compares with /proc")

LONG = "🔥" * 5_000


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Children that keep a core busy each."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(0.1)
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def mounted(monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    """These are the host's local file systems."""
    mounts = [SimpleNamespace(device=f"/dev/{path}", mountpoint=path, fstype="ext4", opts="rw") for path in paths]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)


def test_a_snapshot_is_small_json_and_quick() -> None:
    started = time.monotonic()

    text = json.dumps(snapshot(), allow_nan=False)

    assert time.monotonic() - started < 1  # 0.32 s in peace, and room for a busy machine
    assert len(text) < evidence.MAX_BYTES


def test_a_snapshot_names_this_host_its_processors_and_its_time() -> None:
    found = snapshot()

    assert found["hostname"] == socket.gethostname()
    assert found["cpu_count"] == os.cpu_count()
    assert datetime.now(UTC) - datetime.fromisoformat(found["measured_at"]) < timedelta(seconds=10)
    assert "errors" not in found


@needs_proc
def test_load_and_uptime_agree_with_the_kernel() -> None:
    found = snapshot()

    load = float(Path("/proc/loadavg").read_text().split()[0])
    uptime_seconds = float(Path("/proc/uptime").read_text().split()[0])
    assert found["load_averages"][0] == pytest.approx(load, abs=0.5)
    assert found["uptime_seconds"] == pytest.approx(uptime_seconds, abs=5)


def processor_ticks() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


@needs_proc
def test_the_use_of_the_processors_agrees_with_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "WINDOW_SECONDS", 0.6)

    with burning(1):
        before = processor_ticks()
        cpu = snapshot()["cpu"]
        ticks = [after - earlier for after, earlier in zip(processor_ticks(), before, strict=True)]

    busy_percent = 100 * (1 - (ticks[3] + ticks[4] + ticks[7]) / sum(ticks))
    assert busy_percent > 100 / (os.cpu_count() or 1) / 2
    assert cpu["busy_percent"] == pytest.approx(busy_percent, abs=10)
    assert cpu["iowait_percent"] == pytest.approx(100 * ticks[4] / sum(ticks), abs=10)
    assert cpu["steal_percent"] == pytest.approx(100 * ticks[7] / sum(ticks), abs=10)


@needs_proc
def test_what_the_measuring_process_does_itself_makes_no_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "WINDOW_SECONDS", 0.6)
    is_over = threading.Event()

    def burn() -> None:
        while not is_over.is_set():
            sum(range(1_000))

    threading.Thread(target=burn, daemon=True).start()
    before, own_before = processor_ticks(), time.process_time()
    found = snapshot()
    own_ticks = (time.process_time() - own_before) * os.sysconf("SC_CLK_TCK")
    ticks = [after - earlier for after, earlier in zip(processor_ticks(), before, strict=True)]
    is_over.set()

    assert own_ticks > 20
    others_percent = 100 * (1 - (ticks[3] + ticks[4] + ticks[7] + own_ticks) / sum(ticks))
    assert found["cpu"]["busy_percent"] == pytest.approx(max(0, others_percent), abs=10)


class Times(NamedTuple):
    """The processors' times as the kernel of a host that has guests counts them."""

    user: float
    system: float
    idle: float
    iowait: float
    steal: float
    guest: float


def test_the_shares_of_the_processors_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([Times(100, 100, 100, 100, 100, 100), Times(130, 110, 130, 120, 110, 120)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(looks))

    assert snapshot()["cpu"] == {
        "busy_percent": pytest.approx(40, abs=1),
        "iowait_percent": 20,
        "steal_percent": 10,
    }


def test_the_root_file_system_agrees_with_statvfs() -> None:
    status = os.statvfs("/")

    root = next(disk for disk in snapshot()["disks"] if disk["path"] == "/")

    assert root["total_gb"] == pytest.approx(status.f_blocks * status.f_frsize / 1024**3, abs=0.01)
    if status.f_files:
        inodes_percent = 100 * (status.f_files - status.f_ffree) / status.f_files
        assert root["inodes_percent"] == pytest.approx(inodes_percent, abs=0.2)


def test_rates_are_of_the_window_that_is_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([0, 300_000])
    up = SimpleNamespace(isup=True, flags="up,broadcast")
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {"eth0": up})
    monkeypatch.setattr(
        psutil,
        "net_io_counters",
        lambda **_: {
            "eth0": SimpleNamespace(bytes_recv=next(counts), bytes_sent=0, errin=0, errout=0, dropin=0, dropout=0)
        },
    )

    [eth0] = snapshot()["network"]

    assert 300_000 < eth0["received_bytes_per_second"] <= 300_000 / evidence.WINDOW_SECONDS


def test_a_part_that_cannot_be_read_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(**_: object) -> Any:
        raise FileNotFoundError(2, "No such file or directory", "/proc/swaps")

    monkeypatch.setattr(psutil, "swap_memory", unreadable)
    monkeypatch.setattr(psutil, "net_io_counters", unreadable)
    monkeypatch.setattr(psutil, "getloadavg", lambda: 1 / 0)

    found = snapshot()

    assert not {"swap", "network", "load_averages"} & found.keys()
    reason = "FileNotFoundError: [Errno 2] No such file or directory: '/proc/swaps'"
    division = "load_averages: ZeroDivisionError: division by zero"
    assert found["errors"] == [f"network: {reason}", division, f"swap: {reason}"]
    assert found["memory"]["total_gb"] > 0
    assert found["processes"]["seen"] > 0


def test_a_disk_that_hangs_is_named_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with hung_mount() as path:
        mounted(monkeypatch, "/", str(path))
        started = time.monotonic()

        found = snapshot()

        assert time.monotonic() - started < evidence.DISKS_SECONDS + evidence.WINDOW_SECONDS + 1
    assert [disk["path"] for disk in found["disks"]] == ["/"]
    assert found["errors"] == [f"{path} did not answer within 0.9 s"]


def usage(percent: float) -> SimpleNamespace:
    return SimpleNamespace(total=10**15, free=10**14, percent=percent)


def test_only_the_ten_worst_disks_by_space_or_inodes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(monkeypatch, "/", *(f"/m{number}" for number in range(15)))
    monkeypatch.setattr(psutil, "disk_usage", lambda path: usage(float(path[2:] or 50)))
    files = SimpleNamespace(f_files=100, f_ffree=100)
    crowded = SimpleNamespace(f_files=100, f_ffree=1)
    monkeypatch.setattr(os, "statvfs", lambda path: crowded if path == "/m3" else files)

    disks = snapshot()["disks"]

    assert [disk["path"] for disk in disks[:4]] == ["/m3", "/", "/m14", "/m13"]
    assert disks[0]["inodes_percent"] == 99
    assert len(disks) == 10


def test_a_file_system_without_a_number_of_inodes_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=0, f_ffree=0))
    monkeypatch.setattr(psutil, "disk_usage", lambda _: usage(40))

    assert snapshot()["disks"][0]["inodes_percent"] is None


def unreadable(*_: object, **__: object) -> Any:
    raise OSError(LONG)


@pytest.fixture
def extreme_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 disks, interfaces and processes, all of the longest names, and the rest unreadable."""
    mounted(monkeypatch, *(f"/{number}{LONG}" for number in range(300)))
    monkeypatch.setattr(psutil, "disk_usage", lambda _: usage(99.9))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=10**15, f_ffree=1))
    counts = SimpleNamespace(bytes_recv=0, bytes_sent=0, errin=10**18, errout=1, dropin=10**18, dropout=1)
    names = [f"{number}{LONG}" for number in range(300)]
    up = SimpleNamespace(isup=True, flags="up")
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: dict.fromkeys(names, counts))
    monkeypatch.setattr(psutil, "net_if_stats", lambda: dict.fromkeys(names, up))
    info = {
        "name": LONG,
        "memory_info": SimpleNamespace(rss=2**62),
        "cpu_times": SimpleNamespace(user=1e9, system=1e9),
        "create_time": 1e9,
    }
    processes = [SimpleNamespace(info={"pid": 2**22 + number, **info}) for number in range(300)]
    monkeypatch.setattr(psutil, "LINUX", False)
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter(processes))
    monkeypatch.setattr(psutil, "Process", lambda _: SimpleNamespace(username=lambda: LONG))
    monkeypatch.setattr(socket, "gethostname", lambda: LONG)
    for reader in ("swap_memory", "getloadavg", "boot_time", "cpu_times"):
        monkeypatch.setattr(psutil, reader, unreadable)


@pytest.mark.usefixtures("extreme_host")
def test_a_snapshot_of_any_host_is_bounded() -> None:
    found = snapshot()

    assert len(json.dumps(found, allow_nan=False)) <= evidence.MAX_BYTES
    assert (len(found["disks"]), len(found["network"]), len(found["processes"]["by_memory"])) == (10, 10, 5)
    assert found["disks"][1]["path"].endswith("…")
    assert len(found["errors"]) == 4
    assert datetime.fromisoformat(found["measured_at"]).tzinfo == UTC


@pytest.mark.parametrize("length", [15, 110])
def test_names_of_a_usual_length_are_whole(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    mounted(monkeypatch, *(f"/{number:0{length}}" for number in range(300)))
    monkeypatch.setattr(psutil, "disk_usage", lambda _: usage(99.9))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=100, f_ffree=50))

    paths = [disk["path"] for disk in snapshot()["disks"]]

    assert paths == ["/", *(f"/{number:0{length}}" for number in range(9))]


@pytest.mark.parametrize("odd", ["caf\udce9", "a\x00b", "a\nb", "a\u202eb", "\x85"])
def test_every_text_is_one_that_a_database_takes_and_a_person_can_read(
    monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: odd)

    name = snapshot()["hostname"]

    assert name.isprintable()
    assert len(name.encode()) == len(odd)
    assert "?" in name


def test_a_number_that_json_lacks_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "getloadavg", lambda: (float("nan"), float("inf"), 1.0))

    assert snapshot()["load_averages"] == [None, None, 1.0]


def test_the_redaction_rule_hides_no_reading() -> None:
    assert MASK not in json.dumps(redact(snapshot()))
