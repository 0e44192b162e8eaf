"""How hot the processors are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import psutil
from pydantic import FiniteFloat

from storage.records import CheckResult
from tasks.check.checkers.base import Checker, NotApplicableError, RisingConfig, conclude
from tasks.check.readings.sensors import is_plausible
from tasks.check.readings.text import printable

# Kernel modules and thermal zones that measure a processor. Intel and AMD, VIA, the zones of ARM boards.
CPU_SENSOR = re.compile(
    r"coretemp|k8temp|k10temp|zenpower|via_cputemp|x86_pkg_temp|cpu\w*|(soc|package|bigcore|littlecore)\w*thermal"
)
# Some place on the mainboard, often one number for ever: better than nothing, and only then.
LAST_RESORT = "acpitz"
MAX_SENSORS = 50
MAX_LABEL_CHARS = 60


class Sensor(NamedTuple):
    """One reading, and what the sensor itself calls high and critical."""

    label: str
    celsius: float
    high_celsius: float | None
    critical_celsius: float | None


@dataclass(frozen=True)
class CpuTemp(Checker):
    """The hottest of the processors' sensors.

    The thresholds decide; what the sensor itself calls high and critical is told beside them. `sensors` has the
    hottest 50 by label; of several with the same label (two sockets) the hotter one.
    """

    kind: ClassVar[str] = "cpu_temp"
    measures: ClassVar[str] = "temperature of the hottest processor sensor"

    class Config(RisingConfig):
        """Degrees Celsius. Most processors slow themselves down between 95 and 105, small boards from 80 on."""

        unit: ClassVar[str] = "°C"

        warning_threshold: FiniteFloat = 80.0
        critical_threshold: FiniteFloat = 95.0

    config: Config

    def measure(self) -> CheckResult:
        """Read every sensor once."""
        sensors = sorted(_cpu_sensors(), key=lambda sensor: -sensor.celsius)
        if not sensors:
            raise NotApplicableError("no temperature sensor of a processor (virtual machines have none)")
        hottest = sensors[0]
        metrics = {
            "cpu_temp_celsius": hottest.celsius,
            "sensor_high_celsius": hottest.high_celsius,
            "sensor_critical_celsius": hottest.critical_celsius,
            # Hottest last, so that it stays where a label stands for several.
            "sensors": {sensor.label: sensor.celsius for sensor in reversed(sensors[:MAX_SENSORS])},
        }
        sentence = f"CPU {hottest.celsius:.1f} °C at {hottest.label}"
        return conclude(self.kind, [self.config.read(hottest.celsius, sentence)], metrics=metrics)


def _cpu_sensors() -> list[Sensor]:
    read = getattr(psutil, "sensors_temperatures", None)
    if read is None:
        raise NotApplicableError("this operating system tells no temperatures")
    chips: dict[str, list[tuple[str, float, float | None, float | None]]] = read()
    found = [
        sensor
        for name, entries in chips.items()
        if CPU_SENSOR.fullmatch(name.replace("-", "_"))
        for sensor in _of_chip(name, entries)
    ]
    return found or list(_of_chip(LAST_RESORT, chips.get(LAST_RESORT, [])))


def _of_chip(name: str, entries: list[tuple[str, float, float | None, float | None]]) -> Iterator[Sensor]:
    # AMD's Tctl steers the fans and is up to 27 degrees more than the truth, which is Tdie where there is one.
    has_die = any(label == "Tdie" for label, *_ in entries)
    for label, celsius, high, critical in entries:
        if is_plausible(celsius) and not (has_die and label == "Tctl"):
            shown = printable(f"{name} {label}".strip(), MAX_LABEL_CHARS)
            yield Sensor(shown, round(celsius, 1), _limit(high), _limit(critical))


def _limit(celsius: float | None) -> float | None:
    return celsius if celsius is not None and is_plausible(celsius) else None
