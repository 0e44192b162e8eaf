"""How hot the drives are."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import FiniteFloat

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.calls import HungError, side_by_side
from tasks.check.checkers.base import Checker, NotApplicableError, RisingConfig, conclude, state
from tasks.check.readings import sensors

MAX_DISKS = 50
# Of the timeout: the drives that answer are told before the whole checker counts as hung.
SHARE_FOR_DRIVES = 0.9


@dataclass(frozen=True)
class DiskTemp(Checker):
    """The temperature of every NVMe and SATA drive that tells one, a reading for each.

    Linux only. The drives are asked side by side, so that a dead one is UNKNOWN by itself. Some drives wake up
    to answer (kernel: Documentation/hwmon/drivetemp.rst). `disks` has the hottest 50.
    """

    kind: ClassVar[str] = "disk_temp"
    measures: ClassVar[str] = "temperature of each drive"

    class Config(RisingConfig):
        """Degrees Celsius. Hard disks are built for 60 at most; flash drives slow themselves down from 70 on."""

        unit: ClassVar[str] = "°C"

        warning_threshold: FiniteFloat = 60.0
        critical_threshold: FiniteFloat = 70.0

    config: Config

    def measure(self) -> CheckResult:
        """Ask every drive once."""
        monitors = sensors.drive_monitors(sensors.HWMON)
        asked = {name: partial(sensors.drive_celsius, monitor) for name, monitor in monitors.items()}
        timeout_seconds = SHARE_FOR_DRIVES * self.config.timeout
        answers = side_by_side(asked, timeout_seconds=timeout_seconds)
        warm = {name: round(answer, 1) for name, answer in answers.items() if isinstance(answer, float)}
        celsius = {name: value for name, value in warm.items() if sensors.is_plausible(value)}
        faults = {name: answer for name, answer in answers.items() if isinstance(answer, BaseException)}
        if not celsius and not faults:
            raise NotApplicableError(
                "no drive tells its temperature (virtual machines' do not; SATA drives need the kernel module "
                "drivetemp: modprobe drivetemp)"
            )
        readings = [self._reading(name, celsius[name], monitors[name]) for name in celsius]
        readings += [_unread(name, fault, timeout_seconds) for name, fault in faults.items()]
        return conclude(self.kind, readings, metrics=_metrics(celsius, monitors), good=_good(celsius))

    def _reading(self, name: str, celsius: float, monitor: Path) -> Reading:
        model = sensors.drive_model(monitor)
        thing = f"{name} ({model})" if model else name
        return self.config.read(celsius, f"Drive {thing} {celsius:.1f} °C", target=name)


def _unread(name: str, fault: BaseException, timeout_seconds: float) -> Reading:
    reason = str(fault)
    if isinstance(fault, HungError):
        reason = f"no answer within {timeout_seconds:g} s"
    elif isinstance(fault, OSError) and fault.strerror:
        reason = fault.strerror
    return state(CheckStatus.UNKNOWN, f"Drive {name} does not tell its temperature: {reason}", target=name)


def _metrics(celsius: dict[str, float], monitors: dict[str, Path]) -> dict[str, Any]:
    hottest_first = sorted(celsius, key=lambda name: -celsius[name])
    return {
        "disk_temp_celsius": celsius[hottest_first[0]] if hottest_first else None,
        "disks": {
            name: {
                "temp_celsius": celsius[name],
                "drive_critical_celsius": sensors.drive_limit_celsius(monitors[name]),
                "model": sensors.drive_model(monitors[name]),
            }
            for name in hottest_first[:MAX_DISKS]
        },
    }


def _good(celsius: dict[str, float]) -> str:
    if len(celsius) < 2:  # noqa: PLR2004  (a single one speaks for itself)
        return ""
    hottest = max(celsius, key=lambda name: celsius[name])
    return f"{len(celsius)} drives, the hottest {hottest} {celsius[hottest]:.1f} °C"
