import os
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.disk_temp import MAX_DISKS, DiskTemp
from tasks.check.readings import sensors


class Tree(SimpleNamespace):
    """A sysfs as the kernel lays it out: monitors under class/hwmon, their devices under devices."""

    def monitor(self, number: int, module: str, device: Path, **files: str) -> Path:
        monitor = self.hwmon / f"hwmon{number}"
        monitor.mkdir(parents=True)
        (monitor / "device").symlink_to(os.path.relpath(device, monitor))
        for name, text in {"name": module, **files}.items():
            (monitor / name).write_text(f"{text}\n")
        return monitor

    def sata(self, number: int, name: str, millidegrees: str, *, model: str = "WDC WD40EFRX-68N") -> Path:
        device = self.devices / "ata1" / "host0" / f"{number}:0:0:0"
        (device / "block" / name).mkdir(parents=True)
        (device / "model").write_text(f"{model}\n")
        return self.monitor(number, "drivetemp", device, temp1_input=millidegrees, temp1_crit="70000")

    def nvme(self, number: int, name: str, millidegrees: str) -> Path:
        device = self.devices / "pci0000:00" / "0000:01:00.0" / "nvme" / name
        (device / f"{name}n1").mkdir(parents=True)
        (device / "model").write_text("Samsung SSD 980 PRO 1TB                 \n")
        return self.monitor(
            number, "nvme", device, temp1_input=millidegrees, temp1_label="Composite", temp3_input="99850"
        )


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    made = Tree(hwmon=tmp_path / "class" / "hwmon", devices=tmp_path / "devices")
    made.hwmon.mkdir(parents=True)
    monkeypatch.setattr(sensors, "HWMON", made.hwmon)
    return made


def measured(timeout: float = 10.0) -> CheckResult:
    return DiskTemp(DiskTemp.Config(timeout=timeout)).measure()


def statuses(result: CheckResult) -> dict[str, str]:
    return {reading.target: reading.status.value for reading in result.readings}


def test_each_drive_is_a_reading_by_the_name_of_its_device(tree: Tree) -> None:
    tree.nvme(0, "nvme0", "41850")
    tree.sata(1, "sda", "61000")
    tree.sata(2, "sdb", "70000")

    result = measured()

    assert statuses(result) == {"nvme0": "ok", "sda": "warning", "sdb": "critical"}
    assert result.message == (
        "Drive sdb (WDC WD40EFRX-68N) 70.0 °C (critical at 70 °C); "
        "Drive sda (WDC WD40EFRX-68N) 61.0 °C (warning at 60 °C)"
    )


def test_a_good_result_names_the_hottest_drive(tree: Tree) -> None:
    tree.nvme(0, "nvme0", "41850")
    tree.sata(1, "sda", "35000")

    result = measured()

    assert (result.status, result.message) == (CheckStatus.OK, "2 drives, the hottest nvme0 41.9 °C")


def test_metrics_have_each_drive_and_what_it_calls_critical_itself(tree: Tree) -> None:
    tree.nvme(0, "nvme0", "41850")
    tree.sata(1, "sda", "35000")

    assert measured().metrics == {
        "disk_temp_celsius": 41.9,
        "disks": {
            "nvme0": {"temp_celsius": 41.9, "drive_critical_celsius": None, "model": "Samsung SSD 980 PRO 1TB"},
            "sda": {"temp_celsius": 35.0, "drive_critical_celsius": 70.0, "model": "WDC WD40EFRX-68N"},
        },
    }


@pytest.mark.parametrize("limit", ["65261850", "0", "-273150", "hot"])
def test_a_limit_that_no_drive_can_have_is_none(limit: str, tree: Tree) -> None:
    (tree.sata(0, "sda", "30000") / "temp1_crit").write_text(f"{limit}\n")

    assert measured().metrics["disks"]["sda"]["drive_critical_celsius"] is None


def test_an_nvme_drive_is_found_where_older_kernels_have_it(tree: Tree) -> None:
    pci = tree.devices / "pci0000:00" / "0000:04:00.0"
    (pci / "nvme" / "nvme1").mkdir(parents=True)
    tree.monitor(0, "nvme", pci, temp1_input="38850")

    assert statuses(measured()) == {"nvme1": "ok"}


@pytest.mark.parametrize(
    ("millidegrees", "status"),
    [("59900", "ok"), ("60000", "warning"), ("69900", "warning"), ("70000", "critical"), ("149000", "critical")],
)
def test_the_thresholds_are_60_and_70_degrees(millidegrees: str, status: str, tree: Tree) -> None:
    tree.sata(0, "sda", millidegrees)

    assert statuses(measured()) == {"sda": status}


@pytest.mark.parametrize("dead", ["0", "-128000", "65261850", "nan"])
def test_what_no_drive_can_be_is_no_reading(dead: str, tree: Tree) -> None:
    tree.sata(0, "sda", dead)
    tree.sata(1, "sdb", "30000")

    assert statuses(measured()) == {"sdb": "ok"}


def test_monitors_of_other_things_are_no_drives(tree: Tree) -> None:
    tree.monitor(0, "coretemp", tree.devices, temp1_input="99000")

    with pytest.raises(NotApplicableError, match="SATA drives need the kernel module drivetemp"):
        measured()


def test_a_host_without_monitors_is_not_applicable(tree: Tree) -> None:
    tree.hwmon.rmdir()

    with pytest.raises(NotApplicableError, match="no drive tells its temperature"):
        measured()


def test_a_drive_that_hangs_is_unknown_by_itself_and_the_others_count(tree: Tree) -> None:
    monitor = tree.sata(0, "sda", "0")
    (monitor / "temp1_input").unlink()
    os.mkfifo(monitor / "temp1_input")
    tree.sata(1, "sdb", "61000")
    started = time.monotonic()

    try:
        result = measured(timeout=0.5)
    finally:
        os.close(os.open(monitor / "temp1_input", os.O_WRONLY))  # lets the reader go

    assert time.monotonic() - started < 5
    assert statuses(result) == {"sdb": "warning", "sda": "unknown"}
    assert result.error == "Drive sda does not tell its temperature: no answer within 0.45 s"


def test_a_drive_that_does_not_answer_is_unknown_with_the_reason(tree: Tree) -> None:
    (tree.sata(0, "sda", "0") / "temp1_input").unlink()

    result = measured()

    assert result.error == "Drive sda does not tell its temperature: No such file or directory"
    assert result.metrics == {"disk_temp_celsius": None, "disks": {}}


def test_a_model_that_is_no_text_becomes_text_that_a_database_takes(tree: Tree) -> None:
    monitor = tree.sata(0, "sda", "30000")
    (monitor / "device" / "model").write_bytes(b"DISK\xff\x00" + b"x" * 500)

    model = measured().metrics["disks"]["sda"]["model"]

    assert model.startswith("DISK\ufffdx")
    assert len(model) == 60


def test_of_very_many_drives_all_are_read_and_the_hottest_are_told(tree: Tree) -> None:
    for number in range(60):
        tree.sata(number, f"sd{number}", str(30_000 + number * 100))

    result = measured()

    assert len(result.readings) == 60
    assert list(result.metrics["disks"])[:2] == ["sd59", "sd58"]
    assert len(result.metrics["disks"]) == MAX_DISKS


def test_the_readings_agree_with_psutil_where_this_machine_has_such_drives() -> None:
    read = getattr(psutil, "sensors_temperatures", None)
    known = [entry.current for entry in (read() if read else {}).get("nvme", []) if entry.label == "Composite"]
    if not known:
        pytest.skip("this machine has no such drive")

    values = [reading.value for reading in measured().readings if reading.target.startswith("nvme")]

    assert sorted(value for value in values if value) == pytest.approx(sorted(known), abs=5)


def test_a_warning_above_critical_is_refused() -> None:
    with pytest.raises(ValidationError, match="warning_threshold 71 must not be above critical_threshold 70"):
        DiskTemp.Config(warning_threshold=71)
