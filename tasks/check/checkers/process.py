"""Whether the programs run that should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field, FiniteFloat, field_validator

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import (
    SENTENCES_SHOWN,
    Checker,
    FallingConfig,
    NotApplicableError,
    conclude,
    state,
)
from tasks.check.readings.processes import Seen, Wanted, matching, other_processes, usage_of

MAX_PROCESSES = 50


@dataclass(frozen=True)
class Process(Checker):
    """The share of some processes that run.

    What the metrics tell of each is of its first match, by process id; `count` is of all that run. `cpu_percent`
    is over 0.2 s, 100 being one core busy. Neither this process nor a command that checks counts as a match: the
    names that it looks for stand in its own command line.
    """

    kind: ClassVar[str] = "process"
    measures: ClassVar[str] = "share of given processes that run"

    class Config(FallingConfig):
        """`processes`: names, or objects with a `pattern` (a regular expression) and, if wanted, a `name`."""

        processes: list[Wanted] = Field(default=[], max_length=MAX_PROCESSES)
        warning_threshold: FiniteFloat = 100.0
        critical_threshold: FiniteFloat = 50.0

        @field_validator("processes")
        @classmethod
        def _are_told_apart(cls, processes: list[Wanted]) -> list[Wanted]:
            if len({wanted.label for wanted in processes}) < len(processes):
                raise ValueError("each must have a name of its own")
            return processes

    config: Config

    def measure(self) -> CheckResult:
        """Look through all processes once, then watch those found for a moment."""
        if not self.config.processes:
            raise NotApplicableError("no process is named (config key processes)")
        seen = other_processes()
        found = {wanted.label: matching(wanted, seen) for wanted in self.config.processes}
        usage = usage_of({matches[0].pid for matches in found.values() if matches})
        running_count = sum(_runs(matches) for matches in found.values())
        running_percent = round(100 * running_count / len(found), 1)
        metrics = {
            "processes": {label: _metrics(matches, usage) for label, matches in found.items()},
            "running_count": running_count,
            "total_count": len(found),
            "running_percent": running_percent,
        }
        sentence = f"{running_percent:g} % of {len(found)} processes run{_missing(found, seen)}"
        share = self.config.read(running_percent, sentence)
        readings = [_reading(label, matches, share) for label, matches in found.items()]
        return conclude(self.kind, readings, metrics=metrics).model_copy(update={"message": share.message})


def _reading(label: str, matches: Sequence[Seen], share: Reading) -> Reading:
    """Each process by itself, so that people are told of each. A missing one is as bad as the share that runs."""
    if _runs(matches):
        return state(CheckStatus.OK, f"{label} runs", target=label)
    why = f"is a zombie, pid {matches[0].pid}" if matches else "does not run"
    return share.model_copy(update={"target": label, "value": None, "message": f"{label} {why}; {share.message}"})


def _runs(matches: Sequence[Seen]) -> bool:
    return bool(matches) and matches[0].is_running


def _metrics(matches: Sequence[Seen], usage: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    first = matches[0] if matches else None
    used = usage.get(first.pid, {}) if first else {}
    return {
        "running": _runs(matches),
        "pid": first.pid if first else None,
        "status": first.status if first else None,
        "count": sum(each.is_running for each in matches),
        "cpu_percent": used.get("cpu_percent"),
        "memory_percent": used.get("memory_percent"),
    }


def _missing(found: Mapping[str, Sequence[Seen]], seen: Sequence[Seen]) -> str:
    missing = [
        f"{label} (zombie, pid {matches[0].pid})" if matches else label
        for label, matches in found.items()
        if not _runs(matches)
    ]
    if not missing:
        return ""
    more = f" and {len(missing) - SENTENCES_SHOWN} more" if len(missing) > SENTENCES_SHOWN else ""
    closed_count = sum(process.is_closed for process in seen)
    closed = f"; {closed_count} command lines cannot be read by this user" if closed_count else ""
    return f", missing: {', '.join(missing[:SENTENCES_SHOWN])}{more}{closed}"
