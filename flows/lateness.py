"""Scheduled runs that come too late to mean anything: after an outage all of them are due at once."""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.server.schemas.schedules import SCHEDULE_TYPES
from pydantic import TypeAdapter

from storage import settings

# One that is less behind than this is not late by any schedule; ours have no shorter interval.
PUNCTUAL = timedelta(seconds=10)

_SCHEDULES: TypeAdapter[SCHEDULE_TYPES] = TypeAdapter(SCHEDULE_TYPES)


async def is_late(client: PrefectClient, flow_run: FlowRun, *, now: datetime | None = None) -> bool:
    """Whether the next run of the same schedule is due already, be it by interval or by cron."""
    now = now or datetime.now(UTC)
    due_at = flow_run.expected_start_time
    if not flow_run.auto_scheduled or due_at is None or now - due_at < PUNCTUAL:
        return False
    schedule = await _schedule_of(client, flow_run)
    if schedule is None:  # taken away since
        return now - due_at > timedelta(seconds=settings.load().monitor_interval_seconds)
    next_at = await next_after(schedule, due_at)
    return next_at is not None and next_at <= now


async def next_after(schedule: DeploymentSchedule, due_at: datetime) -> datetime | None:
    """When a schedule is due next after it was at `due_at`; None when it never is."""
    # The server's class reckons; the client's of the same fields cannot.
    reckoned = _SCHEDULES.validate_python(schedule.schedule.model_dump())
    for moment in await reckoned.get_dates(2, start=due_at):
        if moment > due_at:
            return moment
    return None


async def _schedule_of(client: PrefectClient, flow_run: FlowRun) -> DeploymentSchedule | None:
    if flow_run.deployment_id is None or flow_run.created_by is None:
        return None
    try:
        schedules = await client.read_deployment_schedules(flow_run.deployment_id)
    except ObjectNotFound:
        return None
    return next((each for each in schedules if each.id == flow_run.created_by.id), None)
