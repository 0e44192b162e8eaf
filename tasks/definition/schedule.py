"""When a pipeline is to run by itself: every so often, or by cron. Prefect keeps the time."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

CRON_FIELDS = 5


class ScheduleError(Exception):
    """A schedule cannot be kept; `faults` says why, each line with the key."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Schedule(BaseModel, extra="forbid", frozen=True):
    """`every_seconds`, or `cron` (five fields) in `timezone`; exactly one of the two."""

    every_seconds: float | None = Field(default=None, ge=10, le=31_536_000)
    cron: str = Field(default="", max_length=200)
    timezone: str = "UTC"

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str) -> str:
        if not cron:
            return cron
        if len(cron.split()) != CRON_FIELDS:
            raise ValueError(
                f"{cron!r} has {len(cron.split())} fields, not five: minute, hour, day, month, day of the week"
            )
        *others, weekday = cron.split()
        try:
            CronSim(cron, datetime.now(UTC))
            # A day that the month never has passes with one of the week beside it, and fails Prefect's scheduler.
            CronSim(" ".join([*others, "*"]), datetime.now(UTC))
        except CronSimError as error:
            raise ValueError(f"{cron!r} is no cron expression: {str(error).lower()}") from None
        if fault := _fault_for_prefect(others[2], weekday):
            raise ValueError(f"{cron!r} is no cron expression that Prefect keeps: {fault}")
        return cron

    @field_validator("timezone")
    @classmethod
    def _is_timezone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
            # Files that lie beside the zones; Prefect knows none of them.
            is_known = not timezone.startswith(("posix", "right/"))
        except (LookupError, ValueError, OSError):  # a name that is unknown, that is a path, that is a folder
            is_known = False
        if not is_known:
            raise ValueError(f"{timezone!r} is no time zone; give a name such as Europe/Berlin")
        return timezone

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.every_seconds is None) is not bool(self.cron):
            raise ValueError("give exactly one of every_seconds and cron")
        return self

    @property
    def interval(self) -> timedelta | None:
        """The time from one run to the next; None by cron."""
        return None if self.every_seconds is None else timedelta(seconds=self.every_seconds)


def read_schedule(config: Mapping[str, Any]) -> Schedule:
    """A checked schedule. Raises ScheduleError with all faults."""
    try:
        return Schedule.model_validate(dict(config))
    except ValidationError as error:
        raise ScheduleError([_line(dict(fault)) for fault in error.errors()]) from None


def _fault_for_prefect(day: str, weekday: str) -> str:
    """What Prefect's reading of cron does not know, or mixes otherwise."""
    counted = ["#" in part for part in weekday.split(",")]
    if "lw" in day.lower():
        return "there is no LW"
    if re.search(r"\dL", weekday, re.IGNORECASE):
        return "L is for the day of the month only"
    return "days with and without # do not stand together" if any(counted) and not all(counted) else ""


def _line(fault: dict[str, Any]) -> str:
    key = ".".join(map(str, fault["loc"])) or "schedule"
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}"
