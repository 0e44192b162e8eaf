"""The deployment of the retention flow, with its schedule: once an hour."""

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound

from deployments.work_pool import WORK_POOL
from flows.retention import EVERY, RETENTION, prune_flow

# Without the tag of the pipelines: it is none, and no run of ours says how its flow runs ended.
TAGS = ["watchkeeper-upkeep"]


async def ensure_retention(client: PrefectClient) -> None:
    """Make the deployment where it is missing. A schedule that somebody changed in Prefect stays as it is."""
    wanted: dict[str, Any] = {
        "entrypoint": "flows.retention.prune_flow",
        "work_pool_name": WORK_POOL,
        "description": prune_flow.description,
        "tags": TAGS,
    }
    try:
        there = await client.read_deployment_by_name(f"{RETENTION}/{RETENTION}")
    except ObjectNotFound:
        flow_id = await client.create_flow(prune_flow)
        hourly = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=EVERY), active=True)
        await client.create_deployment(
            flow_id=flow_id,
            name=RETENTION,
            schedules=[hourly],
            parameter_openapi_schema=prune_flow.parameters.model_dump_for_openapi(),
            **wanted,
        )
        return
    if any(getattr(there, key) != value for key, value in wanted.items()):
        await client.update_deployment(there.id, DeploymentUpdate(**wanted))
