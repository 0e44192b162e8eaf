"""The work pool and the deployments on Prefect's server: one deployment per pipeline, of the same name."""

import asyncio
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from deployments.worker_type import WORK_POOL, WarmWorker
from flows.catalog import FLOWS, entrypoint_of, flow_of
from flows.pipeline import PipelineFlow
from flows.report import TAG
from storage import database, definitions, settings

MONITOR = "local-monitor"


async def register(client: PrefectClient) -> dict[str, UUID]:
    """Make what is missing on the server and bring the rest up to date. Returns deployment ids by name."""
    await _ensure_work_pool(client)
    flows = await asyncio.to_thread(_flows)
    return {name: await _ensure_deployment(client, name, flow) for name, flow in flows.items()}


def _flows() -> dict[str, PipelineFlow]:
    """The presets, and the definitions that were saved under other names."""
    with database.get().read() as session:
        return FLOWS | {name: flow_of(name) for name in definitions.active_names(session)}


async def _ensure_work_pool(client: PrefectClient) -> None:
    try:
        await client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        template = WarmWorker.get_default_base_job_template()
        try:
            await client.create_work_pool(
                WorkPoolCreate(name=WORK_POOL, type=WarmWorker.type, base_job_template=template)
            )
        except ObjectAlreadyExists:
            return  # another worker was faster


async def _ensure_deployment(client: PrefectClient, name: str, flow: PipelineFlow) -> UUID:
    deployment_id = await client.create_deployment(
        flow_id=await client.create_flow(flow),
        name=name,
        entrypoint=entrypoint_of(name),
        work_pool_name=WORK_POOL,
        description=flow.description,
        tags=[TAG],
        parameter_openapi_schema=flow.parameters.model_dump_for_openapi(),
    )
    if name == MONITOR:
        await _ensure_schedule(client, deployment_id)
    return deployment_id


async def _ensure_schedule(client: PrefectClient, deployment_id: UUID) -> None:
    """An interval schedule, on or off as the setting says.

    A schedule that somebody changed in Prefect stays as it is: only a missing one is made, and an inactive
    one is switched on when the setting asks for it.
    """
    current = settings.load()
    schedules = await client.read_deployment_schedules(deployment_id)
    if not schedules:
        interval = timedelta(seconds=current.monitor_interval_seconds)
        await client.create_deployment_schedules(
            deployment_id,
            [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=interval), active=current.monitor)],
        )
    elif current.monitor and not any(schedule.active for schedule in schedules):
        await client.update_deployment_schedule(deployment_id, schedules[0].id, active=True)
