"""A block device in memory that the test may take away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONTROL = Path("/sys/class/zram-control")


@contextmanager
def zram_device() -> Iterator[str]:
    """A device's name, without a size; skips the test where none can be made."""
    try:
        number = (CONTROL / "hot_add").read_text().strip()
    except OSError as error:
        pytest.skip(f"cannot make a zram device: {error}")
    name = f"zram{number}"
    try:
        yield name
    finally:
        if Path("/sys/block", name).exists():
            take_away(name)


def take_away(name: str) -> None:
    """Once nobody (a device manager, say) looks at it any more."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            (CONTROL / "hot_remove").write_text(name.removeprefix("zram"))
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{name} is still there")
