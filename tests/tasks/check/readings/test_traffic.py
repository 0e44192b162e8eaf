import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from networks import in_own_network

from tasks.check.readings.traffic import watch_interfaces

needs_proc = pytest.mark.skipif(not Path("/proc/net/dev").exists(), reason="compares with /proc/net/dev")

# Six cables, both ends here, and 200 frames of 1,000 bytes into the third of them.
PROGRAM = """
import json, socket, subprocess, time
from tasks.check.readings.traffic import watch_interfaces
for number in range(6):
    ends = f"a{number}", f"b{number}"
    subprocess.run(["ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]], check=True)
    for end in ends:
        subprocess.run(["ip", "link", "set", end, "up"], check=True)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as cable:
    cable.bind(("a2", 0x88b5))
    finish, started_at = watch_interfaces(), time.monotonic()
    for _ in range(200):
        cable.send(bytes(12) + b"\\x88\\xb5" + bytes(986))
        time.sleep(0.001)
    print(json.dumps([time.monotonic() - started_at, finish()]))
"""


@pytest.fixture(scope="module")
def cables() -> tuple[float, list[dict[str, Any]]]:
    """How long the frames took, and what was seen of them in a network of our own."""
    try:
        seconds, interfaces = json.loads(in_own_network(PROGRAM))
    except AssertionError as error:
        if "Unknown device type" in str(error):
            pytest.skip("this kernel has no network cables without hardware")
        raise
    return seconds, interfaces


def test_what_goes_over_an_interface_is_told_of_both_its_ends(cables: tuple[float, list[dict[str, Any]]]) -> None:
    seconds, interfaces = cables
    bytes_per_second = 200 * 1_000 / seconds

    moved = {
        each["name"]: (each["received_bytes_per_second"], each["sent_bytes_per_second"]) for each in interfaces
    }

    assert {each["name"] for each in interfaces[:2]} == {"a2", "b2"}
    assert moved["a2"] == (pytest.approx(0, abs=5_000), pytest.approx(bytes_per_second, rel=0.1))
    assert moved["b2"] == (pytest.approx(bytes_per_second, rel=0.1), pytest.approx(0, abs=5_000))


def test_ten_interfaces_are_told_at_most(cables: tuple[float, list[dict[str, Any]]]) -> None:
    assert len(cables[1]) == 10


@needs_proc
def test_errors_and_drops_are_the_kernels() -> None:
    time.sleep(0.05)

    interfaces = watch_interfaces()()

    rows = (line.split(":") for line in Path("/proc/net/dev").read_text().splitlines()[2:])
    kernel = {name.strip(): [int(number) for number in numbers.split()] for name, numbers in rows}
    assert all(name in kernel for name in (each["name"] for each in interfaces))
    for each in interfaces:
        numbers = kernel[each["name"]]
        assert each["error_count"] == numbers[2] + numbers[10]
        assert each["drop_count"] == pytest.approx(numbers[3] + numbers[11], abs=5)


def counters(received: int) -> SimpleNamespace:
    return SimpleNamespace(bytes_recv=received, bytes_sent=0, errin=1, errout=2, dropin=3, dropout=4)


def rates(monkeypatch: pytest.MonkeyPatch, before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What is told of interfaces that had received so much before and after."""
    flags = {"lo": "up,loopback,running", "down0": "broadcast"}
    stats = {name: flags.get(name, "up,broadcast,running") for name in after}
    looks = iter([before, after])
    monkeypatch.setattr(
        psutil, "net_io_counters", lambda **_: {name: counters(count) for name, count in next(looks).items()}
    )
    monkeypatch.setattr(
        psutil,
        "net_if_stats",
        lambda: {name: SimpleNamespace(isup="up" in flag, flags=flag) for name, flag in stats.items()},
    )
    return {each["name"]: each["received_bytes_per_second"] for each in watch_interfaces()()}


def test_loopback_and_what_is_down_are_not_told_however_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    after = {"lo": 9_000, "down0": 9_000, "eth0": 1}

    assert list(rates(monkeypatch, dict.fromkeys(after, 0), after)) == ["eth0"]


def test_an_interface_that_was_made_anew_moved_nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rates(monkeypatch, {"eth0": 1_000_000}, {"eth0": 10}) == {"eth0": 0}


def test_an_interface_that_is_new_is_not_told_before_it_was_seen_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rates(monkeypatch, {"eth0": 0}, {"eth0": 0, "new0": 10**9}) == {"eth0": 0}
