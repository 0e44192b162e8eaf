"""The kernels that are installed on a Linux host."""

import re
from pathlib import Path
from typing import NamedTuple


class Kernel(NamedTuple):
    """An installed kernel; `installed_at` is in seconds since the epoch."""

    release: str
    installed_at: float


def installed_like(running: str, root: Path) -> list[Kernel]:
    """The kernels of the running one's flavour; none where they are not this host's own affair."""
    # An ostree deployment shows the kernel of its own only, never the one that waits.
    folders = [] if (root / "run/ostree-booted").exists() else sorted((root / "lib/modules").glob("*/kernel"))
    # The time of change, since packages set the time of modification to that of their making.
    kernels = [Kernel(folder.parent.name, folder.stat().st_ctime) for folder in folders]
    return [kernel for kernel in kernels if _flavour(kernel.release) == _flavour(running)]


def newest(kernels: list[Kernel], *, than: str, since: float) -> Kernel | None:
    """The newest of those that are newer than a release and were installed after a moment."""
    fresh = [each for each in kernels if _numbers(each.release) > _numbers(than) and each.installed_at > since]
    return max(fresh, key=lambda each: _numbers(each.release), default=None)


def _flavour(release: str) -> list[str]:
    """The words of a kernel's release: `6.1.0-18-cloud-amd64` is of cloud, amd."""
    return re.findall(r"[A-Za-z]+", release)


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]
