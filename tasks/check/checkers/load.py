"""How many tasks want to run."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import psutil
from pydantic import FiniteFloat

from storage.records import CheckResult
from tasks.check.checkers.base import Checker, NotApplicableError, RisingConfig, conclude


@dataclass(frozen=True)
class Load(Checker):
    """The load average for each core: how many tasks run or wait for their turn.

    On Linux those that wait for a disk count too. In a container it is the whole host's.
    """

    kind: ClassVar[str] = "load"
    measures: ClassVar[str] = "load average for each core"

    class Config(RisingConfig):
        """`minutes`: which of the kernel's three averages is judged."""

        unit: ClassVar[str] = "per core"

        minutes: Literal[1, 5, 15] = 5
        # At 1 every core is in use and nobody waits, and a nightly job with a few threads too many comes near
        # 2, which still harms nobody. From 4 on work takes four times as long as it should, logins included.
        warning_threshold: FiniteFloat = 2.0
        critical_threshold: FiniteFloat = 4.0

    config: Config

    def measure(self) -> CheckResult:
        """Read the kernel's averages; nothing is waited for."""
        loads = _load_averages()
        cpu_count = psutil.cpu_count()
        if not cpu_count:
            raise NotApplicableError("this platform does not tell how many processors it has")
        load = loads[self.config.minutes]
        load_per_core = round(load / cpu_count, 2)
        metrics: dict[str, float] = {f"load_{minutes}": round(load, 2) for minutes, load in loads.items()}
        metrics |= {"cpu_count": cpu_count, "load_per_core": load_per_core}
        sentence = f"Load {load_per_core:.2f} per core over {self.config.minutes} min ({load:.2f} on {cpu_count})"
        return conclude(self.kind, [self.config.read(load_per_core, sentence)], metrics=metrics)


def _load_averages() -> dict[int, float]:
    """The averages by the minutes that they are over."""
    try:
        return dict(zip((1, 5, 15), psutil.getloadavg(), strict=True))
    except AttributeError:  # how psutil says that a platform has none
        raise NotApplicableError("this platform keeps no load averages") from None
