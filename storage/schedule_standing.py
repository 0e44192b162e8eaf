"""Which pipelines are to run by themselves, and whether they do."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import PipelineDefinition, PipelineRun
from storage.tables.base import utc_now

# A schedule by cron may be weeks apart; only intervals are judged, after so many of them without a run.
MISSED_INTERVALS = 3
LATE_AFTER_SECONDS = 60.0


@dataclass(frozen=True)
class Scheduled:
    """A pipeline with a schedule; `every_seconds` is None by cron, and where only Prefect knows of it."""

    name: str
    every_seconds: float | None
    cron: str
    last_run_at: datetime | None

    @property
    def is_late(self) -> bool:
        """Whether it should have run since."""
        if self.every_seconds is None or self.last_run_at is None:
            return False
        return is_late(self.every_seconds, (utc_now() - self.last_run_at).total_seconds())


def is_late(every_seconds: float, ago_seconds: float) -> bool:
    """Whether what is due so often last ran too long ago."""
    return ago_seconds > max(every_seconds * MISSED_INTERVALS, LATE_AFTER_SECONDS)


def scheduled(session: Session, *, by_setting: Mapping[str, float | None]) -> list[Scheduled]:
    """The pipelines that their definition or a setting wants to run by themselves, by name.

    `by_setting`: the interval in seconds, or None for one that is shown only where it has run, because a schedule
    that nothing here wishes for may be on in Prefect all the same.
    """
    last = (
        select(PipelineRun.created_at)
        .where(PipelineRun.definition_name == PipelineDefinition.name)
        .order_by(PipelineRun.created_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(PipelineDefinition.name, PipelineDefinition.schedule, last)
    query = query.where(PipelineDefinition.is_active).order_by(PipelineDefinition.name)
    found = []
    for name, schedule, last_run_at in session.execute(query):
        wish: Mapping[str, Any] = schedule or {"every_seconds": by_setting.get(name)}
        if schedule or (name in by_setting and (last_run_at or by_setting[name])):
            found.append(Scheduled(name, wish.get("every_seconds"), wish.get("cron", ""), last_run_at))
    return found
