import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from zram import zram_device

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.swap_io import SwapIo, Swapped, swapped, verdict
from tasks.check.checks import run_checkers

MIB = 1024**2

# Pushes 32 MiB out to swap and fetches them back, for each line that it reads.
SWAPPER = """
import mmap, os, sys
MADV_PAGEOUT = 21
size = 32 * 2**20
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(os.urandom(size))
print("ready", flush=True)
for line in sys.stdin:
    memory.madvise(MADV_PAGEOUT)
    sum(memory[place] for place in range(0, size, mmap.PAGESIZE))
    print("done", flush=True)
"""


@pytest.fixture
def swap() -> Iterator[None]:
    """A swap device of the kernel's own: in memory, and preferred to others that the host may have.

    What is pushed out to a swap file stays in memory for a while, so it would not have to come back from there.
    """
    if not all(shutil.which(program) for program in ("mkswap", "swapon", "swapoff")):
        pytest.skip("needs mkswap, swapon and swapoff")
    with zram_device() as name:
        try:
            Path(f"/sys/block/{name}/disksize").write_text(str(128 * MIB))
            subprocess.run(["mkswap", "-q", f"/dev/{name}"], check=True, capture_output=True)
            subprocess.run(["swapon", "-p", "32767", f"/dev/{name}"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"cannot swap to a zram device: {error}")
        yield
        subprocess.run(["swapoff", f"/dev/{name}"], check=True)


@pytest.fixture
def swapper() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", SWAPPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def kernel_pages() -> dict[str, int]:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return {name: int(count) for name, count in (line.split() for line in lines)}


def judged(in_mb: float, out_mb: float) -> CheckResult:
    """The result of a second in which so much was swapped in pages of 4 KiB."""
    before = Swapped(40.0, pages_in=500, pages_out=700)
    after = Swapped(41.0, pages_in=500 + round(in_mb * 256), pages_out=700 + round(out_mb * 256))
    return verdict(before, after, SwapIo.Config(), page_bytes=4096)


@pytest.mark.usefixtures("swap")
def test_swap_io_agrees_with_the_kernels_own_counters(swapper: "subprocess.Popen[str]") -> None:
    assert swapper.stdin
    assert swapper.stdout
    results: list[CheckResult] = []
    checker = SwapIo(SwapIo.Config(interval=1.0))
    check = threading.Thread(target=lambda: results.extend(run_checkers([checker])))

    before = kernel_pages()
    check.start()
    time.sleep(0.3)  # now the checker waits between its two readings
    swapper.stdin.write("now\n")
    swapper.stdin.flush()
    swapper.stdout.readline()
    check.join()
    after = kernel_pages()

    mb_per_page = os.sysconf("SC_PAGE_SIZE") / MIB
    metrics = results[0].metrics
    out_mb, in_mb = metrics["swap_out_mb_per_second"], metrics["swap_in_mb_per_second"]
    assert out_mb == pytest.approx((after["pswpout"] - before["pswpout"]) * mb_per_page, rel=0.05)
    assert in_mb == pytest.approx((after["pswpin"] - before["pswpin"]) * mb_per_page, rel=0.05)
    assert out_mb > 25
    assert in_mb > 25
    assert results[0].status is CheckStatus.CRITICAL
    assert results[0].message.endswith("(critical at 50 MB/s)")


@pytest.mark.usefixtures("swap")
def test_swap_that_nobody_touches_is_good() -> None:
    result = SwapIo(SwapIo.Config(interval=0.2)).measure()

    assert result.status is CheckStatus.OK
    assert result.metrics["swap_mb_per_second"] < 10


def test_a_host_without_swap_is_skipped() -> None:
    if psutil.swap_memory().total:
        pytest.skip("this host has swap")

    result = run_checkers([SwapIo(SwapIo.Config())])[0]

    assert (result.status, result.message) == (CheckStatus.SKIPPED, "no swap is configured")
    assert result.duration_ms < 300  # it does not wait for an interval that would tell nothing


def test_what_is_swapped_is_pages_by_time() -> None:
    # Recorded from /proc/vmstat while a program used more memory than its cgroup let it have.
    before = Swapped(1000.0, pages_in=16384, pages_out=32768)
    after = Swapped(1001.0, pages_in=48163, pages_out=75389)

    metrics = verdict(before, after, SwapIo.Config(), page_bytes=4096).metrics

    assert metrics == {
        "swap_in_mb_per_second": 124.14,
        "swap_out_mb_per_second": 166.49,
        "swap_mb_per_second": 290.63,
    }


def test_large_pages_and_longer_intervals_count_for_what_they_are() -> None:
    before, after = Swapped(10.0, 0, 0), Swapped(14.0, 64, 128)

    metrics = verdict(before, after, SwapIo.Config(), page_bytes=65536).metrics

    assert (metrics["swap_in_mb_per_second"], metrics["swap_out_mb_per_second"]) == (1.0, 2.0)


@pytest.mark.parametrize("after", [Swapped(1.0, 9, 10), Swapped(1.0, 10, 9)])
def test_counters_that_went_back_are_no_good_news(after: Swapped) -> None:
    with pytest.raises(ValueError, match="went back"):
        verdict(Swapped(0.0, 10, 10), after, SwapIo.Config())


def test_counters_are_found_among_the_kernels_others(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pgpgin 1536418\npgpgout 1400176\npswpin 98507\npswpout 128067\npgalloc_dma 0\n")

    assert swapped(vmstat)[1:] == (98507, 128067)


@pytest.mark.parametrize("text", [None, "pgpgin 1536418\npgpgout 1400176\n", ""])
def test_a_host_that_does_not_count_is_not_judged(tmp_path: Path, text: str | None) -> None:
    vmstat = tmp_path / "vmstat"
    if text is not None:
        vmstat.write_text(text)

    with pytest.raises(NotApplicableError, match="does not count what it swaps"):
        swapped(vmstat)


@pytest.mark.parametrize(
    ("in_mb", "out_mb", "status"),
    [
        (0, 0, "ok"),
        (9.9, 0, "ok"),
        (10, 0, "warning"),
        (0, 10, "warning"),
        (5, 5, "warning"),
        (25, 24.9, "warning"),
        (25, 25, "critical"),
        (400, 600, "critical"),
    ],
)
def test_both_ways_together_are_judged(in_mb: float, out_mb: float, status: str) -> None:
    result = judged(in_mb, out_mb)

    assert result.status == status
    assert result.readings[0].value == pytest.approx(in_mb + out_mb, abs=0.02)


def test_the_message_tells_the_way_and_the_unit() -> None:
    message = judged(3.0, 8.5).message

    assert message == "Swapping 11.5 MB/s (3.0 in, 8.5 out) (warning at 10 MB/s)"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"interval": 9.6}, "interval 9.6 s must be at least 0.5 s less than timeout 10 s"),
        ({"timeout": 0.9}, "interval 0.5 s must be at least 0.5 s less than timeout 0.9 s"),
        ({"interval": 0}, "interval"),
        ({"interval": "inf"}, "interval"),
        ({"warning_threshold": 60}, "warning_threshold 60 must not be above critical_threshold 50"),
        ({"for": 0}, "for"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SwapIo.Config.model_validate(config)


def test_one_burst_is_not_told_unless_asked_for() -> None:
    assert SwapIo.Config().confirmations == 3
    assert SwapIo.Config.model_validate({"for": 1}).confirmations == 1
