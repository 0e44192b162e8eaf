import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hung_mount import hung_mount
from hypothesis import given
from hypothesis import strategies as st
from mounting import MIB, fill, mounted, mounted_disk
from pydantic import ValidationError
from trees import as_nobody

from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.disk import Disk, Space
from tasks.check.checks import run_checkers

GIB = 1024**3
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts as Linux lists them")


def impossible() -> dict[str, float]:
    """Thresholds that no reading reaches."""
    return {"warning_threshold": 101, "critical_threshold": 102}


def disk(*paths: str | Path, **config: Any) -> Disk:
    return Disk(Disk.Config(paths=[str(path) for path in paths] or None, **config))


def space(total_gb: float, percent: float) -> Space:
    """A file system of that size, filled to that percentage."""
    free_bytes = round(total_gb * GIB * (100 - percent) / 100)
    return Space(percent, round(total_gb * GIB), round(total_gb * GIB) - free_bytes, free_bytes)


def df(*arguments: str) -> list[str]:
    """The fields of df's one line: total, used, free, percentage."""
    return subprocess.check_output(["df", "-P", *arguments], text=True, timeout=10).splitlines()[1].split()[1:5]


def test_disk_agrees_with_statvfs() -> None:
    measured = disk("/").measure().metrics["disks"]["/"]
    status = os.statvfs("/")

    assert measured["total_gb"] == pytest.approx(status.f_blocks * status.f_frsize / GIB, abs=0.01)
    assert measured["used_gb"] == pytest.approx(
        (status.f_blocks - status.f_bfree) * status.f_frsize / GIB, abs=0.5
    )
    assert measured["free_gb"] == pytest.approx(status.f_bavail * status.f_frsize / GIB, abs=0.5)
    assert measured["inodes_free"] == (pytest.approx(status.f_ffree, rel=0.01) if status.f_files else None)


def test_disk_agrees_with_df() -> None:
    metrics = disk("/").measure().metrics
    _, used, free, capacity = df("-k", "/")

    assert metrics["worst_path"] == "/"
    assert metrics["worst_percent"] == pytest.approx(100 * int(used) / (int(used) + int(free)), abs=0.2)
    # df rounds up.
    assert int(capacity.rstrip("%")) - 1.2 <= metrics["worst_percent"] <= int(capacity.rstrip("%")) + 0.2


def test_disk_agrees_with_df_to_the_last_file_on_a_file_system_that_is_at_rest(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as place:
        fill(place, 3 * MIB)
        measured = disk(place).measure().metrics["disks"][str(place)]
        _, used, free, capacity = df("-k", str(place))
        _, inodes_used, inodes_free, inodes_capacity = df("-i", str(place))

    assert math.ceil(measured["percent"]) == int(capacity.rstrip("%"))
    assert measured["percent"] == round(100 * int(used) / (int(used) + int(free)), 1)
    assert measured["inodes_free"] == int(inodes_free)
    assert measured["inodes_percent"] == round(100 * int(inodes_used) / (int(inodes_used) + int(inodes_free)), 1)
    assert math.ceil(measured["inodes_percent"]) == int(inodes_capacity.rstrip("%"))


@pytest.mark.parametrize(
    ("filled_mb", "status", "message"),
    [
        (10, "ok", "{} 50.0 % full, 10 MB free"),
        (16, "warning", "{} 80.0 % full, 4 MB free (warning at 80 %)"),
        (18, "warning", "{} 90.0 % full, 2 MB free (warning at 80 %)"),
        (19, "critical", "{} 95.0 % full, 1 MB free (critical at 95 %)"),
        (20, "critical", "{} 100.0 % full, 0 MB free (critical at 95 %)"),
    ],
)
def test_a_file_system_is_as_bad_as_it_is_full(tmp_path: Path, filled_mb: int, status: str, message: str) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=20m", "tmpfs") as place:
        fill(place, filled_mb * MIB)

        result = disk(place).measure()

    assert (result.status, result.message) == (status, message.format(place))
    assert [(reading.target, reading.value) for reading in result.readings] == [(str(place), filled_mb * 5.0)]


@pytest.mark.parametrize(
    ("critical_free_gb", "status"), [(None, "critical"), (0.001, "warning"), (0.002, "critical")]
)
def test_a_full_file_system_with_room_enough_is_no_more_than_a_warning(
    tmp_path: Path, critical_free_gb: float | None, status: str
) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=40m", "tmpfs") as place:
        fill(place, 5 * 10**5 + 38 * MIB)

        result = disk(place, critical_free_gb=critical_free_gb).measure()

    assert result.status == status


@pytest.mark.parametrize(
    ("total_gb", "percent", "status", "held"),
    [
        (100, 77.9, "ok", "ok"),
        (100, 78, "ok", "warning"),
        (100, 79.9, "ok", "warning"),
        (100, 80, "warning", "warning"),
        (100, 92.9, "warning", "warning"),
        (100, 93, "warning", "critical"),
        (100, 95, "critical", "critical"),
        (20_000, 96, "critical", "critical"),
    ],
)
def test_the_percentage_alone_decides_unless_told_otherwise(
    total_gb: float, percent: float, status: str, held: str
) -> None:
    reading = Disk.Config(clear=2).read_space("/", space(total_gb, percent))

    assert (reading.status, reading.held) == (status, held)


@pytest.mark.parametrize(
    ("clear", "total_gb", "percent", "status", "held"),
    [
        # 20 TB with 800 GB free: nobody is woken.
        (0, 20_000, 96, "warning", "warning"),
        (0, 20_000, 99.8, "critical", "critical"),
        # Exactly 50 GB free is not less than 50.
        (0, 1000, 95, "warning", "warning"),
        (0, 1000, 95.1, "critical", "critical"),
        # Little is free, but the percentage is good: a small disk is not bad for being small.
        (0, 40, 10, "ok", "ok"),
        (0, 40, 94.9, "warning", "warning"),
        (0, 40, 95, "critical", "critical"),
        # The margin of 2 % is 20 GB of 1000: 69.9 GB free is not yet over, 70 GB is.
        (2, 1000, 93.01, "warning", "critical"),
        (2, 1000, 93, "warning", "warning"),
        (2, 1000, 96, "critical", "critical"),
        # The margin is 400 GB of 20,000: what was critical is over at 450 GB free.
        (2, 20_000, 99.7, "warning", "critical"),
        (2, 20_000, 97.8, "warning", "critical"),
        (2, 20_000, 97.7, "warning", "warning"),
        (2, 20_000, 79, "ok", "warning"),
        # Always short of 50 GB, so that the percentage's margin decides.
        (2, 40, 93, "warning", "critical"),
        (2, 40, 92.9, "warning", "warning"),
    ],
)
def test_critical_needs_the_percentage_and_too_little_free_and_both_have_the_margin(
    clear: float, total_gb: float, percent: float, status: str, held: str
) -> None:
    reading = Disk.Config(clear=clear, critical_free_gb=50).read_space("/", space(total_gb, percent))

    assert (reading.status, reading.held) == (status, held)


@given(
    total_gb=st.floats(0.01, 1e6),
    percent=st.floats(0, 100),
    clear=st.floats(0, 79),
    critical_free_gb=st.none() | st.floats(0.001, 1e6),
)
def test_what_is_held_is_never_better_than_what_is_seen(
    total_gb: float, percent: float, clear: float, critical_free_gb: float | None
) -> None:
    config = Disk.Config(clear=clear, critical_free_gb=critical_free_gb)

    reading = config.read_space("/", space(total_gb, percent))

    assert reading.held.rank >= reading.status.rank


@pytest.mark.parametrize(
    ("total_gb", "percent", "message"),
    [
        (250, 96.2, "/ 96.2 % full, 9.5 GB free (critical at 95 %)"),
        (20_000, 96, "/ 96.0 % full, 800.0 GB free (warning at 80 %)"),
        (50_000, 10, "/ 10.0 % full, 45,000.0 GB free"),
        (10, 90.1, "/ 90.1 % full, 1,014 MB free (warning at 80 %)"),
    ],
)
def test_the_message_says_how_much_is_free_and_what_was_crossed(
    total_gb: float, percent: float, message: str
) -> None:
    assert Disk.Config(critical_free_gb=50).read_space("/", space(total_gb, percent)).message == message


def test_by_default_every_disk_is_checked_once_and_what_holds_no_data_is_not(tmp_path: Path) -> None:
    with (
        mounted_disk(tmp_path / "disk") as place,
        mounted(tmp_path / "same", "--bind", str(place)),
        mounted(tmp_path / "memory", "-t", "tmpfs", "tmpfs"),
    ):
        fill(place, 6 * MIB)
        result = disk().measure()

    assert {path for path in result.metrics["disks"] if path.startswith(str(tmp_path))} == {str(place)}
    assert "/" in result.metrics["disks"]
    assert f"{place} " in result.message


def test_a_path_stands_for_what_holds_it_and_not_for_what_is_mounted_below(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "outer", "-t", "tmpfs", "-o", "size=20m", "tmpfs") as outer,
        mounted(outer / "inner", "-t", "tmpfs", "-o", "size=10m", "tmpfs") as inner,
    ):
        fill(inner, 10 * MIB)
        (inner / "folder").mkdir()

        above = disk(outer).measure()
        below = disk(inner / "folder").measure()

    assert above.metrics["worst_percent"] == 0.0
    assert (below.status, below.metrics["worst_percent"]) == (CheckStatus.CRITICAL, 100.0)


def test_the_fullest_path_is_the_worst_one_and_is_told_first(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "full", "-t", "tmpfs", "-o", "size=20m", "tmpfs") as full,
        mounted(tmp_path / "fuller", "-t", "tmpfs", "-o", "size=20m", "tmpfs") as fuller,
    ):
        fill(full, 17 * MIB)
        fill(fuller, 18 * MIB)

        result = disk(full, fuller).measure()

    assert (result.metrics["worst_path"], result.metrics["worst_percent"]) == (str(fuller), 90.0)
    assert result.message.startswith(f"{fuller} 90.0 % full")
    assert f"; {full} 85.0 % full" in result.message


@needs_linux
def test_many_paths_give_a_reading_each_and_metrics_of_the_fifty_fullest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / f"disk{number}" for number in range(60)]
    for place in places:
        place.mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "filesystems").write_text("\text4\n")
    lines = [f"/dev/sd{number} {place} ext4 rw 0 0\n" for number, place in enumerate(places)]
    (tmp_path / "self/mounts").write_text("".join(lines))
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    result = disk(**impossible()).measure()

    assert {reading.target for reading in result.readings} == {str(place) for place in places} | {"/"}
    assert len(result.metrics["disks"]) == 50


@needs_linux
def test_a_host_with_nothing_but_an_image_has_no_disk_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "filesystems").write_text("\tsquashfs\n")
    (tmp_path / "self/mounts").write_text("/dev/sda1 / squashfs ro 0 0\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    with pytest.raises(NotApplicableError, match="no mounted file system here takes data"):
        disk().measure()


def test_a_missing_path_beside_a_good_one_is_unknown_and_named() -> None:
    result = disk("/", "/no/such/mount", **impossible()).measure()

    assert result.status is CheckStatus.UNKNOWN
    assert result.message == result.error == "/no/such/mount cannot be read: No such file or directory"
    assert result.metrics["disks"].keys() == {"/"}
    assert {(reading.target, reading.status) for reading in result.readings} == {
        ("/", CheckStatus.OK),
        ("/no/such/mount", CheckStatus.UNKNOWN),
    }


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"warning_threshold": 0, "critical_threshold": 101}, CheckStatus.WARNING),
        ({"warning_threshold": 0, "critical_threshold": 0}, CheckStatus.CRITICAL),
    ],
)
def test_a_missing_path_does_not_hide_a_bad_one(limits: dict[str, float], status: CheckStatus) -> None:
    result = disk("/no/such/mount", "/", **limits).measure()

    assert result.status is status
    assert result.message.startswith("/ ")
    assert "/no/such/mount cannot be read" in result.message


def test_no_readable_path_at_all_is_unknown() -> None:
    result = disk("/no/such/mount").measure()

    assert result.status is CheckStatus.UNKNOWN
    assert result.metrics == {"disks": {}, "worst_percent": None, "worst_path": None}
    assert result.error


@needs_linux
def test_a_file_system_that_tells_no_size_is_not_taken_for_an_empty_one() -> None:
    result = disk("/proc").measure()

    assert (result.status, result.error) == (CheckStatus.UNKNOWN, "/proc cannot be read: it tells no size")


@needs_linux
def test_a_file_system_without_inodes_of_its_own_has_none_in_the_metrics(tmp_path: Path) -> None:
    with mounted(tmp_path / "endless", "-t", "tmpfs", "-o", "size=1m,nr_inodes=0", "tmpfs") as place:
        measured = disk(place).measure().metrics["disks"][str(place)]

    assert (measured["inodes_percent"], measured["inodes_free"]) == (None, None)
    assert measured["percent"] == 0.0


def test_a_path_that_is_closed_to_the_user_is_unknown_and_named(tmp_path: Path) -> None:
    inside = tmp_path / "closed" / "inside"
    inside.parent.mkdir(mode=0)

    measured = as_nobody(lambda: disk("/", inside, **impossible()).measure().model_dump())

    assert (measured["status"], measured["error"]) == ("unknown", f"{inside} cannot be read: Permission denied")


def test_a_hung_path_is_unknown_by_itself_before_the_runner_calls_the_whole_hung() -> None:
    with hung_mount() as hung:
        started = time.monotonic()
        [result] = run_checkers([disk(hung, "/", timeout=1.5, **impossible())])
        took_seconds = time.monotonic() - started

    assert took_seconds < 1.5
    assert result.status is CheckStatus.UNKNOWN
    assert result.error == f"{hung} did not answer within 1.35 s"
    assert result.metrics["disks"].keys() == {"/"}
    assert not [thread for thread in threading.enumerate() if thread.name == f"check {hung}" and thread.join(5)]


def test_a_bad_path_beside_a_hung_one_is_still_critical() -> None:
    with hung_mount() as hung:
        result = disk(hung, "/", timeout=0.4, warning_threshold=0, critical_threshold=0).measure()

    assert result.status is CheckStatus.CRITICAL
    assert result.message.startswith("/ ")
    assert f"{hung} did not answer within 0.36 s" in result.message


@pytest.mark.parametrize("paths", [[], ["var"], ["/a\x00b"], [""], "/", ["/" + "a" * 400], ["/"] * 51])
def test_paths_that_cannot_be_meant_are_refused_by_name(paths: Any) -> None:
    with pytest.raises(ValidationError, match="paths"):
        Disk.Config(paths=paths)


@pytest.mark.parametrize("critical_free_gb", [0, -1, "nan", "inf", "much"])
def test_a_free_amount_that_is_none_is_refused_by_name(critical_free_gb: Any) -> None:
    with pytest.raises(ValidationError, match="critical_free_gb"):
        Disk.Config(critical_free_gb=critical_free_gb)


def test_a_warning_above_critical_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="warning_threshold 96 must not be above critical_threshold 95"):
        Disk.Config(warning_threshold=96)
