import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from trees import MIB, allocate, as_nobody, du_bytes, public_folder

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers import disk_linux
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.disk_linux import DiskLinux

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at this host's own folders")
CONTAINER = "containers/4f2a"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux host that has nothing yet."""
    move_to(tmp_path, monkeypatch)
    return tmp_path


def move_to(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("APT_ARCHIVES", "JOURNAL", "DOCKER", "SNAPD"):
        monkeypatch.setattr(disk_linux, name, root / getattr(disk_linux, name).relative_to("/"))


def look(**config: Any) -> CheckResult:
    return DiskLinux(DiskLinux.Config(**config)).measure()


def recoverable_mb() -> float:
    return float(round(look().metrics["total_recoverable_mb"]))


def run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs {command[0]}: {error}")


def write_journal(path: Path, size_mb: int) -> None:
    """A file that journalctl takes for a journal with entries."""
    allocate(path, size_mb * MIB)
    with path.open("r+b") as file:
        file.write(b"LPKSHHRH" + b"\1" * 4096)


def test_defaults_are_those_of_the_documentation() -> None:
    config = DiskLinux.Config()

    assert config.places == ["apt", "journal", "docker", "snapd"]
    assert config.thresholds == (5000, 20000)
    assert [disk_linux.PLACES[name](config).path for name in config.places] == [
        "/var/cache/apt/archives",
        "/var/log/journal",
        "/var/lib/docker",
        "/var/lib/snapd",
    ]


@needs_linux
@pytest.mark.parametrize(("name", "path"), [("apt", "/var/cache/apt/archives"), ("journal", "/var/log/journal")])
def test_this_host_agrees_with_du(name: str, path: str) -> None:
    if not Path(path).is_dir():
        pytest.skip(f"this host has no {path}")

    result = look(places=[name])

    if result.metrics["denied"] or not result.metrics["scan_complete"]:
        pytest.skip("not all of it can be read")
    [expected] = du_bytes(Path(path).resolve(), "-s").values()
    assert result.metrics["scanned_mb"] == pytest.approx(expected / MIB, rel=0.02, abs=1)


@pytest.mark.usefixtures("host")
def test_apt_removes_just_what_is_recoverable(tmp_path: Path) -> None:
    for name in ("hello_2.10-3_amd64.deb", "partial/bash_5.2-1_amd64.deb"):
        allocate(disk_linux.APT_ARCHIVES / name, 2 * MIB)
    allocate(disk_linux.APT_ARCHIVES / "lock", 0)
    before = recoverable_mb()

    # In the archives of the test, not in the host's.
    folders = ["-o", f"Dir::Cache={tmp_path}", "-o", f"Dir::Cache::archives={disk_linux.APT_ARCHIVES}"]
    run("apt-get", *folders, "clean")

    assert (before, recoverable_mb()) == (4, 0)
    assert [file.name for file in disk_linux.APT_ARCHIVES.rglob("*") if file.is_file()] == ["lock"]


@pytest.mark.parametrize(
    ("active_mb", "archived_mb"), [(300, [100] * 4), (8, [100] * 4), (8, [50] * 6), (100, [50] * 6), (8, [50])]
)
@pytest.mark.usefixtures("host")
def test_journalctl_removes_what_is_recoverable_and_at_most_one_file_more(
    active_mb: int, archived_mb: list[int]
) -> None:
    machine = disk_linux.JOURNAL / "5f0c"
    write_journal(machine / "system.journal", active_mb)
    for number, size_mb in enumerate(archived_mb, start=1):
        write_journal(machine / f"system@{'8a' * 16}-{number:016x}-{number:016x}.journal", size_mb)
    before = look().metrics

    run("journalctl", f"--directory={machine}", f"--vacuum-size={disk_linux.JOURNAL_KEPT_MB}M")

    freed_mb = before["scanned_mb"] - look().metrics["scanned_mb"]
    assert before["total_recoverable_mb"] - 1 < freed_mb < before["total_recoverable_mb"] + max(archived_mb)


def test_every_downloaded_package_is_recoverable(host: Path) -> None:
    for name in ("hello_2.10-3_amd64.deb", "partial/bash_5.2-1_amd64.deb"):
        allocate(disk_linux.APT_ARCHIVES / name, 51 * MIB)

    result = look(warning_threshold=100)

    path = host / "var/cache/apt/archives"
    assert result.status is CheckStatus.WARNING
    assert result.message == f"102 MB recoverable in {path} (warning at 100 MB)"
    assert result.metrics["recommendations"] == [
        f"{path}, 102 MB: downloaded packages, which apt fetches again if need be: apt-get clean"
    ]


@pytest.mark.parametrize(
    ("active_mb", "archived_mb", "recoverable"),
    [
        (100, [50], 0),  # all of it is below what is kept
        (100, [50, 100], 50),
        (8, [128, 128, 128], 192),
        (300, [20], 20),  # what is written to stays, whatever its size
        (300, [20, 20, 20], 60),
        (300, [], 0),
    ],
)
@pytest.mark.usefixtures("host")
def test_of_the_journal_what_vacuuming_removes_is_recoverable(
    active_mb: int, archived_mb: list[int], recoverable: int
) -> None:
    machine = disk_linux.JOURNAL / "5f0c"
    allocate(machine / "system.journal", active_mb * MIB)
    for number, size_mb in enumerate(archived_mb):
        name = ("system@8a-1-62.journal", "user-1000@8a-2-63.journal", "user-1000@0006-7.journal~")[number]
        allocate(machine / name, size_mb * MIB)

    assert recoverable_mb() == recoverable


@pytest.mark.usefixtures("host")
def test_the_journal_is_vacuumed_by_the_recommended_command() -> None:
    for number in range(4):
        allocate(disk_linux.JOURNAL / "5f0c" / f"system@8a-{number}-62.journal", 100 * MIB)

    [recommendation] = look().metrics["recommendations"]

    assert recommendation.endswith("200 MB: journal beyond its last 200 MB: journalctl --vacuum-size=200M")


@pytest.mark.parametrize(
    ("name", "days_old", "is_recoverable"),
    [
        ("overlay2/8c1d/diff/usr/lib/big.so", 400, False),
        ("volumes/data/_data/table", 400, False),
        ("image/overlay2/imagedb/content/sha256/ab", 400, False),
        (f"{CONTAINER}/4f2a-json.log", 400, False),
        (f"{CONTAINER}/4f2a-json.log.1", 0, True),
        (f"{CONTAINER}/4f2a-json.log.2.gz", 0, True),
        (f"{CONTAINER}/local-logs/container.log", 0, False),
        (f"{CONTAINER}/local-logs/container.log.3.gz", 0, True),
        (f"volumes/x/_data/{CONTAINER}/4f2a-json.log.1", 400, False),
        ("tmp/GetImageBlob123456", 31, True),
        ("tmp/GetImageBlob123456", 1, False),
        ("volumes/x/_data/tmp/file", 400, False),
    ],
)
@pytest.mark.usefixtures("host")
def test_of_docker_what_it_no_longer_writes_to_is_recoverable(
    name: str, days_old: float, is_recoverable: bool
) -> None:
    allocate(disk_linux.DOCKER / name, 2 * MIB, days_old=days_old)

    assert recoverable_mb() == (2 if is_recoverable else 0)
    assert round(look().metrics["scanned_mb"]) == 2


@pytest.mark.usefixtures("host")
def test_much_docker_is_told_although_nothing_of_it_is_known_to_be_recoverable() -> None:
    allocate(disk_linux.DOCKER / "overlay2" / "8c1d" / "diff" / "big", 60 * MIB)

    result = look(warning_threshold=50)

    assert result.status is CheckStatus.OK
    [recommendation] = result.metrics["recommendations"]
    assert recommendation.startswith(f"{disk_linux.DOCKER}, 60 MB: docker system df shows")
    assert "docker system prune removes stopped containers" in recommendation
    assert look().metrics["recommendations"] == []


@pytest.mark.usefixtures("host")
def test_of_snaps_the_lower_revisions_are_recoverable() -> None:
    sizes_mb = {
        "firefox_999.snap": 1,  # 1000 is higher, if not in the alphabet
        "firefox_1000.snap": 2,
        "core_x1.snap": 4,
        "core_x2.snap": 8,
        "core_7.snap": 16,  # from the store: another line than what was installed from a file
        "lxd_3.snap": 32,
        "firefox_500.partial": 64,
    }
    for name, size_mb in sizes_mb.items():
        allocate(disk_linux.SNAPD / "snaps" / name, size_mb * MIB)
    allocate(disk_linux.SNAPD / "snapshots" / "1_firefox_1.zip", 128 * MIB)

    assert recoverable_mb() == 1 + 4


@pytest.mark.usefixtures("host")
def test_a_snap_that_is_still_among_the_downloads_counts_once_and_only_if_it_is_old() -> None:
    for revision, size_mb in ((1, 3), (2, 5)):
        snap = allocate(disk_linux.SNAPD / "snaps" / f"firefox_{revision}.snap", size_mb * MIB)
        (disk_linux.SNAPD / "cache").mkdir(exist_ok=True)
        (disk_linux.SNAPD / "cache" / f"3fa{revision}").hardlink_to(snap)
    allocate(disk_linux.SNAPD / "cache" / "7bc", 7 * MIB)  # of a snap that was removed

    assert recoverable_mb() == 3 + 7
    assert round(look().metrics["scanned_mb"]) == 3 + 5 + 7


@pytest.mark.usefixtures("host")
def test_a_snapd_without_snaps_is_a_place_like_any_other() -> None:
    allocate(disk_linux.SNAPD / "seed" / "file", 2 * MIB)

    assert look().status is CheckStatus.OK


@pytest.mark.usefixtures("host")
def test_old_snaps_are_removed_by_the_recommended_commands() -> None:
    for revision in (1, 2):
        allocate(disk_linux.SNAPD / "snaps" / f"firefox_{revision}.snap", 120 * MIB)

    [recommendation] = look().metrics["recommendations"]

    for command in ("snap list --all", "snap remove NAME --revision=N", "snap set system refresh.retain=2"):
        assert command in recommendation


@pytest.mark.parametrize(
    ("warning", "critical", "status"),
    [(8, 9, CheckStatus.OK), (7, 8, CheckStatus.WARNING), (6, 7, CheckStatus.CRITICAL)],
)
@pytest.mark.usefixtures("host")
def test_all_places_count_together(warning: float, critical: float, status: CheckStatus) -> None:
    allocate(disk_linux.APT_ARCHIVES / "a.deb", 4 * MIB)
    allocate(disk_linux.DOCKER / CONTAINER / "4f2a-json.log.1", 3 * MIB)

    result = look(warning_threshold=warning, critical_threshold=critical)

    assert result.status is status
    assert [reading.target for reading in result.readings] == [""]
    assert json.loads(json.dumps(result.metrics, allow_nan=False)) == result.metrics


@pytest.mark.usefixtures("host")
def test_a_place_can_be_left_out() -> None:
    allocate(disk_linux.APT_ARCHIVES / "a.deb", 4 * MIB)
    allocate(disk_linux.DOCKER / CONTAINER / "4f2a-json.log.1", 3 * MIB)

    assert round(look(places=["docker", "snapd"]).metrics["total_recoverable_mb"]) == 3


def test_a_place_that_is_closed_to_the_user_is_unknown_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_folder() as root:
        move_to(root, monkeypatch)
        allocate(disk_linux.APT_ARCHIVES / "a.deb")
        disk_linux.DOCKER.mkdir(parents=True)
        disk_linux.DOCKER.chmod(0o000)
        result = as_nobody(look)

    assert result.status is CheckStatus.UNKNOWN
    assert result.error == f"{root}/var/lib/docker cannot be read: Permission denied"


@pytest.mark.usefixtures("host")
def test_a_host_with_none_of_the_places_is_not_for_this_checker() -> None:
    with pytest.raises(NotApplicableError, match=r"none of .*/var/cache/apt/archives, .* exists"):
        look()


@pytest.mark.parametrize("platform", ["darwin", "freebsd14"])
def test_another_system_is_not_for_this_checker(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    with pytest.raises(NotApplicableError, match="does not run Linux"):
        look()


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"places": ["yum"]}, "places"),
        ({"places": []}, "places"),
        ({"paths": ["/tmp"]}, "paths"),
        ({"max_seconds": 20}, "max_seconds 20 must be less than timeout 10 s"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        DiskLinux.Config.model_validate(config)
