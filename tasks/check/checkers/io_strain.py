"""How busy the disks are."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import psutil
from pydantic import Field, FiniteFloat, StringConstraints

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import Checker, IntervalConfig, NotApplicableError, conclude, state

SYS_BLOCK = Path("/sys/block")
MIB = 1024**2
MAX_DEVICES_SHOWN = 50
COUNTS = ("read_count", "write_count", "read_bytes", "write_bytes")
TIMES = ("busy_time", "read_time", "write_time")
# The kernel prints milliseconds as 32 bits: seven weeks of work, or less where requests run side by side.
MS_WRAP = 2**32
# sda, nvme0n1, md0, cciss/c0d0; not /dev/sda.
DeviceName = Annotated[str, StringConstraints(pattern=r"^[^/\s\x00][^\s\x00]{0,63}$")]
Strain = dict[str, float]


class IncomparableError(Exception):
    """A device's two readings do not belong together; the message says why, after the device's name."""


class Counters(NamedTuple):
    """psutil's counters of each block device, and when they were read."""

    at_seconds: float
    devices: dict[str, Any]


@dataclass(frozen=True)
class IoStrain(Checker):
    """The part of the time in which a device had something to do (the %util of iostat).

    Without `devices` each one with hardware of its own counts: what is made of others (partitions, RAID, LVM,
    loop) would only repeat them, and what is in memory (zram) is no disk. A device that serves many requests
    at once can be busy all the time and still have reserves: then `request_ms`, what a request took in the
    mean, stays low.
    """

    kind: ClassVar[str] = "io_strain"
    measures: ClassVar[str] = "how busy each disk is"

    class Config(IntervalConfig):
        """`devices`: as /proc/diskstats names them. `interval`: seconds between the two readings compared."""

        devices: list[DeviceName] | None = Field(default=None, min_length=1)
        warning_threshold: FiniteFloat = 90.0
        critical_threshold: FiniteFloat = 98.0
        # A second of full use is any backup's; one that is met again and again is not.
        confirmations: int = Field(default=3, ge=1, le=1000, alias="for")

    config: Config

    def measure(self) -> CheckResult:
        """Read the counters, wait for `interval`, and read them again."""
        before = _counters()
        names = self.config.devices or physical_devices(before.devices)
        if not names:
            raise NotApplicableError("no block device with hardware of its own")
        time.sleep(self.config.interval)
        return verdict(names, before, _counters(), self.config)


def physical_devices(names: Iterable[str], sys_block: Path = SYS_BLOCK) -> list[str]:
    """Those that stand for hardware, or for what a hypervisor passes off as such."""
    # sysfs cannot have the slash of a name like cciss/c0d0.
    return [name for name in names if (sys_block / name.replace("/", "!") / "device").exists()]


def verdict(names: Iterable[str], before: Counters, after: Counters, config: IoStrain.Config) -> CheckResult:
    """The result for these devices; one that cannot be compared is UNKNOWN."""
    devices: dict[str, Strain] = {}
    readings: list[Reading] = []
    for name in dict.fromkeys(names):
        try:
            strain = devices[name] = _strain(name, before, after)
            readings.append(config.read(strain["busy_percent"], _sentence(name, strain), target=name))
        except IncomparableError as error:
            readings.append(state(CheckStatus.UNKNOWN, f"{name} {error}", target=name))
    busiest = sorted(devices, key=lambda name: -devices[name]["busy_percent"])
    metrics: dict[str, Any] = {"devices": {name: devices[name] for name in busiest[:MAX_DEVICES_SHOWN]}}
    if not busiest:
        return conclude(IoStrain.kind, readings, metrics=metrics | {"worst_percent": None, "worst_device": None})
    worst = busiest[0]
    metrics |= {"worst_percent": devices[worst]["busy_percent"], "worst_device": worst}
    return conclude(IoStrain.kind, readings, metrics=metrics, good=_sentence(worst, devices[worst]))


def _counters() -> Counters:
    try:
        # Without nowrap: that correction lives on what the whole process read last, and takes two checkers
        # side by side for a counter that wrapped.
        devices = psutil.disk_io_counters(perdisk=True, nowrap=False)
    except NotImplementedError:
        devices = {}
    if not all(hasattr(device, "busy_time") for device in devices.values()):
        raise NotApplicableError("this platform does not count how long a disk is busy")
    return Counters(time.monotonic(), dict(devices))


def _strain(name: str, before: Counters, after: Counters) -> Strain:
    if name not in before.devices:
        raise IncomparableError("is no block device of this host")
    if name not in after.devices:
        raise IncomparableError("vanished while it was measured")
    old, new = before.devices[name], after.devices[name]
    seconds = after.at_seconds - before.at_seconds
    reads, writes, read_bytes, written_bytes = (getattr(new, key) - getattr(old, key) for key in COUNTS)
    if min(reads, writes, read_bytes, written_bytes) < 0:
        raise IncomparableError("began to count anew while it was measured")
    busy_ms, read_ms, write_ms = ((getattr(new, key) - getattr(old, key)) % MS_WRAP for key in TIMES)
    return {
        # The kernel's clock ticks are coarser than ours, so it may come to a little more than all the time.
        "busy_percent": round(min(100.0, busy_ms / seconds / 10), 1),
        "read_mb_per_second": round(read_bytes / MIB / seconds, 2),
        "write_mb_per_second": round(written_bytes / MIB / seconds, 2),
        "reads_per_second": round(reads / seconds, 1),
        "writes_per_second": round(writes / seconds, 1),
        "request_ms": round((read_ms + write_ms) / max(1, reads + writes), 1),
    }


def _sentence(name: str, strain: Strain) -> str:
    return (
        f"{name} {strain['busy_percent']:.1f} % busy, {strain['read_mb_per_second']:.1f} MB/s read, "
        f"{strain['write_mb_per_second']:.1f} MB/s written"
    )
