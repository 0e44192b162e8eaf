import json
import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hung_mount import hung_mount
from mounting import mounted
from pydantic import ValidationError
from trees import MIB, allocate, as_nobody, du_bytes, public_folder

from storage.records import CheckResult
from storage.redaction import redact
from storage.vocabulary import CheckStatus
from tasks.check.checkers import disk_common
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.disk_common import DiskCommon

NO_SUCH_USER = 3_999_999


def look_at(*paths: Path | str, **config: Any) -> CheckResult:
    return DiskCommon(DiskCommon.Config(paths=[str(path) for path in paths], **config)).measure()


def recoverable_mb(*paths: Path | str, **config: Any) -> float:
    """Rounded, since a file system may need a block of its own for a file."""
    return float(round(look_at(*paths, **config).metrics["total_recoverable_mb"]))


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    """A temporary folder: 3 MB in use, and 2 MB that nobody wants any more."""
    allocate(tmp_path / "tmp" / "new" / "in-use", 3 * MIB)
    allocate(tmp_path / "tmp" / "old" / "forgotten", 2 * MIB, days_old=31)
    return tmp_path / "tmp"


def test_defaults_are_those_of_the_documentation() -> None:
    config = DiskCommon.Config()

    assert config.paths == ["/var/log", "~/.cache", "/tmp", "/var/tmp"]
    assert config.thresholds == (5000, 20000)
    assert (config.old_days, config.large_file_mb, config.max_seconds, config.timeout) == (30, 100, 5, 10)


def test_this_host_is_measured_within_the_time_allowed() -> None:
    started = time.monotonic()

    result = DiskCommon(DiskCommon.Config(max_seconds=1)).measure()

    assert time.monotonic() - started < 3
    whole = result.readings[0]
    assert whole.status in {CheckStatus.OK, CheckStatus.WARNING, CheckStatus.CRITICAL}
    assert (whole.target, whole.value) == ("", result.metrics["total_recoverable_mb"])
    assert "MB recoverable" in result.message


@pytest.mark.skipif(not Path("/var/log").is_dir(), reason="this host has no /var/log")
def test_the_logs_of_this_host_agree_with_du() -> None:
    result = look_at("/var/log", max_seconds=9)

    if result.metrics["denied"] or not result.metrics["scan_complete"]:
        pytest.skip("not all of them can be read")
    [expected] = du_bytes(Path("/var/log").resolve(), "-s").values()
    assert result.metrics["scanned_mb"] == pytest.approx(expected / MIB, rel=0.05, abs=1)


def test_of_a_temporary_folder_the_old_files_are_recoverable(tmp: Path) -> None:
    metrics = look_at(tmp).metrics

    assert round(metrics["total_recoverable_mb"]) == 2
    assert round(metrics["scanned_mb"]) == 5
    assert [hog["path"] for hog in metrics["space_hogs"]] == [str(tmp / "new"), str(tmp / "old")]
    assert [file["path"] for file in metrics["old_files"]] == [str(tmp / "old" / "forgotten")]
    assert metrics["large_files"] == []
    assert (metrics["old_files_count"], round(metrics["old_files_mb"])) == (1, 2)
    assert metrics["places"] == [
        {"path": str(tmp), "size_mb": metrics["scanned_mb"], "recoverable_mb": metrics["total_recoverable_mb"]}
    ]


def test_the_age_is_for_the_config_to_say(tmp: Path) -> None:
    assert recoverable_mb(tmp, old_days=31) == 2
    assert recoverable_mb(tmp, old_days=32) == 0


@pytest.mark.parametrize("folder", [".cache", ".cache/pip", "Library/Caches"])
def test_of_a_cache_everything_is_recoverable(tmp_path: Path, folder: str) -> None:
    allocate(tmp_path / folder / "x" / "new", 3 * MIB)
    allocate(tmp_path / folder / "old", 2 * MIB, days_old=31)

    assert recoverable_mb(tmp_path / folder) == 5


def test_of_the_hosts_caches_everything_is_recoverable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_common, "VAR_CACHE", tmp_path / "var" / "cache")
    allocate(tmp_path / "var" / "cache" / "fontconfig" / "new", 3 * MIB)

    assert recoverable_mb(tmp_path / "var" / "cache") == recoverable_mb(tmp_path / "var/cache/fontconfig") == 3
    assert recoverable_mb(tmp_path / "var") == 0


@pytest.mark.parametrize("folder", ["cache", "caches-of-gold", "data"])
def test_of_a_folder_that_may_be_anything_only_old_files_are_recoverable(tmp_path: Path, folder: str) -> None:
    allocate(tmp_path / folder / "new", 3 * MIB)
    allocate(tmp_path / folder / "old", 2 * MIB, days_old=31)

    assert recoverable_mb(tmp_path / folder) == 2


@pytest.mark.parametrize(
    ("name", "days_old", "is_recoverable"),
    [
        ("messages", 0, False),
        ("messages", 29, False),
        ("messages", 31, True),
        ("messages.1", 2, True),
        ("messages.1", 0.5, False),  # a service may still be writing to it
        ("messages.2.gz", 2, True),
        ("messages-20250101", 2, True),
        ("messages-20250101.xz", 2, True),
        ("app-20250101", 0.5, False),  # today's, by a program that names its logs by the day
        ("Xorg.0.log.old", 2, True),
        ("system.log.0.bz2", 2, True),
        ("nginx/access.log.14", 2, True),
        ("Xorg.0.log", 2, False),
        ("samba/log.192.168.1.10", 2, False),
        ("app-2.1.log", 2, False),
        ("mysql-bin.000123", 2, False),
        ("journal/5f/system@1-2.journal", 40, False),
        ("journal/5f/system.journal", 40, False),
        ("journal/5f/user-1000@1-2.journal~", 40, False),
    ],
)
def test_of_logs_what_was_rotated_and_what_is_old_is_recoverable(
    tmp_path: Path, name: str, days_old: float, is_recoverable: bool
) -> None:
    allocate(tmp_path / "log" / name, 2 * MIB, days_old=days_old)

    assert recoverable_mb(tmp_path / "log") == (2 if is_recoverable else 0)


@pytest.mark.parametrize("folder", ["log", "logs", "log/nginx", "app/logs"])
def test_folders_of_logs_are_known_by_a_name_on_the_way_to_them(tmp_path: Path, folder: str) -> None:
    allocate(tmp_path / folder / "access.log.1", 2 * MIB, days_old=2)

    assert recoverable_mb(tmp_path / folder) == 2


def test_what_real_logrotate_leaves_is_recoverable(tmp_path: Path) -> None:
    log = allocate(tmp_path / "log" / "app.log", 3 * MIB)
    rotation = tmp_path / "rotation"
    rotation.write_text(f'"{log}" {{\n rotate 5\n size 1\n nocompress\n create\n}}\n')
    rotation.chmod(0o644)
    try:
        command = ["logrotate", "--state", str(tmp_path / "state"), str(rotation)]
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs logrotate")
    [rotated] = [file for file in log.parent.iterdir() if file != log]
    two_days_ago = time.time() - 2 * 86400
    os.utime(rotated, (two_days_ago, two_days_ago))

    assert recoverable_mb(log.parent) == 3


def test_nothing_counts_twice(tmp_path: Path) -> None:
    """A file that is old, large, rotated and in the largest folder."""
    allocate(tmp_path / "log" / "app" / "app.log.1", 5 * MIB, days_old=40)

    metrics = look_at(tmp_path / "log", large_file_mb=1).metrics

    assert len(metrics["space_hogs"]) == len(metrics["old_files"]) == len(metrics["large_files"]) == 1
    assert round(metrics["total_recoverable_mb"]) == 5


def test_two_paths_to_one_place_count_once(tmp: Path) -> None:
    (tmp.parent / "link").symlink_to(tmp)
    (tmp.parent / "link-into").symlink_to(tmp / "old")

    paths = (tmp / "old", tmp.parent / "link", tmp, tmp / "old", tmp.parent / "link-into", f"{tmp}/")
    metrics = look_at(*paths).metrics

    assert round(metrics["total_recoverable_mb"]) == 2
    assert [place["path"] for place in metrics["places"]] == [str(tmp)]


def test_a_folder_with_a_similar_name_is_another_place(tmp: Path) -> None:
    allocate(tmp.parent / "tmp2" / "forgotten", 2 * MIB, days_old=31)

    assert recoverable_mb(tmp, tmp.parent / "tmp2") == 4


def test_what_is_mounted_below_another_path_counts_when_asked_for(tmp: Path) -> None:
    with mounted(tmp / "mount", "-t", "tmpfs", "tmpfs") as place:
        allocate(place / "forgotten", 3 * MIB, days_old=31)

        assert recoverable_mb(tmp) == 2
        assert recoverable_mb(tmp, place) == 5


def test_a_cache_that_others_share_by_hard_links_frees_nothing(tmp_path: Path) -> None:
    allocate(tmp_path / ".cache" / "wheel", 3 * MIB)
    (tmp_path / "installed").hardlink_to(tmp_path / ".cache" / "wheel")

    assert recoverable_mb(tmp_path / ".cache") == 0


@pytest.mark.parametrize(
    ("warning", "critical", "status"),
    [
        (3, 4, CheckStatus.OK),
        (2.1, 2.2, CheckStatus.OK),
        (2, 3, CheckStatus.WARNING),
        (1, 2, CheckStatus.CRITICAL),
        (2, 2, CheckStatus.CRITICAL),
        (0, 1, CheckStatus.CRITICAL),
    ],
)
def test_thresholds_are_megabytes_that_could_be_had_back(
    tmp: Path, warning: float, critical: float, status: CheckStatus
) -> None:
    result = look_at(tmp, warning_threshold=warning, critical_threshold=critical)

    assert result.status is status
    assert [reading.target for reading in result.readings] == [""]


def test_the_message_says_how_much_and_where(tmp: Path) -> None:
    allocate(tmp.parent / ".cache" / "x", 4 * MIB)

    result = look_at(tmp, tmp.parent / ".cache", warning_threshold=5, critical_threshold=100)

    assert result.message == f"6 MB recoverable, 4 MB of it in {tmp.parent}/.cache (warning at 5 MB)"
    assert look_at(tmp).message == f"2 MB recoverable in {tmp}"


def test_the_home_is_that_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    allocate(tmp_path / ".cache" / "x", 2 * MIB)

    assert look_at("~/.cache").metrics["places"][0]["path"] == str(tmp_path / ".cache")


def test_a_user_without_a_home_has_the_other_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be a user that does not exist")
    monkeypatch.delenv("HOME", raising=False)
    with public_folder() as root:
        result = as_nobody(lambda: look_at("~/.cache", root), user_id=NO_SUCH_USER)

    assert [place["path"] for place in result.metrics["places"]] == [str(root)]


def test_paths_that_do_not_exist_are_left_out(tmp: Path) -> None:
    result = look_at(tmp, tmp / "missing", "/no/such/folder")

    assert result.status is CheckStatus.OK
    assert [place["path"] for place in result.metrics["places"]] == [str(tmp)]


def test_a_host_with_none_of_the_paths_is_not_for_this_checker() -> None:
    with pytest.raises(NotApplicableError, match="none of /no/such/folder, /nor/this exists"):
        look_at("/no/such/folder", "/nor/this")


def test_a_platform_without_descriptors_of_directories_is_not_for_this_checker(
    tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "supports_fd", set())

    with pytest.raises(NotApplicableError, match="no safe way"):
        look_at(tmp)


def test_a_path_that_is_no_directory_is_unknown_by_name_beside_the_others(tmp: Path) -> None:
    file = allocate(tmp.parent / "file")

    result = look_at(tmp, file, warning_threshold=1)

    assert {reading.target: reading.status for reading in result.readings} == {
        "": CheckStatus.WARNING,
        str(file): CheckStatus.UNKNOWN,
    }
    assert result.message == (
        f"At least 2 MB recoverable in {tmp} (warning at 1 MB); {file} cannot be read: Not a directory"
    )


def test_a_path_that_is_closed_to_the_user_is_unknown_by_name() -> None:
    with public_folder() as root:
        allocate(root / "open" / "file")
        (root / "closed").mkdir(mode=0o000)
        result = as_nobody(lambda: look_at(root / "open", root / "closed"))

    assert result.status is CheckStatus.UNKNOWN
    assert result.error == f"{root}/closed cannot be read: Permission denied"
    assert {reading.target: reading.status for reading in result.readings}[""] is CheckStatus.OK


def test_folders_below_that_are_closed_to_the_user_are_counted() -> None:
    with public_folder() as root:
        for name in ("systemd-private-1", "systemd-private-2"):
            (root / name).mkdir(mode=0o000)
        result = as_nobody(lambda: look_at(root))

    assert (result.status, result.metrics["denied"]) == (CheckStatus.OK, 2)


def test_nothing_but_closed_paths_is_unknown_altogether() -> None:
    with public_folder() as root:
        (root / "closed").mkdir(mode=0o000)
        result = as_nobody(lambda: look_at(root / "closed"))

    assert [reading.status for reading in result.readings] == [CheckStatus.UNKNOWN] * 2
    assert "no place could be scanned" in result.message


@pytest.mark.parametrize(("warning", "status"), [(1, CheckStatus.WARNING), (3, CheckStatus.UNKNOWN)])
def test_a_path_that_hangs_is_unknown_by_name_and_the_others_count(
    tmp: Path, warning: float, status: CheckStatus
) -> None:
    with hung_mount() as hung:
        started = time.monotonic()
        result = look_at(tmp, hung, timeout=1, max_seconds=0.2, warning_threshold=warning)
        took_seconds = time.monotonic() - started

    assert took_seconds < 1
    # Less than a threshold is no news: what hangs may hold the rest.
    assert {reading.target: reading.status for reading in result.readings} == {
        "": status,
        str(hung): CheckStatus.UNKNOWN,
    }
    assert f"{hung} did not answer within 0.6 s" in result.message
    assert round(result.metrics["total_recoverable_mb"]) == 2


def test_a_mount_that_hangs_below_a_path_costs_nothing(tmp: Path) -> None:
    with hung_mount(tmp / "remote"):
        result = look_at(tmp, timeout=2, max_seconds=1)

    assert result.status is CheckStatus.OK
    assert round(result.metrics["total_recoverable_mb"]) == 2


def test_what_was_found_before_the_scan_was_cut_counts_and_the_message_says_so(tmp_path: Path) -> None:
    for number in range(20):
        allocate(tmp_path / ".cache" / str(number), MIB)

    result = look_at(tmp_path / ".cache", max_entries=5, warning_threshold=5)

    assert result.status is CheckStatus.WARNING
    assert result.message == (
        f"At least 5 MB recoverable in {tmp_path}/.cache, scan stopped after 5 entries (warning at 5 MB)"
    )
    assert result.metrics["scan_complete"] is False
    assert result.metrics["scan_cut_by"] == ["entries"]
    assert result.metrics["entries_seen"] == 5


def test_a_cut_by_depth_is_told(tmp: Path) -> None:
    assert "not scanned below 1 levels of directories" in look_at(tmp, max_depth=1).message


def test_a_cut_by_time_is_told() -> None:
    result = look_at("/", "/usr", max_seconds=0.05)

    if result.metrics["scan_complete"]:
        pytest.skip("this host's disk is scanned in no time")
    assert "scan stopped after 0.05 s" in result.message
    assert result.message.startswith("At least")


@pytest.mark.parametrize("top", [3, 25])
def test_lists_are_bounded_and_the_largest_come_first(tmp_path: Path, top: int) -> None:
    for number in range(1, 15):
        for place in (".cache", "tmp"):
            allocate(tmp_path / place / f"d{number}" / f"f{number}", number * MIB, days_old=40)

    metrics = look_at(tmp_path / ".cache", tmp_path / "tmp", top=top, large_file_mb=2).metrics

    for key in ("space_hogs", "old_files", "large_files"):
        sizes_mb = [round(item["size_mb"]) for item in metrics[key]]
        assert sizes_mb == sorted([*range(2, 15)] * 2, reverse=True)[:top]
    assert metrics["old_files_count"] == 28


def test_what_is_too_small_to_be_seen_is_not_listed(tmp_path: Path) -> None:
    allocate(tmp_path / "small" / "file", 4096, days_old=40)

    metrics = look_at(tmp_path).metrics

    assert (metrics["space_hogs"], metrics["old_files"], metrics["old_files_count"]) == ([], [], 1)


def test_metrics_are_json_of_valid_text_whatever_the_names_are(tmp_path: Path) -> None:
    allocate(tmp_path / os.fsdecode(b"\xff\xfe") / os.fsdecode(b"b\xe9d\n\x1b[31m"), 2 * MIB, days_old=40)

    result = look_at(tmp_path, large_file_mb=1)

    text = json.dumps(result.metrics, allow_nan=False, ensure_ascii=False).encode()
    assert b"\x1b" not in text
    assert len(text) < 3000
    assert len(result.metrics["large_files"]) == len(result.metrics["space_hogs"]) == 1


def test_no_metric_is_taken_for_a_secret(tmp_path: Path) -> None:
    allocate(tmp_path / ".cache" / "api-token" / "secret-key", 2 * MIB)

    metrics = look_at(tmp_path / ".cache", large_file_mb=1).metrics

    assert redact(metrics) == metrics


def test_a_recommendation_shows_what_it_speaks_of(tmp_path: Path) -> None:
    place = tmp_path / "it's a folder; $(touch oops)"
    old = allocate(place / "old", 101 * MIB, days_old=30.5)
    allocate(place / "new", MIB)
    (tmp_path / "link with a 'quote").symlink_to(place)

    [recommendation] = look_at(tmp_path / "link with a 'quote").metrics["recommendations"]

    start, _, command = recommendation.partition("to see them: ")
    assert start == f"{place}, 101 MB: files unchanged for 30 days, "
    assert shlex.split(command)[0] == "find"
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [line.split()[-1].rpartition("/")[2] for line in shown.stdout.splitlines()] == [old.name]
    assert not (tmp_path / "oops").exists()


@pytest.mark.parametrize("folder", [".cache", "log"])
def test_the_largest_can_be_seen_by_the_recommended_command(tmp_path: Path, folder: str) -> None:
    allocate(tmp_path / folder / "big.log.1", 101 * MIB, days_old=3)

    [recommendation] = look_at(tmp_path / folder).metrics["recommendations"]

    command = recommendation.partition("to see the largest: ")[2]
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert "big.log.1" in shown.stdout
    assert not shown.stderr


def test_little_is_not_worth_a_recommendation(tmp: Path) -> None:
    assert look_at(tmp).metrics["recommendations"] == []


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"paths": []}, "paths"),
        ({"paths": ["var/log"]}, "paths"),
        ({"paths": ["~root/x"]}, "paths"),
        ({"paths": ["/a\x00b"]}, "paths"),
        ({"paths": ["/a\udcff"]}, "paths"),
        ({"paths": ["/x"] * 21}, "paths"),
        ({"paths": "/tmp"}, "paths"),
        ({"old_days": 0}, "old_days"),
        ({"large_file_mb": 0}, "large_file_mb"),
        ({"large_file_mb": "nan"}, "large_file_mb"),
        ({"max_entries": 0}, "max_entries"),
        ({"max_depth": 0}, "max_depth"),
        ({"top": 0}, "top"),
        ({"top": 51}, "top"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_seconds": 10}, "max_seconds 10 must be less than timeout 10 s"),
        ({"timeout": 5}, "max_seconds 5 must be less than timeout 5 s"),
        ({"warning_threshold": 30000}, "warning_threshold 30000 must not be above critical_threshold 20000"),
        ({"path": ["/tmp"]}, "path"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        DiskCommon.Config.model_validate(config)
