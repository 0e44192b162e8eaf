import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from trees import MIB, allocate, as_nobody, public_folder

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.disk_macos import DiskMacOS

DERIVED_DATA = "Library/Developer/Xcode/DerivedData"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a Mac's user, with nothing in it yet."""
    move_to(tmp_path, monkeypatch)
    return tmp_path


def move_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("HOME", str(home))


def look(**config: Any) -> CheckResult:
    return DiskMacOS(DiskMacOS.Config(**config)).measure()


def test_defaults_are_those_of_the_documentation() -> None:
    config = DiskMacOS.Config()

    assert config.places == ["caches", "derived_data", "downloads"]
    assert config.thresholds == (5000, 20000)
    assert config.old_days == 30


@pytest.mark.parametrize(
    ("name", "days_old", "is_recoverable"),
    [
        ("Library/Caches/com.apple.Safari/x", 0, True),
        ("Library/Caches/pip/x", 100, True),
        (f"{DERIVED_DATA}/App-abc/Build/x.o", 0, True),
        ("Downloads/new.dmg", 29, False),
        ("Downloads/old.dmg", 31, True),
        ("Downloads/old/older.zip", 400, True),
    ],
)
def test_caches_builds_and_old_downloads_are_recoverable(
    home: Path, name: str, days_old: float, is_recoverable: bool
) -> None:
    allocate(home / name, 2 * MIB, days_old=days_old)

    metrics = look().metrics

    assert round(metrics["total_recoverable_mb"]) == (2 if is_recoverable else 0)
    assert round(metrics["scanned_mb"]) == 2


@pytest.mark.parametrize("name", ["Documents/old", "Library/Application Support/x", "Library/Developer/Xcode/x"])
def test_the_rest_of_the_home_is_not_looked_at(home: Path, name: str) -> None:
    allocate(home / name, 2 * MIB, days_old=400)
    allocate(home / "Downloads" / "x", 0)

    assert look().metrics["scanned_mb"] < 1


@pytest.mark.parametrize(
    ("warning", "critical", "status"),
    [(8, 9, CheckStatus.OK), (7, 8, CheckStatus.WARNING), (6, 7, CheckStatus.CRITICAL)],
)
def test_all_places_count_together(home: Path, warning: float, critical: float, status: CheckStatus) -> None:
    allocate(home / "Library/Caches" / "x", 4 * MIB)
    allocate(home / "Downloads" / "x", 3 * MIB, days_old=31)

    result = look(warning_threshold=warning, critical_threshold=critical)

    assert result.status is status
    assert result.message.startswith(f"7 MB recoverable, 4 MB of it in {home}/Library/Caches")
    assert [reading.target for reading in result.readings] == [""]


def test_much_is_recommended_by_place(home: Path) -> None:
    allocate(home / "Library/Caches" / "x", 101 * MIB)
    allocate(home / DERIVED_DATA / "x", 102 * MIB)
    allocate(home / "Downloads" / "x", 103 * MIB, days_old=31)

    caches, derived_data, downloads = look().metrics["recommendations"]

    assert caches.startswith(f"{home}/Library/Caches, 101 MB: programs make their caches anew")
    assert derived_data.startswith(f"{home}/{DERIVED_DATA}, 102 MB: Xcode builds it anew")
    assert downloads.startswith(f"{home}/Downloads, 103 MB: downloads unchanged for 30 days")
    assert downloads.endswith(f"du -xhd 1 {home}/Downloads/ | sort -h | tail -n 20")


def test_a_place_can_be_left_out(home: Path) -> None:
    allocate(home / "Library/Caches" / "x", 4 * MIB)
    allocate(home / DERIVED_DATA / "x", 2 * MIB)

    assert round(look(places=["derived_data"]).metrics["total_recoverable_mb"]) == 2


def test_a_folder_that_is_closed_to_the_program_is_unknown_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_folder() as home:
        move_to(home, monkeypatch)
        allocate(home / "Library/Caches" / "x")
        (home / "Downloads").mkdir(mode=0o000)
        result = as_nobody(look)

    assert result.status is CheckStatus.UNKNOWN
    assert result.error == f"{home}/Downloads cannot be read: Permission denied"


@pytest.mark.usefixtures("home")
def test_a_home_with_none_of_the_places_is_not_for_this_checker() -> None:
    with pytest.raises(NotApplicableError, match=r"none of .*/Library/Caches, .* exists"):
        look()


@pytest.mark.parametrize("platform", ["linux", "freebsd14"])
def test_another_system_is_not_for_this_checker(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    with pytest.raises(NotApplicableError, match="does not run macOS"):
        look()


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"places": ["desktop"]}, "places"),
        ({"places": []}, "places"),
        ({"max_seconds": 20}, "max_seconds 20 must be less than timeout 10 s"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        DiskMacOS.Config.model_validate(config)
