"""How busy the processors are."""

from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Self

import psutil
from pydantic import Field, FiniteFloat, model_validator

from storage.records import CheckResult
from tasks.check.checkers.base import Checker, RisingConfig, crossed, judge_rising


@dataclass(frozen=True)
class Cpu(Checker):
    """The mean use of all processors over some samples.

    `cpu_percent` is that mean, 100 being every core busy; `cpu_min` and `cpu_max` are the calmest and the
    busiest sample. `per_cpu` adds `per_cpu_percent`, a mean for each core; the verdict stays the whole
    host's, since one busy core of many harms nobody.
    """

    kind: ClassVar[str] = "cpu"

    class Config(RisingConfig):
        """`sample_interval` is in seconds."""

        samples: int = Field(default=5, ge=1)
        sample_interval: FiniteFloat = Field(default=1.0, gt=0)
        per_cpu: bool = False
        warning_threshold: FiniteFloat = 70.0
        critical_threshold: FiniteFloat = 90.0

        @model_validator(mode="after")
        def _samples_fit_the_timeout(self) -> Self:
            if self.samples * self.sample_interval >= self.timeout:
                raise ValueError(
                    f"samples {self.samples} x sample_interval {self.sample_interval:g} s "
                    f"must take less than timeout {self.timeout:g} s"
                )
            return self

    config: Config

    def measure(self) -> CheckResult:
        """Take the samples, one `sample_interval` each."""
        config = self.config
        rounds = [psutil.cpu_percent(interval=config.sample_interval, percpu=True) for _ in range(config.samples)]
        samples = [fmean(cores) for cores in rounds]
        cpu_percent = round(fmean(samples), 1)
        metrics: dict[str, Any] = {
            "cpu_percent": cpu_percent,
            "cpu_min": round(min(samples), 1),
            "cpu_max": round(max(samples), 1),
            "samples": config.samples,
            "cpu_count": len(rounds[-1]),
        }
        if config.per_cpu:
            metrics["per_cpu_percent"] = [round(fmean(core), 1) for core in zip(*rounds, strict=False)]
        status = judge_rising(cpu_percent, config)
        return CheckResult(
            checker_name=self.kind,
            status=status,
            message=f"CPU {cpu_percent:.1f} % busy{crossed(status, config)}",
            metrics=metrics,
        )
