import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hung_mount import hung_mount
from mounting import MIB, fill, mounted, mounted_disk
from pydantic import ValidationError

from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.disk_inodes import DiskInodes

needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts as Linux lists them")
needs_inodes = pytest.mark.skipif(not os.statvfs("/").f_files, reason="/ has no fixed number of inodes")


def disk_inodes(*paths: str | Path, **config: Any) -> DiskInodes:
    return DiskInodes(DiskInodes.Config(paths=[str(path) for path in paths] or None, **config))


def make_files(place: Path, count: int) -> None:
    for number in range(count):
        (place / f"file{number}").touch()


def df_inodes(path: str | Path) -> tuple[int, int, int, int]:
    """What df says of a file system's inodes: how many, used, free, and used per cent, rounded up."""
    line = subprocess.check_output(["df", "-iP", str(path)], text=True, timeout=10).splitlines()[1]
    total, used, free, percent = line.split()[1:5]
    return int(total), int(used), int(free), int(percent.rstrip("%"))


@needs_inodes
def test_inodes_agree_with_df_and_with_statvfs() -> None:
    metrics = disk_inodes("/").measure().metrics
    total, used, free, percent = df_inodes("/")

    root = metrics["disks"]["/"]
    assert root["inodes_total"] == pytest.approx(total, rel=0.001)
    assert root["inodes_total"] == pytest.approx(os.statvfs("/").f_files, rel=0.001)
    assert root["inodes_used"] == pytest.approx(used, rel=0.02)
    assert root["inodes_free"] == pytest.approx(free, rel=0.02)
    assert percent - 1.2 <= root["inodes_percent"] <= percent + 0.2
    assert (metrics["worst_path"], metrics["worst_percent"]) == ("/", root["inodes_percent"])


def test_inodes_agree_with_df_to_the_last_one_on_a_file_system_that_is_at_rest(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as place:
        make_files(place, 321)
        measured = disk_inodes(place).measure().metrics["disks"][str(place)]
        total, used, free, percent = df_inodes(place)

    assert measured == {
        "inodes_percent": round(100 * used / total, 1),
        "inodes_total": total,
        "inodes_used": used,
        "inodes_free": free,
    }
    assert math.ceil(measured["inodes_percent"]) == percent


@pytest.mark.parametrize(
    ("files", "status", "message"),
    [
        (1000, "ok", "{} 25.0 % of inodes used, 2,999 free"),
        (3190, "ok", "{} 79.8 % of inodes used, 809 free"),
        (3199, "warning", "{} 80.0 % of inodes used, 800 free (warning at 80 %)"),
        (3799, "critical", "{} 95.0 % of inodes used, 200 free (critical at 95 %)"),
        (3999, "critical", "{} 100.0 % of inodes used, 0 free (critical at 95 %)"),
    ],
)
def test_a_file_system_is_as_bad_as_it_is_full_of_files(
    tmp_path: Path, files: int, status: str, message: str
) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=20m,nr_inodes=4000", "tmpfs") as place:
        make_files(place, files)  # its root folder is one more

        result = disk_inodes(place).measure()

    assert (result.status, result.message) == (status, message.format(place))
    assert [reading.target for reading in result.readings] == [str(place)]


def test_space_is_none_of_its_business(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=10m,nr_inodes=1000", "tmpfs") as place:
        fill(place, 10 * MIB)

        assert disk_inodes(place).measure().status is CheckStatus.OK


@pytest.mark.parametrize(("files", "status", "held"), [(779, "ok", "warning"), (759, "ok", "ok")])
def test_the_margin_holds_what_was_bad(tmp_path: Path, files: int, status: str, held: str) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=10m,nr_inodes=1000", "tmpfs") as place:
        make_files(place, files)

        [reading] = disk_inodes(place, clear=3).measure().readings

    assert (reading.status, reading.held) == (status, held)


def test_the_file_system_with_most_inodes_used_is_the_worst_and_is_told_first(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "full", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "tmpfs") as full,
        mounted(tmp_path / "fuller", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "tmpfs") as fuller,
    ):
        make_files(full, 84)
        make_files(fuller, 89)

        result = disk_inodes(full, fuller).measure()

    assert (result.metrics["worst_path"], result.metrics["worst_percent"]) == (str(fuller), 90.0)
    assert result.message.startswith(f"{fuller} 90.0 %")
    assert f"; {full} 85.0 %" in result.message


def test_by_default_every_disk_is_checked_once(tmp_path: Path) -> None:
    with (
        mounted_disk(tmp_path / "disk") as place,
        mounted(tmp_path / "same", "--bind", str(place)),
        mounted(tmp_path / "memory", "-t", "tmpfs", "tmpfs"),
    ):
        disks = disk_inodes().measure().metrics["disks"]

    assert {path for path in disks if path.startswith(str(tmp_path))} == {str(place)}


@needs_linux
@needs_inodes
def test_what_has_no_fixed_number_of_inodes_is_passed_over() -> None:
    result = disk_inodes("/proc", "/").measure()

    assert [reading.target for reading in result.readings] == ["/"]
    assert result.metrics["disks"].keys() == {"/"}


@needs_linux
def test_where_nothing_has_a_fixed_number_of_inodes_there_is_nothing_to_check() -> None:
    with pytest.raises(NotApplicableError, match="no file system here has a fixed number of inodes"):
        disk_inodes("/proc").measure()


@needs_linux
def test_a_missing_path_is_unknown_even_where_nothing_else_has_inodes() -> None:
    result = disk_inodes("/proc", "/no/such").measure()

    assert (result.status, result.error) == (
        CheckStatus.UNKNOWN,
        "/no/such cannot be read: No such file or directory",
    )
    assert [reading.target for reading in result.readings] == ["/no/such"]
    assert result.metrics == {"disks": {}, "worst_percent": None, "worst_path": None}


@needs_inodes
def test_a_hung_path_is_unknown_and_the_other_is_still_judged() -> None:
    with hung_mount() as hung:
        result = disk_inodes(hung, "/", timeout=0.4, warning_threshold=0, critical_threshold=0).measure()

    assert result.status is CheckStatus.CRITICAL
    assert result.message.startswith("/ ")
    assert result.error == f"{hung} did not answer within 0.36 s"


@pytest.mark.parametrize("paths", [[], ["var"], ["/a\x00b"], [""], "/", ["/"] * 51])
def test_paths_that_cannot_be_meant_are_refused_by_name(paths: Any) -> None:
    with pytest.raises(ValidationError, match="paths"):
        DiskInodes.Config(paths=paths)


def test_a_warning_above_critical_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="warning_threshold 96 must not be above critical_threshold 95"):
        DiskInodes.Config(warning_threshold=96)
