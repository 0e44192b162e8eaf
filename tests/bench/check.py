"""What a look at the host costs: check-health as a whole process, and a check stage of four slow checkers."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from report import Figure, Section, median, progress

from tasks.check import apart

REPETITIONS = 10
LOOKS = 3
LOOK_PAUSE_SECONDS = 0.01
KIB, MB = 1024, 1_000_000
WATCHKEEPER = [sys.executable, "-m", "deployments.cli"]
CHECK_HEALTH = [*WATCHKEEPER, "check-health", "--json", "--samples", "1"]
SAMPLE_SECONDS = 0.5  # what the first sample of cpu looks back over
NOTHING = [sys.executable, "-c", "pass"]
SLOW_MS = 950  # what each checker of the stage takes, at least


def measure() -> Section:
    """The command first, while nothing else runs."""
    parts = [check_health(), stage()]
    return Section(
        "check",
        "a look at the host",
        [figure for figures, _ in parts for figure in figures],
        [
            f"medians of {REPETITIONS} runs each, in turns; of check-health {SAMPLE_SECONDS} s are cpu's sample",
            (
                "memory: the peak of the command and what its fork held beside what both share, looked at every "
                f"{LOOK_PAUSE_SECONDS * 1000:.0f} ms; the largest of {LOOKS} runs"
            ),
            (
                "stage: cpu, http, certificate and clock_skew, which a loopback server keeps waiting; measured in "
                "a process of its own, with the snapshot of the host"
            ),
        ],
        {name: values for _, samples in parts for name, values in samples.items()},
    )


def check_health() -> tuple[list[Figure], dict[str, Any]]:
    """The command as a monitoring system runs it, from the start of its process to the end."""
    progress("check: check-health as a whole process")
    commands = {"check-health": CHECK_HEALTH, "help": [*WATCHKEEPER, "--help"], "nothing": NOTHING}
    runs = [{name: _run(command) for name, command in commands.items()} for _ in range(REPETITIONS)]
    seconds = {name: [run[name] for run in runs] for name in commands}
    middle = {name: median(values) for name, values in seconds.items()}
    together_mb, alone_mb = zip(*[_peak_mb(CHECK_HEALTH) for _ in range(LOOKS)], strict=True)
    figures = [
        Figure("check-health --json, one sample", middle["check-health"], "s", "a Python that does nothing",
               middle["nothing"], at_most=1.0, is_below=True),
        Figure("its memory, with its fork's", max(together_mb), "MB", "the command alone", max(alone_mb),
               at_most=60.0, is_below=True),
        Figure("--help", middle["help"], "s", "a Python that does nothing", middle["nothing"]),
    ]  # fmt: skip
    return figures, {"command_seconds": seconds, "together_mb": together_mb}


def stage() -> tuple[list[Figure], dict[str, Any]]:
    """Four checkers that take a second each, as a run's check stage measures them."""
    progress("check: a stage of four checkers that take a second each")
    seconds, sums = [], []
    with _silent_servers() as (tcp, udp):
        configs: dict[str, dict[str, Any]] = {
            "cpu": {"samples": 2, "sample_interval": SAMPLE_SECONDS},
            "http": {"urls": [f"http://{tcp}/"], "timeout": 1.0},
            "certificate": {"targets": [tcp], "timeout": 2.1},
            "clock_skew": {"servers": [udp], "timeout": 1.1},
        }
        for _ in range(REPETITIONS):
            started = time.monotonic()
            measured = apart.measure(list(configs), configs)
            seconds.append(time.monotonic() - started)
            durations_ms = {result.checker_name: result.duration_ms for result in measured.results}
            assert min(durations_ms.values()) >= SLOW_MS, durations_ms
            sums.append(sum(durations_ms.values()) / 1000)
    figure = Figure("a stage of four 1-second checkers", median(seconds), "s", "one after the other", median(sums),
                    at_most=1.5, is_below=True)  # fmt: skip
    return [figure], {"stage_seconds": seconds}


def _run(command: Sequence[str]) -> float:
    """Seconds from the start of a process to its end."""
    started = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started


def _peak_mb(command: Sequence[str]) -> tuple[float, float]:
    """The most that it held, with its fork and alone. Looking slows it down."""
    fork_mb = alone_mb = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            fork_mb = max(fork_mb, _fork_mb(process.pid))
            alone_mb = max(alone_mb, _alone_mb(process.pid))
            time.sleep(LOOK_PAUSE_SECONDS)
    return alone_mb + fork_mb, alone_mb


def _fork_mb(pid: int) -> float:
    """What its fork holds beyond what both share."""
    try:
        return sum(fork.memory_full_info().uss for fork in psutil.Process(pid).children()) / MB
    except psutil.Error:  # ended meanwhile
        return 0.0


def _alone_mb(pid: int) -> float:
    """The kernel's own mark of the most. What getrusage has of a child includes who started it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * KIB / MB if found else 0.0


@contextmanager
def _silent_servers() -> Iterator[tuple[str, str]]:
    """Addresses by TCP and by UDP where somebody listens and nobody answers."""
    with ExitStack() as sockets:
        made = [
            sockets.enter_context(socket.socket(socket.AF_INET, kind))
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        ]
        for each in made:
            each.bind(("127.0.0.1", 0))
        made[0].listen(64)
        tcp, udp = (f"127.0.0.1:{each.getsockname()[1]}" for each in made)
        yield tcp, udp
