"""How much memory is in use."""

from dataclasses import dataclass
from typing import Any, ClassVar

import psutil
from pydantic import FiniteFloat

from storage.records import CheckResult
from tasks.check.checkers.base import Checker, RisingConfig, conclude, gib


@dataclass(frozen=True)
class Memory(Checker):
    """Memory that programs cannot have: everything but what the kernel calls available.

    With `include_swap` the fuller of memory and swap decides; where there is no swap, none of it is used.
    """

    kind: ClassVar[str] = "memory"
    measures: ClassVar[str] = "memory in use, swap where asked for"

    class Config(RisingConfig):
        """Percentages of the whole."""

        include_swap: bool = False
        warning_threshold: FiniteFloat = 70.0
        critical_threshold: FiniteFloat = 90.0

    config: Config

    def measure(self) -> CheckResult:
        """Read memory, and swap if wanted."""
        memory = psutil.virtual_memory()
        metrics: dict[str, Any] = {
            "memory_percent": memory.percent,
            "memory_total_gb": gib(memory.total),
            "memory_used_gb": gib(memory.used),
            "memory_available_gb": gib(memory.available),
        }
        used = {"Memory": memory.percent}
        if self.config.include_swap:
            swap = _swap()
            metrics |= swap
            used["Swap"] = swap["swap_percent"]
        sentence = ", ".join(f"{name} {percent:.1f} % used" for name, percent in used.items())
        return conclude(self.kind, [self.config.read(max(used.values()), sentence)], metrics=metrics)


def _swap() -> dict[str, float]:
    swap = psutil.swap_memory()
    return {
        "swap_percent": swap.percent,
        "swap_total_gb": gib(swap.total),
        "swap_used_gb": gib(swap.used),
        "swap_free_gb": gib(swap.free),
    }
