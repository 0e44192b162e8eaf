"""How much goes to swap and comes back."""

import time
from dataclasses import dataclass
from mmap import PAGESIZE
from pathlib import Path
from typing import ClassVar, NamedTuple

import psutil
from pydantic import Field, FiniteFloat

from storage.records import CheckResult
from tasks.check.checkers.base import Checker, IntervalConfig, NotApplicableError, conclude

# Not psutil's sin and sout, which come from here: it takes every page for 4 KiB (on ARM it may be 64), and where
# it cannot read them it says 0, which would pass for calm.
VMSTAT = Path("/proc/vmstat")
MIB = 1024**2


class Swapped(NamedTuple):
    """Pages that came from swap and went there since the host started, and when that was read."""

    at_seconds: float
    pages_in: int
    pages_out: int


@dataclass(frozen=True)
class SwapIo(Checker):
    """What moves between memory and swap, both ways together.

    A full swap that nobody touches harms nobody; a host that swaps all the time hardly works. Swap in
    compressed memory (zram) counts as well. In a container it is the whole host's.
    """

    kind: ClassVar[str] = "swap_io"
    measures: ClassVar[str] = "traffic between memory and swap"

    class Config(IntervalConfig):
        """`interval`: the seconds between the two readings that are compared."""

        unit: ClassVar[str] = "MB/s"

        interval: FiniteFloat = Field(default=0.5, ge=0.1)
        # A host with memory enough moves nothing; a program that wakes up fetches some MB, once. A host that lives
        # off swap moves tens of MB without end, or on a slow disk as much as that can, which io_strain sees.
        warning_threshold: FiniteFloat = 10.0
        critical_threshold: FiniteFloat = 50.0
        # The interval is short, and so is many a burst.
        confirmations: int = Field(default=3, ge=1, le=1000, alias="for")

    config: Config

    def measure(self) -> CheckResult:
        """Read the counters, wait for `interval`, and read them again."""
        before = swapped()
        if not psutil.swap_memory().total:
            raise NotApplicableError("no swap is configured")
        time.sleep(self.config.interval)
        return verdict(before, swapped(), self.config)


def swapped(vmstat: Path = VMSTAT) -> Swapped:
    """What the kernel has counted so far. Raises NotApplicableError where it does not count."""
    try:
        counters = dict(line.split() for line in vmstat.read_text().splitlines())
        return Swapped(time.monotonic(), int(counters["pswpin"]), int(counters["pswpout"]))
    except (FileNotFoundError, KeyError):
        raise NotApplicableError("this host does not count what it swaps") from None


def verdict(before: Swapped, after: Swapped, config: SwapIo.Config, *, page_bytes: int = PAGESIZE) -> CheckResult:
    """The result for what was swapped between two readings."""
    pages_in, pages_out = after.pages_in - before.pages_in, after.pages_out - before.pages_out
    if pages_in < 0 or pages_out < 0:
        raise ValueError("the kernel's swap counters went back")
    page_mb_per_second = page_bytes / MIB / (after.at_seconds - before.at_seconds)
    in_mb, out_mb = round(pages_in * page_mb_per_second, 2), round(pages_out * page_mb_per_second, 2)
    both_mb = round(in_mb + out_mb, 2)
    metrics = {
        "swap_in_mb_per_second": in_mb,
        "swap_out_mb_per_second": out_mb,
        "swap_mb_per_second": both_mb,
    }
    sentence = f"Swapping {both_mb:.1f} MB/s ({in_mb:.1f} in, {out_mb:.1f} out)"
    return conclude(SwapIo.kind, [config.read(both_mb, sentence)], metrics=metrics)
