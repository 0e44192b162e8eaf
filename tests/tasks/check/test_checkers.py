import os
import subprocess
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from storage.vocabulary import CheckStatus
from tasks.check.checkers import CHECKERS
from tasks.check.checkers.base import RisingConfig, judge_rising
from tasks.check.checkers.cpu import Cpu
from tasks.check.checkers.disk import Disk
from tasks.check.checkers.memory import Memory

GIB = 1024**3
needs_proc = pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="compares with /proc")


def meminfo() -> dict[str, float]:
    """/proc/meminfo in GiB."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 / GIB for fields in lines}


def busy_and_total_ticks() -> tuple[int, int]:
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def impossible() -> dict[str, float]:
    """Thresholds that no reading reaches."""
    return {"warning_threshold": 101, "critical_threshold": 102}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (0, "ok"),
        (69.9, "ok"),
        (70, "warning"),
        (89.99, "warning"),
        (90, "critical"),
        (100, "critical"),
    ],
)
def test_a_rising_value_has_crossed_a_threshold_when_it_reaches_it(value: float, status: str) -> None:
    assert judge_rising(value, RisingConfig(warning_threshold=70, critical_threshold=90)) == status


def test_equal_thresholds_leave_no_room_for_a_warning() -> None:
    config = RisingConfig(warning_threshold=90, critical_threshold=90)

    assert judge_rising(89.9, config) is CheckStatus.OK
    assert judge_rising(90, config) is CheckStatus.CRITICAL


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("cpu", {"samples": 5, "sample_interval": 1.0, "per_cpu": False, "warning": 70.0, "critical": 90.0}),
        ("memory", {"include_swap": False, "warning": 70.0, "critical": 90.0}),
        ("disk", {"paths": ["/"], "warning": 80.0, "critical": 95.0}),
    ],
)
def test_defaults_are_those_of_the_documentation(name: str, defaults: dict[str, Any]) -> None:
    config = CHECKERS[name].Config().model_dump()

    expected = {
        {"warning": "warning_threshold", "critical": "critical_threshold"}.get(key, key): value
        for key, value in defaults.items()
    }
    assert config == {"timeout": 10.0, **expected}


@pytest.mark.parametrize("name", CHECKERS)
def test_an_unknown_config_key_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValidationError, match="tresholds"):
        CHECKERS[name].Config.model_validate({"tresholds": 1})


@pytest.mark.parametrize("name", CHECKERS)
def test_reversed_thresholds_are_refused_with_both_names(name: str) -> None:
    with pytest.raises(ValidationError, match=r"warning_threshold 96 .* critical_threshold 95"):
        CHECKERS[name].Config.model_validate({"warning_threshold": 96, "critical_threshold": 95})


@pytest.mark.parametrize("key", ["timeout", "warning_threshold", "critical_threshold"])
@pytest.mark.parametrize("value", ["nan", "inf", "much"])
def test_a_limit_that_is_no_number_is_refused(key: str, value: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Memory.Config.model_validate({key: value})


def test_the_registry_names_each_checker_by_its_kind() -> None:
    assert {name: checker.kind for name, checker in CHECKERS.items()} == {name: name for name in CHECKERS}


def test_cpu_has_the_documented_metrics() -> None:
    result = Cpu(Cpu.Config(samples=3, sample_interval=0.05)).measure()

    assert result.metrics.keys() == {"cpu_percent", "cpu_min", "cpu_max", "samples", "cpu_count"}
    assert result.metrics["samples"] == 3
    assert result.metrics["cpu_count"] == os.cpu_count()
    assert result.metrics["cpu_min"] <= result.metrics["cpu_percent"] <= result.metrics["cpu_max"]


def test_cpu_takes_as_long_as_its_samples() -> None:
    started = time.monotonic()

    Cpu(Cpu.Config(samples=3, sample_interval=0.1)).measure()

    assert 0.28 < time.monotonic() - started < 1.0


def test_cpu_reports_each_core_when_asked() -> None:
    metrics = Cpu(Cpu.Config(samples=2, sample_interval=0.1, per_cpu=True)).measure().metrics

    assert len(metrics["per_cpu_percent"]) == metrics["cpu_count"]
    assert metrics["cpu_percent"] == pytest.approx(sum(metrics["per_cpu_percent"]) / metrics["cpu_count"], abs=0.2)


@needs_proc
def test_cpu_agrees_with_the_kernels_own_counters() -> None:
    checker = Cpu(Cpu.Config(samples=2, sample_interval=0.5))

    busy_before, total_before = busy_and_total_ticks()
    percent = checker.measure().metrics["cpu_percent"]
    busy_after, total_after = busy_and_total_ticks()

    expected = 100 * (busy_after - busy_before) / (total_after - total_before)
    assert percent == pytest.approx(expected, abs=10)


def test_cpu_samples_that_cannot_fit_the_timeout_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"samples 20 x sample_interval 1 s .* timeout 10 s"):
        Cpu.Config(samples=20)


@needs_proc
def test_memory_agrees_with_the_kernels_own_numbers() -> None:
    metrics = Memory(Memory.Config()).measure().metrics
    kernel = meminfo()

    used_percent = 100 * (1 - kernel["MemAvailable"] / kernel["MemTotal"])
    assert metrics["memory_percent"] == pytest.approx(used_percent, abs=3)
    assert metrics["memory_total_gb"] == pytest.approx(kernel["MemTotal"], abs=0.02)
    assert metrics["memory_available_gb"] == pytest.approx(kernel["MemAvailable"], rel=0.05, abs=0.1)
    assert metrics.keys() == {
        "memory_percent",
        "memory_total_gb",
        "memory_used_gb",
        "memory_available_gb",
    }


@needs_proc
def test_memory_agrees_with_the_kernel_about_swap_when_asked() -> None:
    metrics = Memory(Memory.Config(include_swap=True)).measure().metrics
    kernel = meminfo()

    assert metrics["swap_total_gb"] == pytest.approx(kernel["SwapTotal"], abs=0.02)
    assert metrics["swap_free_gb"] == pytest.approx(kernel["SwapFree"], abs=0.1)


def test_full_swap_decides_only_when_swap_is_included(monkeypatch: pytest.MonkeyPatch) -> None:
    swap = namedtuple("swap", "total used free percent")(GIB, GIB, 0, 100.0)  # noqa: PYI024  (psutil's own shape)
    monkeypatch.setattr(psutil, "swap_memory", lambda: swap)
    limits = {"warning_threshold": 99.5, "critical_threshold": 100}

    assert Memory(Memory.Config(**limits)).measure().status is CheckStatus.OK
    assert Memory(Memory.Config(**limits, include_swap=True)).measure().status is CheckStatus.CRITICAL


def test_a_crossed_threshold_stands_in_the_message() -> None:
    result = Memory(Memory.Config(warning_threshold=0, critical_threshold=101)).measure()

    assert result.status is CheckStatus.WARNING
    assert result.message.endswith("% used (warning at 0 %)")


def test_disk_agrees_with_statvfs() -> None:
    disk = Disk(Disk.Config()).measure().metrics["disks"]["/"]
    status = os.statvfs("/")

    assert disk["total_gb"] == pytest.approx(status.f_blocks * status.f_frsize / GIB, abs=0.01)
    assert disk["free_gb"] == pytest.approx(status.f_bavail * status.f_frsize / GIB, abs=0.5)


def test_disk_agrees_with_df() -> None:
    metrics = Disk(Disk.Config()).measure().metrics
    # -P keeps one line a file system; its percentage is rounded up.
    df_percent = subprocess.check_output(["df", "-P", "/"], text=True).splitlines()[1].split()[4]

    assert int(df_percent.rstrip("%")) - 1.5 <= metrics["worst_percent"] <= int(df_percent.rstrip("%")) + 0.5
    assert metrics["worst_path"] == "/"


def test_a_missing_path_beside_a_good_one_is_unknown_and_named() -> None:
    result = Disk(Disk.Config(paths=["/", "/no/such/mount"], **impossible())).measure()

    assert result.status is CheckStatus.UNKNOWN
    assert "/no/such/mount cannot be read: No such file or directory" in result.message
    assert result.error == "/no/such/mount: No such file or directory"
    assert result.metrics["disks"].keys() == {"/"}


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"warning_threshold": 0, "critical_threshold": 101}, CheckStatus.WARNING),
        ({"warning_threshold": 0, "critical_threshold": 0}, CheckStatus.CRITICAL),
    ],
)
def test_a_missing_path_does_not_hide_a_bad_one(limits: dict[str, float], status: CheckStatus) -> None:
    result = Disk(Disk.Config(paths=["/no/such/mount", "/"], **limits)).measure()

    assert result.status is status
    assert result.message.startswith("/ ")
    assert "/no/such/mount cannot be read" in result.message


def test_no_readable_path_at_all_is_unknown() -> None:
    result = Disk(Disk.Config(paths=["/no/such/mount"])).measure()

    assert result.status is CheckStatus.UNKNOWN
    assert result.metrics == {"disks": {}, "worst_percent": None, "worst_path": None}
    assert result.error


def test_the_fullest_path_is_the_worst_one() -> None:
    shm = "/dev/shm"
    if not os.path.ismount(shm):
        pytest.skip("needs a second file system")

    metrics = Disk(Disk.Config(paths=["/", shm])).measure().metrics

    percents = {path: disk["percent"] for path, disk in metrics["disks"].items()}
    assert metrics["worst_path"] == max(percents, key=lambda path: percents[path])
    assert metrics["worst_percent"] == max(percents.values())


@pytest.mark.parametrize("paths", [[], ["var"], ["/a\x00b"], [""], "/"])
def test_paths_that_cannot_be_meant_are_refused_by_name(paths: Any) -> None:
    with pytest.raises(ValidationError, match="paths"):
        Disk.Config(paths=paths)
