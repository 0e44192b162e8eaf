"""The work pool and the deployments on Prefect's server: one deployment per pipeline, of the same name."""

import asyncio
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.base import BaseJobConfiguration, BaseVariables

from deployments.work_pool import WORK_POOL, WORKER_TYPE
from flows.catalog import FLOWS, entrypoint_of, flow_of
from flows.pipeline import PipelineFlow
from flows.report import TAG
from storage import database, definitions, settings

MONITOR = "local-monitor"

_registering = threading.Lock()


async def register(client: PrefectClient) -> dict[str, UUID]:
    """Make what is missing on the server and bring the rest up to date. Returns deployment ids by name."""
    # Two at once, in the worker's two event loops, would both find no schedule and each make one.
    await asyncio.to_thread(_registering.acquire)
    try:
        await _ensure_work_pool(client)
        flows = await asyncio.to_thread(_flows)
        return {name: await _ensure_deployment(client, name, flow) for name, flow in flows.items()}
    finally:
        _registering.release()


def _flows() -> dict[str, PipelineFlow]:
    """The presets, and the definitions that were saved under other names."""
    with database.get().read() as session:
        return FLOWS | {name: flow_of(name) for name in definitions.active_names(session)}


async def _ensure_work_pool(client: PrefectClient) -> None:
    try:
        await client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        template = {
            "job_configuration": BaseJobConfiguration.json_template(),
            "variables": BaseVariables.model_json_schema(),
        }
        try:
            await client.create_work_pool(
                WorkPoolCreate(name=WORK_POOL, type=WORKER_TYPE, base_job_template=template)
            )
        except ObjectAlreadyExists:
            return  # another worker was faster


async def _ensure_deployment(client: PrefectClient, name: str, flow: PipelineFlow) -> UUID:
    wanted: dict[str, Any] = {
        "entrypoint": entrypoint_of(name),
        "work_pool_name": WORK_POOL,
        "description": flow.description,
        "tags": [TAG],
        "parameter_openapi_schema": flow.parameters.model_dump_for_openapi(),
    }
    try:
        deployment_id = (await client.read_deployment_by_name(f"{flow.name}/{name}")).id
        # To create it once more would take its schedules away, with what people have changed in them.
        await client.update_deployment(deployment_id, DeploymentUpdate(**wanted))
    except ObjectNotFound:
        flow_id = await client.create_flow(flow)
        deployment_id = await client.create_deployment(flow_id=flow_id, name=name, **wanted)
    if name == MONITOR:
        await _ensure_schedule(client, deployment_id)
    return deployment_id


async def _ensure_schedule(client: PrefectClient, deployment_id: UUID) -> None:
    """An interval schedule, on or off as the setting says.

    A schedule that somebody changed in Prefect stays as it is, except where a setting says otherwise: an
    interval that is given, and the wish that it be on.
    """
    current = settings.load()
    wanted = IntervalSchedule(interval=timedelta(seconds=current.monitor_interval_seconds))
    schedules = await client.read_deployment_schedules(deployment_id)
    if not schedules:
        created = DeploymentScheduleCreate(schedule=wanted, active=current.monitor)
        await client.create_deployment_schedules(deployment_id, [created])
        return
    schedule = schedules[0]
    if current.monitor and not any(each.active for each in schedules):
        await client.update_deployment_schedule(deployment_id, schedule.id, active=True)
    has_interval = getattr(schedule.schedule, "interval", None) == wanted.interval
    if "monitor_interval_seconds" in current.model_fields_set and not has_interval:
        await client.update_deployment_schedule(deployment_id, schedule.id, schedule=wanted)
