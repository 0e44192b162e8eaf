from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from storage.vocabulary import CheckStatus
from tasks.check.checkers.memory import Memory

GIB = 1024**3
needs_proc = pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="compares with /proc")


def meminfo() -> dict[str, float]:
    """/proc/meminfo in GiB."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 / GIB for fields in lines}


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


@pytest.mark.parametrize(
    ("percent", "status"),
    [(0.0, "ok"), (69.9, "ok"), (70.0, "warning"), (89.9, "warning"), (90.0, "critical"), (100.0, "critical")],
)
def test_the_part_of_memory_in_use_is_judged(monkeypatch: pytest.MonkeyPatch, percent: float, status: str) -> None:
    memory = SimpleNamespace(percent=percent, total=4 * GIB, used=GIB, available=3 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    result = Memory(Memory.Config()).measure()

    assert (result.status, result.readings[0].value) == (status, percent)
    assert result.message.startswith(f"Memory {percent:.1f} % used")


@needs_proc
def test_a_host_without_swap_uses_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_swap = Path("/proc/meminfo").read_text().splitlines()
    without_swap = [line for line in without_swap if not line.startswith("Swap")]
    (tmp_path / "meminfo").write_text("\n".join([*without_swap, "SwapTotal: 0 kB", "SwapFree: 0 kB", ""]))
    (tmp_path / "vmstat").write_text("pswpin 0\npswpout 0\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    result = Memory(Memory.Config(include_swap=True, warning_threshold=99.9, critical_threshold=99.9)).measure()

    assert result.status is CheckStatus.OK
    assert result.message.endswith("Swap 0.0 % used")
    assert {key: value for key, value in result.metrics.items() if key.startswith("swap")} == {
        "swap_percent": 0.0,
        "swap_total_gb": 0.0,
        "swap_used_gb": 0.0,
        "swap_free_gb": 0.0,
    }
