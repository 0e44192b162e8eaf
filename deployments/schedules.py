"""The schedule of a deployment, as its definition or the settings wish it and as people left it in Prefect.

Our own schedules are known by their slug. That of a definition holds a digest of what was wished: while it is
the same, whatever people have changed since in Prefect's UI stays.
"""

import hashlib
import logging
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from storage import settings
from tasks.definition.schedule import Schedule, ScheduleError, read_schedule

log = logging.getLogger("watchkeeper.worker")

MONITOR = "local-monitor"
# The schedule by WATCHKEEPER_MONITOR and WATCHKEEPER_MONITOR_INTERVAL_SECONDS.
BY_SETTING = "watchkeeper-setting"
BY_DEFINITION = "watchkeeper-definition-"


async def keep_schedule(
    client: PrefectClient, deployment: DeploymentResponse, config: dict[str, Any] | None
) -> None:
    """Give a deployment the schedule of its definition; `config` is None where that wishes nothing."""
    try:
        schedule = None if config is None else read_schedule(config)
    except ScheduleError as error:
        log.error("schedule left as it is", extra={"pipeline": deployment.name, "error": str(error)})  # noqa: TRY400
        return
    if schedule is not None:
        await _keep_own(client, deployment, schedule)
        return
    for each in deployment.schedules:
        if _is_by_definition(each):
            await client.delete_deployment_schedule(deployment.id, each.id)
    if deployment.name == MONITOR:
        others = [each for each in deployment.schedules if not _is_by_definition(each)]
        await _keep_by_setting(client, deployment, others)


async def _keep_own(client: PrefectClient, deployment: DeploymentResponse, schedule: Schedule) -> None:
    slug = BY_DEFINITION + hashlib.sha256(schedule.model_dump_json().encode()).hexdigest()[:12]
    wanted = _prefect_schedule(schedule)
    own = next((each for each in deployment.schedules if _is_by_definition(each)), None)
    if own is None:
        created = DeploymentScheduleCreate(schedule=wanted, active=True, slug=slug)
        await client.create_deployment_schedules(deployment.id, [created])
    elif own.slug != slug:
        await client.update_deployment_schedule(deployment.id, own.id, active=True, schedule=wanted, slug=slug)
    for each in deployment.schedules:
        if each.slug == BY_SETTING:  # or the pipeline would run by both
            await client.delete_deployment_schedule(deployment.id, each.id)


async def _keep_by_setting(
    client: PrefectClient, deployment: DeploymentResponse, schedules: list[DeploymentSchedule]
) -> None:
    """An interval schedule, on or off as the setting says.

    A schedule that somebody changed in Prefect stays as it is, except where a setting says otherwise: an
    interval that is given, and the wish that it be on.
    """
    current = settings.load()
    wanted = IntervalSchedule(interval=timedelta(seconds=current.monitor_interval_seconds))
    if not schedules:
        created = DeploymentScheduleCreate(schedule=wanted, active=current.monitor, slug=BY_SETTING)
        await client.create_deployment_schedules(deployment.id, [created])
        return
    schedule = schedules[0]
    if current.monitor and not any(each.active for each in schedules):
        await client.update_deployment_schedule(deployment.id, schedule.id, active=True)
    has_interval = getattr(schedule.schedule, "interval", None) == wanted.interval
    if "monitor_interval_seconds" in current.model_fields_set and not has_interval:
        await client.update_deployment_schedule(deployment.id, schedule.id, schedule=wanted)


def _is_by_definition(schedule: DeploymentSchedule) -> bool:
    return (schedule.slug or "").startswith(BY_DEFINITION)


def _prefect_schedule(schedule: Schedule) -> IntervalSchedule | CronSchedule:
    if schedule.interval is None:
        return CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    return IntervalSchedule(interval=schedule.interval, timezone=schedule.timezone)
