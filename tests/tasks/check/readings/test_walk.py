import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from hung_mount import hung_mount
from mounting import fill, mounted, mounted_disk
from trees import MIB, allocate, as_nobody, public_folder

from tasks.check.calls import Call
from tasks.check.readings.walk import Bound, Bounds, Walk

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")


def bounds(*, seconds: float = 30.0, **limits: int) -> Bounds:
    return Bounds(until=time.monotonic() + seconds, **limits)


def walk(
    root: Path, limits: Bounds | None = None, *, at: Callable[[str], Any] = lambda _: None
) -> tuple[Walk, list[str]]:
    """A walk that is over, and the paths it saw below the root; `at` is called with each while it goes on."""
    paths = []
    with closing(Walk(str(root), limits or bounds())) as walked:
        for directory, name, _ in walked:
            paths.append(directory.prefix + name)
            at(paths[-1])
    return walked, sorted(paths)


def once(act: Callable[[], Any]) -> Callable[[str], None]:
    """For `at`: act when the walk sees its first entry."""
    acts = [act]
    return lambda _: acts.pop()() if acts else None


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Where no more than so many can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def no_mount_table(**_: bool) -> list[Any]:
    """As where it cannot be read; or something was mounted a moment later."""
    raise PermissionError


def nest(root: Path, levels: int, name: str) -> None:
    """Directories in each other, deeper than any path can name."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def test_every_entry_is_seen_once(tmp_path: Path) -> None:
    for path in ("a/1", "a/b/2", "a/b/c/3", "d/4", "5"):
        allocate(tmp_path / path)

    walked, paths = walk(tmp_path)

    assert paths == ["5", "a", "a/1", "a/b", "a/b/2", "a/b/c", "a/b/c/3", "d", "d/4"]
    assert (walked.entries_seen, walked.denied, walked.vanished, walked.cut_by) == (9, 0, 0, set())


def test_the_walk_agrees_with_find_on_a_real_tree() -> None:
    library = Path(os.__file__).parent
    found = subprocess.run(
        ["find", ".", "-mindepth", "1"], cwd=library, capture_output=True, text=True, check=True
    )

    _, paths = walk(library)

    assert len(set(paths)) > 1000
    assert set(paths) == {line.removeprefix("./") for line in found.stdout.splitlines()}


def test_first_level_directories_come_one_after_the_other(tmp_path: Path) -> None:
    for branch in "abc":
        for path in ("1", "x/2", "x/y/3", "z/4"):
            allocate(tmp_path / branch / path)
    order: list[str] = []

    walk(tmp_path, at=lambda path: order.append(path[0]) if "/" in path else None)

    assert sum(before != after for before, after in pairwise(order)) == 2


def test_a_thousand_directories_in_each_other_need_no_more_descriptors_than_one() -> None:
    with public_folder() as root:
        nest(root, 1000, "x" * 40)
        with few_descriptors(spare=12):
            walked, paths = walk(root, bounds(max_depth=2000))

    assert walked.entries_seen == 1001
    assert max(map(len, paths)) == 1000 * 41 + len("bottom")
    assert walked.cut_by == set()


def test_a_comb_of_directories_is_seen_to_its_last_tooth() -> None:
    with public_folder() as root:
        path = root
        for _ in range(60):
            for tooth in ("a", "b", "c"):
                allocate(path / tooth / "file")
            path /= "b"
        walked, _ = walk(root)

    assert walked.entries_seen == 60 * 6


@pytest.mark.parametrize(
    ("max_depth", "paths"), [(1, ["a"]), (2, ["a", "a/1", "a/b"]), (3, ["a", "a/1", "a/b", "a/b/2"])]
)
def test_a_walk_goes_no_deeper_than_it_may(tmp_path: Path, max_depth: int, paths: list[str]) -> None:
    allocate(tmp_path / "a" / "1")
    allocate(tmp_path / "a" / "b" / "2")

    walked, seen = walk(tmp_path, bounds(max_depth=max_depth))

    assert seen == paths
    assert walked.cut_by == ({Bound.DEPTH} if max_depth < 3 else set())


def test_a_walk_ends_after_so_many_entries(tmp_path: Path) -> None:
    for number in range(50):
        allocate(tmp_path / str(number % 3) / str(number), 0)

    walked, paths = walk(tmp_path, bounds(max_entries=20))

    assert len(paths) == walked.entries_seen == 20
    assert walked.cut_by == {Bound.ENTRIES}


def test_a_tree_of_just_so_many_entries_is_complete(tmp_path: Path) -> None:
    for number in range(20):
        allocate(tmp_path / str(number), 0)

    assert walk(tmp_path, bounds(max_entries=20))[0].cut_by == set()


def test_time_ends_a_walk_in_the_middle_of_a_directory(tmp_path: Path) -> None:
    for number in range(500):
        allocate(tmp_path / str(number), 0)

    walked, paths = walk(tmp_path, bounds(seconds=0.05), at=lambda _: time.sleep(0.001))

    assert 1 < len(paths) < 100
    assert walked.cut_by == {Bound.SECONDS}


def test_time_ends_the_walk_of_a_whole_disk() -> None:
    started = time.monotonic()

    walked, _ = walk(Path("/"), bounds(seconds=0.3, max_entries=10**9, max_depth=1000))

    assert time.monotonic() - started < 1
    if not walked.cut_by:
        pytest.skip("this host's disk is walked in less")
    assert walked.cut_by == {Bound.SECONDS}


def test_time_ends_a_walk_before_directories_that_wait(tmp_path: Path) -> None:
    """Which may be empty, so that nothing in them would be the occasion to look at the clock."""
    for number in range(10):
        (tmp_path / str(number)).mkdir()
    seen: list[str] = []

    def take_your_time_at_the_last(path: str) -> None:
        seen.append(path)
        time.sleep(0.3 if len(seen) == 10 else 0)

    walked, _ = walk(tmp_path, bounds(seconds=0.2), at=take_your_time_at_the_last)

    assert walked.cut_by == {Bound.SECONDS}


def test_a_walk_without_time_sees_nothing_and_says_so(tmp_path: Path) -> None:
    allocate(tmp_path / "file")

    walked, paths = walk(tmp_path, bounds(seconds=-1))

    assert paths == []
    assert walked.cut_by == {Bound.SECONDS}


def test_no_link_is_followed(tmp_path: Path) -> None:
    allocate(tmp_path / "outside" / "secret", MIB)
    root = tmp_path / "root"
    root.mkdir()
    for name, target in (
        ("out", "../outside"),
        ("up", ".."),
        ("self", "self"),
        ("here", "."),
        ("file", "../outside/secret"),
    ):
        (root / name).symlink_to(target)

    walked, paths = walk(root)

    assert paths == ["file", "here", "out", "self", "up"]
    assert (walked.denied, walked.vanished) == (0, 0)


@pytest.mark.timeout(20)
def test_pipes_sockets_and_devices_are_seen_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        # By a short name, since a socket's path must be.
        descriptor = os.open(tmp_path, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{descriptor}/socket")
        os.close(descriptor)
        if os.geteuid() == 0:
            # A tape drive that nobody has: to open it would be an error, to open a real one worse.
            os.mknod(tmp_path / "device", stat.S_IFCHR | 0o600, os.makedev(9, 31))

        walked, paths = walk(tmp_path)

    assert paths == [*(["device"] if os.geteuid() == 0 else []), "pipe", "socket"]
    assert (walked.denied, walked.vanished) == (0, 0)


def test_what_is_closed_to_the_user_is_counted() -> None:
    def denied_and_paths() -> tuple[int, list[str]]:
        walked, paths = walk(root)
        return walked.denied, paths

    with public_folder() as root:
        for name, mode in (("closed", 0o000), ("no-list", 0o111), ("no-search", 0o444), ("open", 0o755)):
            allocate(root / name / "file")
            (root / name).chmod(mode)
        denied, paths = as_nobody(denied_and_paths)
        for name in ("closed", "no-list", "no-search"):
            (root / name).chmod(0o755)

    assert paths == ["closed", "no-list", "no-search", "open", "open/file"]
    # Two directories that cannot be opened, and the file in the one that can be listed and no more.
    assert denied == 3


def test_a_root_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    allocate(tmp_path / "file")

    with pytest.raises(FileNotFoundError):
        Walk(str(tmp_path / "missing"), bounds())
    with pytest.raises(NotADirectoryError):
        Walk(str(tmp_path / "file"), bounds())


def test_directories_that_vanish_are_counted(tmp_path: Path) -> None:
    for number in range(5):
        allocate(tmp_path / str(number) / "file")

    walked, paths = walk(tmp_path, at=lambda path: shutil.rmtree(tmp_path / "3") if path == "3" else None)

    assert len(paths) == 5 + 4
    assert (walked.vanished, walked.denied) == (1, 0)


def test_files_that_vanish_between_their_listing_and_a_look_at_them_are_counted(tmp_path: Path) -> None:
    for number in range(20):
        allocate(tmp_path / str(number))

    def clear() -> None:
        for file in tmp_path.iterdir():
            file.unlink()

    walked, paths = walk(tmp_path, at=once(clear))

    assert len(paths) == 1
    assert walked.vanished == 19


@pytest.mark.parametrize("kind", ["link", "pipe", "file", "directory"])
@pytest.mark.timeout(20)
def test_a_directory_that_was_exchanged_is_not_entered(tmp_path: Path, kind: str) -> None:
    allocate(tmp_path / "outside" / "secret")
    allocate(tmp_path / "root" / "inside" / "file")
    inside = tmp_path / "root" / "inside"

    def exchange() -> None:
        inside.rename(tmp_path / "was-inside")
        make: dict[str, Callable[[], Any]] = {
            "link": lambda: inside.symlink_to(tmp_path / "outside"),
            "pipe": lambda: os.mkfifo(inside),
            "file": lambda: inside.write_text("x"),
            "directory": lambda: (tmp_path / "outside").rename(inside),
        }
        make[kind]()

    walked, paths = walk(tmp_path / "root", at=once(exchange))

    assert paths == ["inside"]
    assert walked.vanished == 1


@pytest.mark.timeout(30)
def test_a_directory_that_was_exchanged_for_a_link_to_a_mount_that_hangs_is_not_even_opened(
    tmp_path: Path,
) -> None:
    waiting = tmp_path / "root" / "waiting"
    waiting.mkdir(parents=True)

    def exchange() -> None:
        waiting.rmdir()
        waiting.symlink_to(hung)

    with hung_mount() as hung:
        call = Call(lambda: walk(tmp_path / "root", at=once(exchange)), name="walk")
        walked, _ = call.result(until=time.monotonic() + 5)

    assert walked.vanished == 1


def test_a_directory_that_was_exchanged_higher_up_leads_nobody_out(tmp_path: Path) -> None:
    for path in (
        "outside/b/c1/secret",
        "outside/b/c2/secret",
        "root/a/b/c1/file",
        "root/a/b/c2/file",
        "root/d/file",
    ):
        allocate(tmp_path / path)

    def exchange(path: str) -> None:
        if path.endswith("file") and "/b/" in path and not (tmp_path / "was-a").exists():
            (tmp_path / "root" / "a").rename(tmp_path / "was-a")
            (tmp_path / "root" / "a").symlink_to(tmp_path / "outside")

    _, paths = walk(tmp_path / "root", at=exchange)

    assert [path for path in paths if "secret" in path] == []
    assert "d/file" in paths


def test_a_directory_that_was_moved_costs_the_walk_nothing_else(tmp_path: Path) -> None:
    for branch in ("a", "b", "c"):
        for path in ("x/deep/file", "y/file"):
            allocate(tmp_path / "root" / branch / path)
    moved: list[str] = []

    def move(path: str) -> None:
        if path.endswith("deep/file") and not moved:
            moved.append(path[0])
            (tmp_path / "root" / path).parent.rename(tmp_path / "elsewhere")

    _, paths = walk(tmp_path / "root", at=move)

    assert len([path for path in paths if path.endswith("file")]) == 6


def test_another_file_system_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate(tmp_path / "here")
    with mounted(tmp_path / "mount", "-t", "tmpfs", "tmpfs") as place:
        fill(place, MIB)

        by_table = walk(tmp_path)[1]
        monkeypatch.setattr(psutil, "disk_partitions", no_mount_table)
        by_device = walk(tmp_path)[1]

    assert by_table == by_device == ["here"]


def test_what_is_mounted_over_a_directory_that_waits_is_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocate(tmp_path / "root" / "place" / "file")
    monkeypatch.setattr(psutil, "disk_partitions", no_mount_table)
    with mounted(tmp_path / "other", "-t", "tmpfs", "tmpfs") as other, ExitStack() as mounts:
        fill(other, MIB)
        mount = mounted(tmp_path / "root" / "place", "--bind", str(other))

        walked, paths = walk(tmp_path / "root", at=once(lambda: mounts.enter_context(mount)))

    assert paths == ["place"]
    assert walked.vanished == 1


def test_what_is_mounted_is_told_by_its_device_where_the_number_is_that_of_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", no_mount_table)
    with ExitStack() as mounts, mounted(tmp_path / "root", "-t", "tmpfs", "tmpfs") as root:
        place = root / "place"
        place.mkdir()
        other = mounts.enter_context(mounted_disk(tmp_path / "other"))
        fill(other, MIB)
        if place.stat().st_ino != other.stat().st_ino:
            pytest.skip("the first directory of a tmpfs has another number than the root of an ext4")
        mount = mounted(place, "--bind", str(other))

        walked, paths = walk(root, at=once(lambda: mounts.enter_context(mount)))
        mounts.close()

    assert paths == ["place"]
    assert walked.vanished == 1


def test_a_directory_of_the_same_disk_that_is_mounted_twice_counts_once(tmp_path: Path) -> None:
    allocate(tmp_path / "data" / "file")

    with mounted(tmp_path / "with a space", "--bind", str(tmp_path / "data")):
        _, paths = walk(tmp_path)

    assert paths == ["data", "data/file"]


@pytest.mark.timeout(30)
def test_a_mount_that_hangs_in_the_tree_is_passed_over(tmp_path: Path) -> None:
    allocate(tmp_path / "a" / "file")
    with hung_mount(tmp_path / "a" / "hung"):
        # In a process of its own, which can be ended if it hangs all the same.
        done = subprocess.run(
            [sys.executable, "-c", WALK_IN_A_PROCESS, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )

    assert done.stdout.split() == ["a", "a/file"]


WALK_IN_A_PROCESS = """
import sys, time
from tasks.check.calls import Call
from tasks.check.readings.walk import Bounds, Walk
for directory, name, _ in Walk(sys.argv[1], Bounds(time.monotonic() + 5)):
    print(directory.prefix + name)
"""


@needs_proc
def test_a_walk_leaves_nothing_open(tmp_path: Path) -> None:
    for path in ("a/b/c/1", "a/b/d/2", "e/f/3", "g/4"):
        allocate(tmp_path / path)
    before = open_descriptors()

    walk(tmp_path)
    walk(tmp_path, bounds(max_entries=3))
    walk(tmp_path, at=once(lambda: shutil.rmtree(tmp_path / "g")))
    with pytest.raises(ZeroDivisionError):
        walk(tmp_path, at=lambda _: 1 // 0)

    assert open_descriptors() == before


@needs_proc
@pytest.mark.parametrize("exchanged", ["a", "a/b", "a/b/c"])
def test_a_walk_leaves_nothing_open_where_directories_were_exchanged(tmp_path: Path, exchanged: str) -> None:
    for path in ("a/b/c/d/1", "a/b/c/e/2", "x/b/c/d/3"):
        allocate(tmp_path / path)
    before = open_descriptors()

    def exchange(path: str) -> None:
        if path == "a/b/c/d" and not (tmp_path / "away").exists():
            (tmp_path / exchanged).rename(tmp_path / "away")
            (tmp_path / "x").rename(tmp_path / exchanged)

    walk(tmp_path, at=exchange)

    assert (tmp_path / "away").exists()
    assert open_descriptors() == before


@needs_proc
def test_a_process_that_is_out_of_descriptors_is_no_closed_directory(tmp_path: Path) -> None:
    allocate(tmp_path / "a" / "b" / "c" / "d" / "file")
    taken: list[int] = []

    def take_all(_: str) -> None:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))

    try:
        with few_descriptors(spare=20), pytest.raises(OSError, match="Too many open files"):
            walk(tmp_path, at=take_all)
    finally:
        for descriptor in taken:
            os.close(descriptor)
