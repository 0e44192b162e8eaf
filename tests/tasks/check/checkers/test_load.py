from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.load import Load

needs_proc = pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="compares with /proc")


def kernel_loads() -> list[float]:
    return [float(field) for field in Path("/proc/loadavg").read_text().split()[:3]]


@needs_proc
def test_load_agrees_with_the_kernels_own_averages() -> None:
    # The kernel counts anew every 5 s, perhaps between two of these readings.
    before = kernel_loads()
    metrics = Load(Load.Config()).measure().metrics
    after = kernel_loads()

    found = [metrics["load_1"], metrics["load_5"], metrics["load_15"]]
    assert found in (pytest.approx(before, abs=0.011), pytest.approx(after, abs=0.011))


@needs_proc
def test_load_divides_by_the_cores_that_the_kernel_counts() -> None:
    cores = [
        line for line in Path("/proc/stat").read_text().splitlines() if line[:3] == "cpu" and line[3].isdigit()
    ]

    metrics = Load(Load.Config()).measure().metrics

    assert metrics["cpu_count"] == len(cores)
    assert metrics["load_per_core"] == pytest.approx(metrics["load_5"] / len(cores), abs=0.011)
    assert metrics.keys() == {"load_1", "load_5", "load_15", "cpu_count", "load_per_core"}


@pytest.mark.parametrize(
    ("load", "status"),
    [
        (0.0, "ok"),
        (8.0, "ok"),
        (15.9, "ok"),
        (16.0, "warning"),
        (31.9, "warning"),
        (32.0, "critical"),
        (800.0, "critical"),
    ],
)
def test_the_load_for_each_core_is_judged(monkeypatch: pytest.MonkeyPatch, load: float, status: str) -> None:
    monkeypatch.setattr(psutil, "getloadavg", lambda: (0.0, load, 0.0))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 8)

    assert Load(Load.Config()).measure().status == status


@pytest.mark.parametrize(("minutes", "per_core"), [(1, 12.5), (5, 2.25), (15, 1.5)])
def test_the_average_that_is_judged_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, minutes: Any, per_core: float
) -> None:
    monkeypatch.setattr(psutil, "getloadavg", lambda: (50.0, 9.0, 6.0))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)

    reading = Load(Load.Config(minutes=minutes)).measure().readings[0]

    assert reading.value == per_core
    assert reading.message.startswith(f"Load {per_core:.2f} per core over {minutes} min")


def test_a_crossed_threshold_is_told_with_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "getloadavg", lambda: (1.0, 9.0, 1.0))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)

    message = Load(Load.Config()).measure().message

    assert message == "Load 4.50 per core over 5 min (9.00 on 2) (critical at 4 per core)"


def test_a_platform_without_load_averages_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "getloadavg")

    with pytest.raises(NotApplicableError, match="no load averages"):
        Load(Load.Config()).measure()


def test_a_platform_that_does_not_tell_its_processors_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: None)

    with pytest.raises(NotApplicableError, match="how many processors"):
        Load(Load.Config()).measure()


def test_averages_that_cannot_be_read_are_no_good_news(monkeypatch: pytest.MonkeyPatch) -> None:
    def unobtainable() -> Any:
        raise OSError("Load averages are unobtainable")

    monkeypatch.setattr(psutil, "getloadavg", unobtainable)

    with pytest.raises(OSError, match="unobtainable"):
        Load(Load.Config()).measure()


@pytest.mark.parametrize("config", [{"minutes": 10}, {"minutes": "five"}, {"minutes": None}])
def test_an_average_that_no_kernel_keeps_is_refused_by_name(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="minutes"):
        Load.Config.model_validate(config)


def test_a_warning_above_critical_is_refused() -> None:
    with pytest.raises(ValidationError, match="warning_threshold 5 must not be above critical_threshold 4"):
        Load.Config(warning_threshold=5)
