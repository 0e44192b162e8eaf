"""Real mounts for tests, which skip where they are not allowed and leave nothing behind.

with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=20m", "tmpfs") as path:
    fill(path, 17 * MIB)
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024**2


@contextmanager
def mounted(place: Path, *arguments: str) -> Iterator[Path]:
    """What `mount ARGUMENTS place` mounts, at a place that is made as a folder if it is not there."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount")
    if not place.exists():
        place.mkdir(parents=True)
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this host does not mount that: {done.stderr.splitlines()[0].rpartition(': ')[2]}")
    try:
        yield place
    finally:
        unmount(place)
        assert f" {place} " not in Path("/proc/self/mounts").read_text()


@contextmanager
def mounted_disk(place: Path, *, size_mb: int = 8) -> Iterator[Path]:
    """An ext4 file system on a device of its own, a loop device."""
    image = place.with_name(f"{place.name}.img")
    with image.open("wb") as file:
        file.truncate(size_mb * MIB)
    try:
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs mkfs.ext4")
    with mounted(place, "-o", "loop", str(image)):
        yield place


def unmount(place: Path) -> None:
    """Take away what is mounted there, if anything is."""
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


def fill(place: Path, size_bytes: int) -> None:
    """A file of that size, written and not only promised."""
    (place / "filling").write_bytes(b"x" * size_bytes)
