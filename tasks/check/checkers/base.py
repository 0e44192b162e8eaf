"""What every checker offers, and how a measured value becomes a verdict."""

from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from storage.records import CheckResult
from storage.vocabulary import CheckStatus

GIB = 1024**3  # the seeds' *_gb metrics count in these, as `free -g` and `df -h` do


class CheckerConfig(BaseModel, extra="forbid", frozen=True):
    """What every checker can be told. `timeout` is in seconds; a value at a threshold has crossed it."""

    timeout: FiniteFloat = Field(default=10.0, gt=0)
    warning_threshold: FiniteFloat
    critical_threshold: FiniteFloat


class RisingConfig(CheckerConfig):
    """Config of a checker whose value is worse the higher it is."""

    @model_validator(mode="after")
    def _warning_comes_first(self) -> Self:
        if self.warning_threshold > self.critical_threshold:
            raise ValueError(
                f"warning_threshold {self.warning_threshold:g} must not be above "
                f"critical_threshold {self.critical_threshold:g}"
            )
        return self


class Checker(Protocol):
    """Measures one thing about this host. The runner takes timeout and thresholds from `config`.

    Named as a base by every checker: only so does mypy take a nested class for `Config`.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[CheckerConfig]]
    config: CheckerConfig

    def __init__(self, config: Any) -> None:
        """A checker that will measure by this config."""

    def measure(self) -> CheckResult:
        """Measure now. Duration and thresholds are the runner's to fill in; whatever is raised is UNKNOWN."""


def judge_rising(value: float, config: RisingConfig) -> CheckStatus:
    """The verdict on a value that is worse the higher it is."""
    if value >= config.critical_threshold:
        return CheckStatus.CRITICAL
    if value >= config.warning_threshold:
        return CheckStatus.WARNING
    return CheckStatus.OK


def crossed(status: CheckStatus, config: CheckerConfig) -> str:
    """The end of a message that says which threshold was crossed; empty when none was."""
    limits = {
        CheckStatus.WARNING: config.warning_threshold,
        CheckStatus.CRITICAL: config.critical_threshold,
    }
    return f" ({status} at {limits[status]:g} %)" if status in limits else ""


def gib(size_bytes: float) -> float:
    """Bytes as GiB, to two places."""
    return round(size_bytes / GIB, 2)
