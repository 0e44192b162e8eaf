"""What every checker offers, and how a measured value becomes a verdict."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus

GIB = 1024**3  # the seeds' *_gb metrics count in these, as `free -g` and `df -h` do
SENTENCES_SHOWN = 5
# What a busy host may need beside a measurement that takes a while by itself, so that it is not called hung.
RESERVE_SECONDS = 0.5
BAD = (CheckStatus.WARNING, CheckStatus.CRITICAL)


class NotApplicableError(Exception):
    """This host has nothing that the checker could measure; the message says what is missing."""


class CheckerConfig(BaseModel, extra="forbid", frozen=True, populate_by_name=True, defer_build=True):
    """What every checker can be told.

    `timeout` is in seconds. `for` is how many bad results in a row it takes before people are told.
    """

    timeout: FiniteFloat = Field(default=10.0, gt=0, le=3600)
    confirmations: int = Field(default=1, ge=1, le=1000, alias="for")

    @property
    def thresholds(self) -> tuple[float | None, float | None]:
        """Warning and critical, where there are any."""
        return None, None


class ThresholdConfig(CheckerConfig):
    """Config of a checker that compares a number with thresholds.

    `clear` is the recovery margin, in the thresholds' unit: how far beyond a threshold a value must come back
    before what was bad counts as over.
    """

    unit: ClassVar[str] = "%"

    warning_threshold: FiniteFloat
    critical_threshold: FiniteFloat
    clear: FiniteFloat = Field(default=0.0, ge=0)

    @property
    def thresholds(self) -> tuple[float | None, float | None]:
        """Warning and critical."""
        return self.warning_threshold, self.critical_threshold

    def judge(self, value: float, *, margin: float = 0.0) -> CheckStatus:
        """The verdict on a value, with thresholds that much stricter."""
        if self._has_crossed(value, self.critical_threshold, margin):
            return CheckStatus.CRITICAL
        return CheckStatus.WARNING if self._has_crossed(value, self.warning_threshold, margin) else CheckStatus.OK

    def read(self, value: float, sentence: str, *, target: str = "") -> Reading:
        """The reading of a value; the sentence is completed by the threshold that it crossed.

        Raises ValueError for a value that is no number, which would cross none.
        """
        if not math.isfinite(value):
            raise ValueError(f"{target or sentence}: {value} is not a value that can be judged")
        status = self.judge(value)
        return Reading(
            target=target,
            value=value,
            status=status,
            held=self.judge(value, margin=self.clear),
            message=f"{sentence}{self._crossed(status)}",
        )

    def _crossed(self, status: CheckStatus) -> str:
        if status not in BAD:
            return ""
        limit = self.critical_threshold if status is CheckStatus.CRITICAL else self.warning_threshold
        return f" ({status} {self._side} {limit:g} {self.unit}".rstrip() + ")"

    _side: ClassVar[str] = ""

    @abstractmethod
    def _has_crossed(self, value: float, threshold: float, margin: float) -> bool: ...


class RisingConfig(ThresholdConfig):
    """Config of a checker whose value is worse the higher it is. A value at a threshold has crossed it."""

    _side: ClassVar[str] = "at"

    @model_validator(mode="after")
    def _warning_comes_first(self) -> Self:
        if self.warning_threshold > self.critical_threshold:
            raise ValueError(
                f"warning_threshold {self.warning_threshold:g} must not be above "
                f"critical_threshold {self.critical_threshold:g}: a higher value is worse"
            )
        if 0 < self.warning_threshold <= self.clear:
            raise ValueError(
                f"clear {self.clear:g} must be less than warning_threshold {self.warning_threshold:g}, "
                "else nothing would ever be over"
            )
        return self

    def _has_crossed(self, value: float, threshold: float, margin: float) -> bool:
        return value >= threshold - margin


class IntervalConfig(RisingConfig):
    """Config of a checker that compares two readings, `interval` seconds apart."""

    interval: FiniteFloat = Field(default=1.0, ge=0.1)

    @model_validator(mode="after")
    def _interval_fits_the_timeout(self) -> Self:
        if self.interval + RESERVE_SECONDS > self.timeout:
            raise ValueError(
                f"interval {self.interval:g} s must be at least {RESERVE_SECONDS:g} s "
                f"less than timeout {self.timeout:g} s"
            )
        return self


class FallingConfig(ThresholdConfig):
    """Config of a checker whose value is worse the lower it is. A threshold is the least that is still good."""

    _side: ClassVar[str] = "below"
    # The most that a value can be; None where there is no such limit.
    most: ClassVar[float | None] = 100.0

    @model_validator(mode="after")
    def _warning_comes_first(self) -> Self:
        if self.warning_threshold < self.critical_threshold:
            raise ValueError(
                f"warning_threshold {self.warning_threshold:g} must not be below "
                f"critical_threshold {self.critical_threshold:g}: a lower value is worse"
            )
        if self.clear and self.most is not None and self.warning_threshold + self.clear > self.most:
            raise ValueError(
                f"warning_threshold {self.warning_threshold:g} and clear {self.clear:g} must not be above "
                f"{self.most:g} together, else nothing would ever be over"
            )
        return self

    def _has_crossed(self, value: float, threshold: float, margin: float) -> bool:
        return value < threshold + margin


class Checker(Protocol):
    """Measures one thing about this host, or several of a kind. `measures` says which, in a few words.

    Named as a base by every checker: only so does mypy take a nested class for `Config`.
    """

    kind: ClassVar[str]
    measures: ClassVar[str]
    Config: ClassVar[type[CheckerConfig]]
    config: CheckerConfig

    def __init__(self, config: Any) -> None:
        """A checker that will measure by this config."""

    def measure(self) -> CheckResult:
        """Measure now. Duration and thresholds are the runner's to fill in.

        NotApplicableError becomes SKIPPED, and whatever else is raised UNKNOWN. It runs in a thread beside
        other checkers and may be left behind at its timeout, so it changes nothing.
        """


def state(status: CheckStatus, sentence: str, *, target: str = "") -> Reading:
    """A reading without a number."""
    return Reading(target=target, status=status, held=status, message=sentence)


def conclude(kind: str, readings: Sequence[Reading], *, metrics: dict[str, Any], good: str = "") -> CheckResult:
    """A checker's result: the worst reading decides, the bad ones speak, the worst first.

    `good` is the message when nothing is bad; without it all readings speak then as well. Of several readings
    of one target the worst counts.
    """
    readings = _worst_by_target(readings)
    status = max((reading.status for reading in readings), key=lambda each: each.rank, default=CheckStatus.OK)
    unknown = [reading.message for reading in readings if reading.status is CheckStatus.UNKNOWN]
    worst_first = sorted(readings, key=lambda reading: -reading.status.rank)
    told = [reading for reading in worst_first if reading.status.rank > CheckStatus.OK.rank]
    sentences = [reading.message for reading in told or ([] if good else worst_first)]
    return CheckResult(
        checker_name=kind,
        status=status,
        message=_joined(sentences) or good,
        metrics=metrics,
        readings=readings,
        error=_joined(unknown) or None,
    )


def gib(size_bytes: float) -> float:
    """Bytes as GiB, to two places."""
    return round(size_bytes / GIB, 2)


def _worst_by_target(readings: Sequence[Reading]) -> list[Reading]:
    worst: dict[str, Reading] = {}
    for reading in readings:
        known = worst.setdefault(reading.target, reading)
        worst[reading.target] = max(known, reading, key=lambda each: (each.status.rank, each.held.rank))
    return list(worst.values())


def _joined(sentences: Sequence[str]) -> str:
    more = len(sentences) - SENTENCES_SHOWN
    return "; ".join([*sentences[:SENTENCES_SHOWN], *([f"and {more} more"] if more > 0 else [])])
