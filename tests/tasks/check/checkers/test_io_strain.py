import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from zram import take_away, zram_device

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.io_strain import Counters, IoStrain, physical_devices, verdict
from tasks.check.checks import run_checkers

MIB = 1024**2
SYS_BLOCK = Path("/sys/block")
needs_sysfs = pytest.mark.skipif(not SYS_BLOCK.exists(), reason="compares with /sys/block")

# Writes to the disk itself, without end: each write waits until the disk has it, and two of them keep a fast one
# busy for a part of the time that can be told from nothing.
WRITER = """
import os, sys, threading
block = os.urandom(4 * 2**20)
def write(path):
    with open(path, "wb", buffering=0) as file:
        while True:
            file.seek(0)
            file.write(block)
            os.fsync(file.fileno())
threading.Thread(target=write, args=(sys.argv[1],), daemon=True).start()
print("ready", flush=True)
write(sys.argv[2])
"""


def device_of(path: Path) -> str:
    """The whole device below a path; skips where none with hardware of its own is directly below it."""
    number = path.stat().st_dev
    place = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    place = place.parent if (place / "partition").exists() else place
    if not (place / "device").exists():
        pytest.skip(f"{path} is not on a plain disk")
    return place.name


def kernel_stat(device: str) -> tuple[int, int]:
    """Milliseconds busy and sectors written."""
    fields = (SYS_BLOCK / device / "stat").read_text().split()
    return int(fields[9]), int(fields[6])


def device(**counters: int) -> Any:
    """psutil's counters of one device."""
    zero = dict.fromkeys(psutil._ntuples.sdiskio._fields, 0)
    return psutil._ntuples.sdiskio(**{**zero, **counters})


def judged(before: dict[str, Any], after: dict[str, Any], *names: str, seconds: float = 1.0) -> CheckResult:
    return verdict(
        names or list(before), Counters(50.0, before), Counters(50.0 + seconds, after), IoStrain.Config()
    )


@pytest.fixture
def written(tmp_path: Path) -> Iterator[str]:
    """The device that something writes to all the time."""
    name = device_of(tmp_path)
    program = [sys.executable, "-c", WRITER, str(tmp_path / "a"), str(tmp_path / "b")]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield name
        process.kill()


@pytest.fixture
def passing_device() -> Iterator[str]:
    """A block device that the test may take away."""
    with zram_device() as name:
        yield name


@needs_sysfs
def test_strain_agrees_with_the_kernel_while_a_file_is_written(written: str) -> None:
    started = time.monotonic()
    busy_ms_before, sectors_before = kernel_stat(written)
    result = IoStrain(IoStrain.Config(interval=0.6)).measure()
    busy_ms_after, sectors_after = kernel_stat(written)
    seconds = time.monotonic() - started

    strain = result.metrics["devices"][written]
    written_mb_per_second = (sectors_after - sectors_before) * 512 / MIB / seconds
    assert strain["busy_percent"] == pytest.approx((busy_ms_after - busy_ms_before) / seconds / 10, abs=10)
    assert strain["write_mb_per_second"] == pytest.approx(written_mb_per_second, rel=0.2)
    assert strain["busy_percent"] > 1
    assert strain["writes_per_second"] > 1


@needs_sysfs
def test_what_is_measured_is_hardware_and_each_has_a_reading_of_its_own() -> None:
    hardware = {
        place.name
        for place in SYS_BLOCK.iterdir()
        if not place.resolve().is_relative_to("/sys/devices/virtual/block")
    }
    if not hardware:
        pytest.skip("this host has no disk of its own")

    result = IoStrain(IoStrain.Config(interval=0.1)).measure()

    assert {reading.target for reading in result.readings} == hardware == result.metrics["devices"].keys()
    assert result.metrics["worst_device"] in hardware


def test_partitions_and_what_is_made_of_other_devices_do_not_count(tmp_path: Path) -> None:
    for place in (
        "sda/device",
        "sda/sda1",
        "nvme0n1/device",
        "cciss!c0d0/device",
        "dm-0",
        "md0",
        "loop0",
        "zram0",
    ):
        (tmp_path / place).mkdir(parents=True)
    names = ["sda", "sda1", "nvme0n1", "nvme0n1p1", "cciss/c0d0", "cciss/c0d0p1", "dm-0", "md0", "loop0", "zram0"]

    assert physical_devices(names, tmp_path) == ["sda", "nvme0n1", "cciss/c0d0"]


def test_strain_is_what_was_counted_by_time() -> None:
    before = device(read_count=900, write_count=100, write_bytes=MIB, busy_time=1000, write_time=70, read_time=5)
    after = device(
        read_count=904,
        write_count=300,
        read_bytes=3 * MIB,
        write_bytes=101 * MIB,
        busy_time=2740,
        write_time=1294,
        read_time=5,
    )

    strain = judged({"sda": before}, {"sda": after}, seconds=2.0).metrics["devices"]["sda"]

    assert strain == {
        "busy_percent": 87.0,
        "read_mb_per_second": 1.5,
        "write_mb_per_second": 50.0,
        "reads_per_second": 2.0,
        "writes_per_second": 100.0,
        "request_ms": 6.0,
    }


@pytest.mark.parametrize(
    ("busy_ms", "status"),
    [(0, "ok"), (899, "ok"), (900, "warning"), (979, "warning"), (980, "critical"), (1000, "critical")],
)
def test_the_busy_part_of_the_time_is_judged(busy_ms: int, status: str) -> None:
    result = judged({"sda": device(busy_time=7)}, {"sda": device(busy_time=7 + busy_ms)})

    assert result.status == status
    assert result.readings[0].value == busy_ms / 10


def test_the_busiest_device_is_the_worst_and_only_bad_ones_speak() -> None:
    names = ("sda", "sdb", "sdc")
    after = dict(zip(names, (device(busy_time=10), device(busy_time=950), device(busy_time=30)), strict=True))

    result = judged(dict.fromkeys(names, device()), after)

    assert (result.metrics["worst_device"], result.metrics["worst_percent"]) == ("sdb", 95.0)
    assert result.message == "sdb 95.0 % busy, 0.0 MB/s read, 0.0 MB/s written (warning at 90 %)"
    assert [reading.status for reading in result.readings] == ["ok", "warning", "ok"]


def test_when_all_is_well_the_busiest_device_speaks() -> None:
    after = {"sda": device(busy_time=10), "sdb": device(busy_time=500, write_bytes=2 * MIB)}

    result = judged(dict.fromkeys(after, device()), after)

    assert result.message == "sdb 50.0 % busy, 0.0 MB/s read, 2.0 MB/s written"


def test_a_clock_that_ticks_late_does_not_make_more_than_all_the_time() -> None:
    result = judged({"sda": device()}, {"sda": device(busy_time=1004)})

    assert result.metrics["worst_percent"] == 100.0


def test_milliseconds_that_run_over_count_on() -> None:
    before = device(busy_time=2**32 - 300, write_time=2**32 - 100, write_count=5)
    after = device(busy_time=200, write_time=300, write_count=25)

    strain = judged({"sda": before}, {"sda": after}).metrics["devices"]["sda"]

    assert strain["busy_percent"] == 50.0
    assert strain["request_ms"] == 20.0


@pytest.mark.parametrize("field", ["read_count", "write_count", "read_bytes", "write_bytes"])
def test_a_device_that_counts_anew_is_unknown(field: str) -> None:
    result = judged({"sda": device(**{field: 900}, busy_time=5)}, {"sda": device(**{field: 2}, busy_time=3)})

    assert result.status is CheckStatus.UNKNOWN
    assert result.error == "sda began to count anew while it was measured"
    assert result.metrics == {"devices": {}, "worst_percent": None, "worst_device": None}


@needs_sysfs
def test_a_device_that_vanishes_meanwhile_is_unknown(passing_device: str) -> None:
    checker = IoStrain(IoStrain.Config(devices=[passing_device], interval=0.4))
    threading.Timer(0.15, take_away, (passing_device,)).start()

    result = run_checkers([checker])[0]

    assert (result.status, result.error) == (
        CheckStatus.UNKNOWN,
        f"{passing_device} vanished while it was measured",
    )
    assert result.readings[0].target == passing_device


@needs_sysfs
def test_a_device_without_hardware_is_measured_when_it_is_named(passing_device: str) -> None:
    result = IoStrain(IoStrain.Config(devices=[passing_device], interval=0.1)).measure()

    assert result.metrics["devices"].keys() == {passing_device}
    assert result.status is CheckStatus.OK


@needs_sysfs
def test_a_named_device_that_does_not_exist_is_unknown_by_name() -> None:
    result = IoStrain(IoStrain.Config(devices=["nosuch0"], interval=0.1)).measure()

    assert [(reading.target, reading.status) for reading in result.readings] == [("nosuch0", "unknown")]
    assert result.error == "nosuch0 is no block device of this host"


def test_a_missing_device_does_not_hide_a_bad_one() -> None:
    result = judged({"sda": device()}, {"sda": device(busy_time=1000)}, "sdx", "sda")

    assert result.status is CheckStatus.CRITICAL
    assert "sdx is no block device of this host" in result.message


def test_a_device_that_is_named_twice_has_one_reading() -> None:
    assert len(judged({"sda": device()}, {"sda": device()}, "sda", "sda").readings) == 1


def test_metrics_stay_small_on_a_host_with_very_many_disks() -> None:
    names = [f"sd{number}" for number in range(600)]
    after = {name: device(busy_time=number) for number, name in enumerate(names)}

    result = judged(dict.fromkeys(names, device()), after)

    assert len(result.metrics["devices"]) == 50
    assert "sd599" in result.metrics["devices"]
    assert len(json.dumps(result.metrics)) < 10_000
    assert len(result.readings) == 600


def test_checkers_side_by_side_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil's own correction of wrapped counters would take the older of two readings for a wrap."""
    counters = iter([{"sda": device(write_bytes=2 * MIB)}, {"sda": device(write_bytes=MIB)}] * 2)
    raw = type(psutil)("platform")
    raw.disk_io_counters = lambda **_: {name: tuple(counted) for name, counted in next(counters).items()}
    monkeypatch.setattr(psutil, "_psplatform", raw)
    psutil.disk_io_counters.cache_clear()

    result = IoStrain(IoStrain.Config(devices=["sda"], interval=0.1)).measure()

    psutil.disk_io_counters.cache_clear()
    assert result.error == "sda began to count anew while it was measured"


def test_a_host_without_disks_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: {})

    result = run_checkers([IoStrain(IoStrain.Config())])[0]

    assert (result.status, result.message) == (
        CheckStatus.SKIPPED,
        "no block device with hardware of its own",
    )


def unheard_of(**_: Any) -> Any:
    raise NotImplementedError("/proc/diskstats nor /sys/block are available on this system")


def test_a_host_without_counters_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", unheard_of)

    with pytest.raises(NotApplicableError):
        IoStrain(IoStrain.Config()).measure()


def test_a_platform_without_busy_times_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    class MacOsDisk:
        read_count = write_count = read_bytes = write_bytes = read_time = write_time = 0

    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: {"disk0": MacOsDisk()})

    with pytest.raises(NotApplicableError, match="does not count how long a disk is busy"):
        IoStrain(IoStrain.Config(devices=["disk0"])).measure()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"interval": 9.6}, "interval 9.6 s must be at least 0.5 s less than timeout 10 s"),
        ({"timeout": 1.4}, "interval 1 s must be at least 0.5 s less than timeout 1.4 s"),
        ({"interval": 0}, "interval"),
        ({"interval": "nan"}, "interval"),
        ({"devices": []}, "devices"),
        ({"devices": "sda"}, "devices"),
        ({"devices": ["sda", "/dev/sdb"]}, r"devices\.1"),
        ({"devices": [""]}, r"devices\.0"),
        ({"devices": ["sd\x00a"]}, r"devices\.0"),
        ({"warning_threshold": 99}, "warning_threshold 99 must not be above critical_threshold 98"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        IoStrain.Config.model_validate(config)


def test_one_busy_second_is_not_told_unless_asked_for() -> None:
    assert IoStrain.Config().confirmations == 3
    assert IoStrain.Config.model_validate({"for": 1}).confirmations == 1
