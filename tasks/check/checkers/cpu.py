"""How busy the processors are."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Self

import psutil
from pydantic import Field, FiniteFloat, model_validator

from storage.records import CheckResult
from tasks.check.checkers.base import RESERVE_SECONDS, Checker, RisingConfig, conclude

FIRST_WINDOW_SECONDS = 0.5


@dataclass(frozen=True)
class Cpu(Checker):
    """The mean use of all processors over some samples.

    `cpu_percent` is the mean over the whole time, 100 being every core busy; `cpu_min` and `cpu_max` are the
    calmest and the busiest sample. `per_cpu` adds `per_cpu_percent`, a mean for each core; the verdict stays the
    whole host's, since one busy core of many harms nobody. In a container, too, it is the whole host's.
    """

    kind: ClassVar[str] = "cpu"
    measures: ClassVar[str] = "use of all processors, over several samples"

    class Config(RisingConfig):
        """`sample_interval` is the seconds between samples: each looks back to the one before it.

        The first looks back over `sample_interval` too, but half a second at most.
        """

        samples: int = Field(default=5, ge=1, le=100_000)
        # The kernel counts in hundredths of a second.
        sample_interval: FiniteFloat = Field(default=1.0, ge=0.01)
        per_cpu: bool = False
        warning_threshold: FiniteFloat = 70.0
        critical_threshold: FiniteFloat = 90.0

        @property
        def first_window_seconds(self) -> float:
            """What the first sample looks over."""
            return min(self.sample_interval, FIRST_WINDOW_SECONDS)

        @property
        def windows_seconds(self) -> list[float]:
            """What each sample looks over."""
            return [self.first_window_seconds] + [self.sample_interval] * (self.samples - 1)

        @model_validator(mode="after")
        def _samples_fit_the_timeout(self) -> Self:
            seconds = self.first_window_seconds + (self.samples - 1) * self.sample_interval
            if seconds + RESERVE_SECONDS > self.timeout:
                raise ValueError(
                    f"samples {self.samples} at sample_interval {self.sample_interval:g} s take {seconds:g} s, "
                    f"which must be at least {RESERVE_SECONDS:g} s less than timeout {self.timeout:g} s"
                )
            return self

    config: Config

    def measure(self) -> CheckResult:
        """Take the samples."""
        windows = self.config.windows_seconds
        rounds = [psutil.cpu_percent(interval=seconds, percpu=True) for seconds in windows]
        metrics = summary(rounds, windows)
        if self.config.per_cpu:
            metrics["per_cpu_percent"] = per_core(rounds, windows)
        percent = metrics["cpu_percent"]
        return conclude(self.kind, [self.config.read(percent, f"CPU {percent:.1f} % busy")], metrics=metrics)


def summary(rounds: Sequence[Sequence[float]], windows_seconds: Sequence[float]) -> dict[str, Any]:
    """The metrics of samples, each a percentage for every core, by the seconds that each looked over."""
    samples = [fmean(cores) for cores in rounds]
    return {
        "cpu_percent": round(fmean(samples, weights=windows_seconds), 1),
        "cpu_min": round(min(samples), 1),
        "cpu_max": round(max(samples), 1),
        "samples": len(samples),
        "cpu_count": len(rounds[-1]),
    }


def per_core(rounds: Sequence[Sequence[float]], windows_seconds: Sequence[float]) -> list[float]:
    """The mean of each core that was there in every sample: they can be switched off and on."""
    return [round(fmean(core, weights=windows_seconds), 1) for core in zip(*rounds, strict=False)]
