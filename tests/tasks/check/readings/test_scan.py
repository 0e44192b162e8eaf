import json
import os
import threading
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from mounting import mounted
from trees import MIB, allocate, as_nobody, du_bytes, public_folder

from tasks.check.readings.scan import Rule, Scan, scan
from tasks.check.readings.text import MAX_PATH_CHARS, printable_path
from tasks.check.readings.walk import Bound, Bounds


def look_at(
    root: Path | str, *, seconds: float = 30.0, limits: dict[str, int] | None = None, **wishes: Any
) -> Scan:
    """A scan that holds files older than 30 days for old."""
    bounds = Bounds(until=time.monotonic() + seconds, **(limits or {}))
    return scan(str(root), bounds, **{"old_before": datetime.now(UTC) - timedelta(days=30), **wishes})


def named(*names: str) -> Rule:
    return lambda path, _: path in names


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Everything that is easy to count wrongly."""
    allocate(tmp_path / "a" / "one", 3 * MIB)
    allocate(tmp_path / "a" / "deep" / "er" / "two", MIB)
    allocate(tmp_path / "b" / "three", 5000)
    allocate(tmp_path / "empty", 0)
    (tmp_path / "b" / "same-as-one").hardlink_to(tmp_path / "a" / "one")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1000 * MIB)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "long-link").symlink_to("x" * 500)
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def test_a_scan_agrees_with_du_to_the_byte(tree: Path) -> None:
    assert look_at(tree).total_bytes == du_bytes(tree, "-s")[str(tree)]


def test_first_level_directories_agree_with_du(tree: Path) -> None:
    (tree / "b" / "same-as-one").unlink()  # which directory a second name counts for is anybody's choice
    expected = du_bytes(tree, "-d1")

    assert {each.path: each.size_bytes for each in look_at(tree).directories} == {
        path: size_bytes for path, size_bytes in expected.items() if path != str(tree)
    }


def test_a_scan_agrees_with_du_on_a_real_tree() -> None:
    library = Path(os.__file__).parent

    found = look_at(library)

    assert found.entries_seen > 1000
    assert found.total_bytes == pytest.approx(du_bytes(library, "-s")[str(library)], rel=0.01)


def test_a_scan_agrees_with_du_about_the_disk_of_another_mount(tmp_path: Path) -> None:
    allocate(tmp_path / "here", MIB)
    with mounted(tmp_path / "mount", "-t", "tmpfs", "tmpfs") as place:
        allocate(place / "there", 2 * MIB)

        assert look_at(tmp_path).total_bytes == du_bytes(tmp_path, "-s")[str(tmp_path)]
        # The other way round: a root that is itself a mount point.
        assert look_at(place).total_bytes == du_bytes(place, "-s")[str(place)]


def test_holes_take_up_nothing(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1000 * MIB)

    found = look_at(tmp_path, large_bytes=MIB)

    assert found.total_bytes < MIB
    assert found.large_files == ()


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    allocate(tmp_path / "one", 2 * MIB, days_old=40)
    for name in ("two", "three"):
        (tmp_path / name).hardlink_to(tmp_path / "one")

    found = look_at(tmp_path)

    assert 2 * MIB <= found.total_bytes < 3 * MIB
    assert (found.old_files_seen, found.old_bytes) == (1, found.large_files[0].size_bytes)
    assert len(found.large_files) == len(found.old_files) == 1


@pytest.mark.parametrize(
    ("let_go", "is_recoverable"), [(["a", "b"], True), (["a"], False), (["b"], False), ([], False)]
)
def test_a_file_can_go_only_with_all_its_names(tmp_path: Path, let_go: list[str], is_recoverable: bool) -> None:
    allocate(tmp_path / "a", MIB)
    (tmp_path / "b").hardlink_to(tmp_path / "a")

    found = look_at(tmp_path, rule=named(*let_go))

    assert found.recoverable_bytes == (found.large_files[0].size_bytes if is_recoverable else 0)


def test_a_file_with_a_name_elsewhere_cannot_go(tmp_path: Path) -> None:
    allocate(tmp_path / "cache" / "a", MIB)
    (tmp_path / "in-use").hardlink_to(tmp_path / "cache" / "a")

    found = look_at(tmp_path / "cache", rule=named("a"))

    assert (found.recoverable_bytes, found.total_bytes > MIB) == (0, True)


def test_the_rule_is_asked_by_the_path_below_the_root(tmp_path: Path) -> None:
    for path in ("x", "a/x", "a/b/x", "b/a/x"):
        allocate(tmp_path / path, MIB)

    found = look_at(tmp_path, rule=named("x", "a/b/x"))

    assert 2 * MIB <= found.recoverable_bytes < 2.1 * MIB


def test_the_largest_are_kept_the_largest_first(tmp_path: Path) -> None:
    for number in range(1, 9):
        allocate(tmp_path / f"d{number}" / f"f{number}", number * 100_000, days_old=40)

    found = look_at(tmp_path, top=3)

    assert [file.path for file in found.large_files] == [str(tmp_path / f"d{n}" / f"f{n}") for n in (8, 7, 6)]
    assert [file.path for file in found.old_files] == [str(tmp_path / f"d{n}" / f"f{n}") for n in (8, 7, 6)]
    assert [each.path for each in found.directories] == [str(tmp_path / f"d{n}") for n in (8, 7, 6)]
    assert found.old_files_seen == 8
    assert found.old_bytes >= 3_600_000


@pytest.mark.parametrize("largest", range(5))
def test_the_largest_is_kept_wherever_it_comes(tmp_path: Path, largest: int) -> None:
    for number in range(5):
        allocate(tmp_path / str(number), 100_000 if number == largest else 4096 * (number + 1))

    assert [Path(file.path).name for file in look_at(tmp_path, top=1).large_files] == [str(largest)]


def test_only_files_of_some_size_are_large(tmp_path: Path) -> None:
    allocate(tmp_path / "large", 2 * MIB)
    allocate(tmp_path / "small", MIB - 4096)

    assert [file.path for file in look_at(tmp_path, large_bytes=MIB).large_files] == [str(tmp_path / "large")]


@pytest.mark.parametrize(
    ("days_old", "is_old"), [(0, False), (29.9, False), (30.1, True), (4000, True), (-10, False)]
)
def test_a_file_is_old_by_its_last_writing(tmp_path: Path, days_old: float, is_old: bool) -> None:
    file = allocate(tmp_path / "file", days_old=days_old)

    found = look_at(tmp_path)

    assert found.old_files_seen == int(is_old)
    assert found.large_files[0].modified_at.timestamp() == pytest.approx(file.stat().st_mtime, abs=1)


def test_old_directories_and_links_are_not_old_files(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("directory", "link"):
        os.utime(tmp_path / name, (0, 0), follow_symlinks=False)

    assert look_at(tmp_path).old_files_seen == 0


@pytest.mark.parametrize("seconds", [10**14, -(10**14)])
def test_a_year_that_no_calendar_has_is_no_obstacle(seconds: int) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs a file system that keeps such years, as tmpfs does")
    with TemporaryDirectory(dir="/dev/shm") as folder:
        file = allocate(Path(folder) / "file")
        os.utime(file, (seconds, seconds))

        [found] = look_at(folder).large_files

    assert found.modified_at.year in {1, 9999}


def test_names_of_any_bytes_become_text(tmp_path: Path) -> None:
    names = [b"\xff\xfe.log", b"new\nline", b"\x1b[31mred", "größe".encode(), b"tab\there"]
    for name in names:
        allocate(tmp_path / os.fsdecode(name), MIB)

    paths = sorted(Path(file.path).name for file in look_at(tmp_path).large_files)

    assert paths == sorted(["\\udcff\\udcfe.log", "new?line", "?[31mred", "größe", "tab?here"])
    assert json.loads(json.dumps(paths).encode()) == paths


def test_a_path_that_is_too_long_is_shortened_where_one_sees_it() -> None:
    text = printable_path("/" + "a" * 1000 + "/" + "z" * 1000)

    assert len(text) == MAX_PATH_CHARS
    assert text.startswith("/aaa")
    assert text.endswith("zzz")
    assert "…" in text


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    allocate(tmp_path / "real" / "file", MIB)
    (tmp_path / "link").symlink_to("real")

    found = look_at(tmp_path / "link")

    assert found.path == str(tmp_path / "real")
    assert found.total_bytes > MIB


def test_a_root_that_cannot_be_scanned_is_an_error(tmp_path: Path) -> None:
    file = allocate(tmp_path / "file")
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(FileNotFoundError):
        look_at(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        look_at(file)
    with pytest.raises(OSError, match=r"Too many levels of symbolic links|Not a directory"):
        look_at(tmp_path / "loop")


def test_a_root_that_is_closed_to_the_user_is_an_error() -> None:
    def refusal() -> str:
        try:
            look_at(root / "closed")
        except PermissionError as error:
            return str(error)
        return ""

    with public_folder() as root:
        (root / "closed").mkdir(mode=0o000)
        assert "Permission denied" in as_nobody(refusal)


def test_what_was_found_before_a_bound_counts(tmp_path: Path) -> None:
    for number in range(20):
        allocate(tmp_path / f"d{number}" / "file", MIB)

    found = look_at(tmp_path, limits={"max_entries": 25}, top=30)

    assert found.cut_by == (Bound.ENTRIES,)
    assert found.cut_by
    assert 5 * MIB <= found.total_bytes < 6 * MIB
    assert len(found.directories) == 5


def test_several_scans_share_one_deadline(tmp_path: Path) -> None:
    for number in range(200):
        allocate(tmp_path / str(number), 0)
    bounds = Bounds(until=time.monotonic() + 0.1)
    slow: Rule = lambda _path, _status: time.sleep(0.001) is not None  # noqa: E731

    started = time.monotonic()
    scans = [scan(str(tmp_path), bounds, old_before=datetime.now(UTC), rule=slow) for _ in range(3)]

    assert time.monotonic() - started < 0.3
    assert [found.cut_by for found in scans] == [(Bound.SECONDS,)] * 3
    assert scans[2].entries_seen == 0


def test_files_that_vanish_all_the_time_do_no_harm(tmp_path: Path) -> None:
    is_over = threading.Event()

    def churn() -> None:
        while not is_over.is_set():
            for number in range(100):
                allocate(tmp_path / str(number % 7) / str(number), 0)
            for number in range(100):
                (tmp_path / str(number % 7) / str(number)).unlink()
            for number in range(7):
                (tmp_path / str(number)).rmdir()

    churning = threading.Thread(target=churn)
    churning.start()
    give_up_at = time.monotonic() + 10
    vanished = 0
    try:
        while not vanished and time.monotonic() < give_up_at:
            vanished = sum(look_at(tmp_path).vanished for _ in range(20))
    finally:
        is_over.set()
        churning.join()

    assert vanished > 0


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of 2000 files."""
    folder = tmp_path_factory.mktemp("crowd")
    for number in range(2000):
        os.mknod(folder / f"a-name-that-is-long-enough-to-be-noticed-{number}")
    return folder


def test_a_large_directory_costs_no_memory(crowd: Path) -> None:
    tracemalloc.start()
    found = look_at(crowd)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found.entries_seen == 2000
    assert peak_bytes < 100_000


def test_two_thousand_files_take_a_part_of_a_second(crowd: Path) -> None:
    started = time.process_time()
    found = look_at(crowd)

    assert found.entries_seen == 2000
    assert time.process_time() - started < 0.1  # 0.01 s in peace
