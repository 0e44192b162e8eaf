import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from pydantic import ValidationError

from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.cpu_temp import MAX_SENSORS, CpuTemp

HWMON = Path("/sys/class/hwmon")


class Entry(NamedTuple):
    """psutil's own shape."""

    label: str
    current: float
    high: float | None = None
    critical: float | None = None


Chips = dict[str, list[Entry]]
# As read on real machines: a Xeon with two sockets, a Ryzen, a Threadripper of the first kind, a Raspberry Pi.
XEON: Chips = {
    "acpitz": [Entry("", 8.3, 31.3, 31.3)],
    "coretemp": [
        Entry("Package id 0", 51.0, 86.0, 96.0),
        Entry("Core 0", 47.0, 86.0, 96.0),
        Entry("Package id 1", 58.0, 86.0, 96.0),
        Entry("Core 0", 55.0, 86.0, 96.0),
    ],
    "nvme": [Entry("Composite", 91.9, 84.8, 84.8)],
}
RYZEN: Chips = {"k10temp": [Entry("Tctl", 61.4), Entry("Tccd1", 58.2)], "amdgpu": [Entry("edge", 99.0)]}
THREADRIPPER: Chips = {"k10temp": [Entry("Tdie", 68.0, 70.0, 70.0), Entry("Tctl", 95.0)]}
RASPBERRY: Chips = {"cpu_thermal": [Entry("", 47.2, 110.0, 110.0)], "rp1_adc": [Entry("", 99.0)]}
ROCKCHIP: Chips = {
    "bigcore0_thermal": [Entry("", 41.6)],
    "soc_thermal": [Entry("", 43.5)],
    "modem_soc_thermal": [Entry("", 99.0)],
}
OLD_BOARD: Chips = {"cpu-thermal": [Entry("", 44.0)]}
DESKTOP_WITHOUT_DRIVER: Chips = {"acpitz": [Entry("", 27.8, 119.0, 119.0)]}


def has(chips: Chips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)


@pytest.mark.parametrize(
    ("chips", "celsius", "label"),
    [
        (XEON, 58.0, "coretemp Package id 1"),
        (RYZEN, 61.4, "k10temp Tctl"),
        (THREADRIPPER, 68.0, "k10temp Tdie"),
        (RASPBERRY, 47.2, "cpu_thermal"),
        (ROCKCHIP, 43.5, "soc_thermal"),
        (OLD_BOARD, 44.0, "cpu-thermal"),
        (DESKTOP_WITHOUT_DRIVER, 27.8, "acpitz"),
    ],
)
def test_the_hottest_sensor_of_a_processor_counts(
    chips: Chips, celsius: float, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(chips, monkeypatch)

    result = CpuTemp(CpuTemp.Config()).measure()

    assert result.metrics["cpu_temp_celsius"] == celsius
    assert result.message == f"CPU {celsius} °C at {label}"


def test_each_sensor_is_told_and_of_those_with_one_label_the_hotter(monkeypatch: pytest.MonkeyPatch) -> None:
    has(XEON, monkeypatch)

    metrics = CpuTemp(CpuTemp.Config()).measure().metrics

    assert metrics == {
        "cpu_temp_celsius": 58.0,
        "sensor_high_celsius": 86.0,
        "sensor_critical_celsius": 96.0,
        "sensors": {"coretemp Package id 0": 51.0, "coretemp Package id 1": 58.0, "coretemp Core 0": 55.0},
    }


@pytest.mark.parametrize(
    ("celsius", "status"),
    [(79.9, "ok"), (80.0, "warning"), (94.9, "warning"), (95.0, "critical"), (105.0, "critical")],
)
def test_the_thresholds_are_80_and_95_degrees(
    celsius: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has({"coretemp": [Entry("Package id 0", celsius, 70.0, 75.0)]}, monkeypatch)

    [reading] = CpuTemp(CpuTemp.Config()).measure().readings

    assert (reading.status, reading.value, reading.target) == (status, celsius, "")


def test_a_crossed_threshold_stands_in_the_message_with_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    has(XEON, monkeypatch)

    result = CpuTemp(CpuTemp.Config(warning_threshold=50)).measure()

    assert result.message == "CPU 58.0 °C at coretemp Package id 1 (warning at 50 °C)"


@pytest.mark.parametrize("dead", [0.0, -128.0, 150.1, 65261.8, float("nan")])
def test_what_no_processor_can_be_is_no_reading(dead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    has({"coretemp": [Entry("Core 0", dead), Entry("Core 1", 40.0, 65261.8, -5.0)]}, monkeypatch)

    metrics = CpuTemp(CpuTemp.Config()).measure().metrics

    assert metrics["sensors"] == {"coretemp Core 1": 40.0}
    assert (metrics["sensor_high_celsius"], metrics["sensor_critical_celsius"]) == (None, None)


@pytest.mark.parametrize("chips", [{}, {"nvme": [Entry("Composite", 40.0)]}, {"coretemp": [Entry("Core 0", 0.0)]}])
def test_a_host_without_a_sensor_that_works_is_not_applicable(
    chips: Chips, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(chips, monkeypatch)

    with pytest.raises(NotApplicableError, match="no temperature sensor of a processor"):
        CpuTemp(CpuTemp.Config()).measure()


def test_a_system_that_tells_no_temperatures_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)

    with pytest.raises(NotApplicableError, match="this operating system tells no temperatures"):
        CpuTemp(CpuTemp.Config()).measure()


def test_a_host_of_very_many_cores_tells_the_hottest_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    has({"coretemp": [Entry(f"Core {core}", 30 + core / 10) for core in range(300)]}, monkeypatch)

    sensors = CpuTemp(CpuTemp.Config()).measure().metrics["sensors"]

    assert len(sensors) == MAX_SENSORS
    assert (max(sensors.values()), min(sensors.values())) == (59.9, 55.0)


def test_a_label_that_is_no_text_becomes_text_that_a_database_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = b"Core\xff\x00".decode("utf-8", "surrogateescape") + "x" * 500
    has({"coretemp": [Entry(odd, 40.0)]}, monkeypatch)

    [label] = CpuTemp(CpuTemp.Config()).measure().metrics["sensors"]

    assert label.startswith("coretemp Core??x")
    assert len(label) <= 60


def test_a_kernels_sensors_are_read_as_they_are(tmp_path: Path) -> None:
    chip = tmp_path / "class" / "hwmon" / "hwmon3"
    chip.mkdir(parents=True)
    for name, text in {
        "name": "coretemp",
        "temp1_input": "83000",
        "temp1_label": "Package id 0",
        "temp1_max": "80000",
        "temp1_crit": "100000",
        "temp2_input": "81500",
        "temp2_label": "Core 0",
    }.items():
        (chip / name).write_text(f"{text}\n")
    program = (
        "from tasks.check.checkers.cpu_temp import CpuTemp\n"
        "print(CpuTemp(CpuTemp.Config()).measure().model_dump_json())"
    )

    result = json.loads(run_with_sys(tmp_path, program))

    assert result["status"] == "warning"
    assert result["metrics"] == {
        "cpu_temp_celsius": 83.0,
        "sensor_high_celsius": 80.0,
        "sensor_critical_celsius": 100.0,
        "sensors": {"coretemp Core 0": 81.5, "coretemp Package id 0": 83.0},
    }


def test_the_reading_agrees_with_the_kernels_files_where_this_machine_has_them() -> None:
    files = [path for name in ("coretemp", "k10temp") for path in inputs_of(name)]
    if not files:
        pytest.skip("this machine has no such sensor")

    celsius = CpuTemp(CpuTemp.Config()).measure().metrics["cpu_temp_celsius"]

    assert celsius == pytest.approx(max(int(path.read_text()) / 1000 for path in files), abs=15)


def test_a_warning_above_critical_is_refused() -> None:
    with pytest.raises(ValidationError, match="warning_threshold 96 must not be above critical_threshold 95"):
        CpuTemp.Config(warning_threshold=96)


def inputs_of(name: str) -> list[Path]:
    chips = [path.parent for path in HWMON.glob("hwmon*/name") if path.read_text().strip() == name]
    return [path for chip in chips for path in chip.glob("temp*_input")]


def run_with_sys(tree: Path, program: str) -> str:
    """What a Python program prints where /sys is another tree, in a mount namespace of its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    script = 'mount --bind "$1" /sys && exec "$2" -c "$3"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", tree, sys.executable, program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"cannot make a mount namespace: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stdout
