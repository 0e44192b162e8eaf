import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from storage.vocabulary import CheckStatus
from tasks.check.checkers.cpu import Cpu, per_core, summary

needs_proc = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="compares with /proc")


def busy_and_total_ticks() -> tuple[int, int]:
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


@pytest.fixture
def half_busy() -> Iterator[None]:
    """Processes that keep about half of the cores busy."""
    program = "print('ready', flush=True)\nwhile True: pass"
    burners = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        for _ in range(max(1, (os.cpu_count() or 1) // 2))
    ]
    for burner in burners:
        assert burner.stdout
        burner.stdout.readline()
    yield
    for burner in burners:
        burner.kill()
        burner.communicate()


def test_cpu_has_the_documented_metrics() -> None:
    result = Cpu(Cpu.Config(samples=3, sample_interval=0.05)).measure()

    assert result.metrics.keys() == {"cpu_percent", "cpu_min", "cpu_max", "samples", "cpu_count"}
    assert result.metrics["samples"] == 3
    assert result.metrics["cpu_count"] == os.cpu_count()
    assert result.metrics["cpu_min"] <= result.metrics["cpu_percent"] <= result.metrics["cpu_max"]


@pytest.mark.parametrize(
    ("samples", "sample_interval", "windows_seconds"),
    [
        (1, 1.0, [0.5]),
        (5, 1.0, [0.5, 1.0, 1.0, 1.0, 1.0]),
        (3, 0.2, [0.2, 0.2, 0.2]),
        (2, 3.0, [0.5, 3.0]),
    ],
)
def test_each_sample_looks_back_to_the_one_before_and_the_first_over_half_a_second_at_most(
    samples: int, sample_interval: float, windows_seconds: list[float]
) -> None:
    assert Cpu.Config(samples=samples, sample_interval=sample_interval).windows_seconds == windows_seconds


@pytest.mark.parametrize(("samples", "sample_interval", "seconds"), [(1, 5.0, 0.5), (2, 0.7, 1.2), (3, 0.1, 0.3)])
def test_cpu_takes_as_long_as_its_samples(samples: int, sample_interval: float, seconds: float) -> None:
    started = time.monotonic()

    Cpu(Cpu.Config(samples=samples, sample_interval=sample_interval)).measure()

    assert seconds - 0.01 < time.monotonic() - started < seconds + 0.4


def test_each_sample_weighs_as_much_as_the_time_it_looked_over() -> None:
    idle_then_busy = [[0.0, 0.0], [90.0, 100.0], [80.0, 90.0]]

    metrics = summary(idle_then_busy, [0.5, 1.0, 1.0])

    assert metrics == {"cpu_percent": 72.0, "cpu_min": 0.0, "cpu_max": 95.0, "samples": 3, "cpu_count": 2}
    assert per_core(idle_then_busy, [0.5, 1.0, 1.0]) == [68.0, 76.0]


def test_a_core_that_is_switched_off_meanwhile_does_no_harm() -> None:
    rounds = [[50.0, 100.0], [50.0]]

    assert summary(rounds, [1.0, 1.0])["cpu_count"] == 1
    assert per_core(rounds, [1.0, 1.0]) == [50.0]


def test_cpu_reports_each_core_when_asked() -> None:
    metrics = Cpu(Cpu.Config(samples=2, sample_interval=0.1, per_cpu=True)).measure().metrics

    assert len(metrics["per_cpu_percent"]) == metrics["cpu_count"]
    assert metrics["cpu_percent"] == pytest.approx(sum(metrics["per_cpu_percent"]) / metrics["cpu_count"], abs=0.2)


@needs_proc
@pytest.mark.usefixtures("half_busy")
def test_cpu_agrees_with_the_kernels_own_counters() -> None:
    checker = Cpu(Cpu.Config(samples=3, sample_interval=0.3))

    busy_before, total_before = busy_and_total_ticks()
    percent = checker.measure().metrics["cpu_percent"]
    busy_after, total_after = busy_and_total_ticks()

    expected = 100 * (busy_after - busy_before) / (total_after - total_before)
    assert percent == pytest.approx(expected, abs=5)
    assert percent > 20


@needs_proc
@pytest.mark.usefixtures("half_busy")
def test_cpu_checkers_side_by_side_do_not_disturb_each_other() -> None:
    percents: dict[float, float] = {}

    def measure(interval: float) -> None:
        checker = Cpu(Cpu.Config(samples=round(1.2 / interval), sample_interval=interval))
        percents[interval] = checker.measure().metrics["cpu_percent"]

    threads = [threading.Thread(target=measure, args=(interval,)) for interval in (0.1, 0.3, 0.4)]
    busy_before, total_before = busy_and_total_ticks()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    busy_after, total_after = busy_and_total_ticks()

    expected = 100 * (busy_after - busy_before) / (total_after - total_before)
    assert percents == pytest.approx(dict.fromkeys((0.1, 0.3, 0.4), expected), abs=8)


@pytest.mark.parametrize(
    ("percent", "status"),
    [(0.0, "ok"), (69.9, "ok"), (70.0, "warning"), (89.9, "warning"), (90.0, "critical"), (100.0, "critical")],
)
def test_the_mean_of_all_cores_is_judged(monkeypatch: pytest.MonkeyPatch, percent: float, status: str) -> None:
    # Never more than 100 in one core, so that the mean, and not the busiest core, is what is judged.
    spread = min(percent, 100 - percent)
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: [percent + spread, percent - spread])

    result = Cpu(Cpu.Config()).measure()

    assert (result.status, result.readings[0].value) == (status, percent)
    assert result.message.startswith(f"CPU {percent:.1f} % busy")


def test_a_calm_first_sample_does_not_hide_a_busy_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, **_: [0.0 if interval == 0.5 else 95.0])

    assert Cpu(Cpu.Config(samples=20, timeout=30)).measure().status is CheckStatus.CRITICAL


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"samples": 11}, "samples 11 at sample_interval 1 s take 10.5 s, .* 0.5 s less than timeout 10 s"),
        ({"samples": 2, "sample_interval": 9.1}, "samples 2 at sample_interval 9.1 s take 9.6 s"),
        ({"samples": 1, "timeout": 0.9}, "take 0.5 s, which must be at least 0.5 s less than timeout 0.9 s"),
        ({"samples": 0}, "samples"),
        ({"samples": 10**400}, "samples"),
        ({"sample_interval": 0.001}, "sample_interval"),
        ({"sample_interval": float("nan")}, "sample_interval"),
    ],
)
def test_samples_that_cannot_be_meant_are_refused_by_name(config: dict[str, float], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Cpu.Config.model_validate(config)


def test_samples_that_just_fit_the_timeout_are_taken() -> None:
    assert Cpu.Config(samples=10).samples == 10
    assert Cpu.Config(samples=1, sample_interval=3600).first_window_seconds == 0.5
