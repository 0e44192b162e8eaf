"""The work pool and the deployments on Prefect's server: one deployment per pipeline, of the same name."""

import asyncio
import logging
import threading
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled
from prefect.workers.base import BaseJobConfiguration, BaseVariables

from deployments.retention_schedule import ensure_retention
from deployments.schedules import keep_schedule
from deployments.work_pool import WORK_POOL, WORKER_TYPE
from flows.catalog import FLOWS, entrypoint_of, flow_of
from flows.report import TAG
from flows.retention import RETENTION
from storage import database, definitions

log = logging.getLogger("watchkeeper.worker")

PAGE = 200

_registering = threading.Lock()
TURN_SECONDS = 0.05


@dataclass(frozen=True)
class Wanted:
    """A pipeline that is to have a deployment. `schedule` is its definition's (tasks/definition/schedule.py)."""

    name: str
    description: str
    schedule: dict[str, Any] | None = None


async def register(client: PrefectClient) -> dict[str, UUID]:
    """Make what is missing on the server, bring the rest up to date, and take away what nobody can run any more.

    Returns deployment ids by name. A pipeline that the server refuses is logged and left out.
    """
    # Two at once, in the worker's two event loops, would both find no schedule and each make one. Nobody waits for
    # the lock in a thread: that takes it also when the one it waits for has given up, and keeps it for ever.
    while not _registering.acquire(blocking=False):  # noqa: ASYNC110  (no event of one loop's is the other's)
        await asyncio.sleep(TURN_SECONDS)
    try:
        await _ensure_work_pool(client)
        await ensure_retention(client)
        wanted = await asyncio.to_thread(_wanted)
        ours = await _read_ours(client)
        ids: dict[str, UUID] = {}
        for each in wanted:
            try:
                ids[each.name] = await _ensure_deployment(client, each, ours.get(each.name))
            except (ValueError, httpx.HTTPStatusError, PrefectHTTPStatusError) as error:
                _raise_if_away(error)
                log.error("pipeline not registered", extra={"pipeline": each.name, "error": _line(error)})  # noqa: TRY400
        for name in ours.keys() - {each.name for each in wanted}:
            await _remove(client, ours[name])
        return ids
    finally:
        _registering.release()


def _wanted() -> list[Wanted]:
    """The presets, and what was saved under other names, without those that are switched off."""
    with database.get().read() as session:
        saved = {row.name: row for row in definitions.list_definitions(session)}
        return [
            Wanted(name, row.description, row.schedule) if row else Wanted(name, FLOWS[name].description or "")
            for name, row in {**dict.fromkeys(FLOWS), **saved}.items()
            if (row is None or row.is_active) and name != RETENTION
        ]


async def _read_ours(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """The deployments that were made here, by name; tag and pool are anybody's, so the flow counts too."""
    found: list[DeploymentResponse] = []
    while True:
        page = await client.read_deployments(
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[WORK_POOL])),
            limit=PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < PAGE:
            return {each.name: each for each in found if each.entrypoint == entrypoint_of(each.name)}


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


async def _ensure_deployment(client: PrefectClient, wanted: Wanted, there: DeploymentResponse | None) -> UUID:
    name, flow = wanted.name, flow_of(wanted.name)
    fields: dict[str, Any] = {
        "entrypoint": entrypoint_of(name),
        "work_pool_name": WORK_POOL,
        "description": wanted.description,
        "parameter_openapi_schema": flow.parameters.model_dump_for_openapi(),
    }
    if there is None:
        there = await _find(client, name)
    if there is None:
        flow_id = await client.create_flow(flow)
        deployment_id = await client.create_deployment(flow_id=flow_id, name=name, tags=[TAG], **fields)
        there = await client.read_deployment(deployment_id)
    elif TAG not in there.tags or any(getattr(there, key) != value for key, value in fields.items()):
        # To create it once more would take its schedules away, with what people have changed in them.
        tags = [*there.tags, *({TAG} - set(there.tags))]
        await client.update_deployment(there.id, DeploymentUpdate(tags=tags, **fields))
    await keep_schedule(client, there, wanted.schedule)
    return there.id


async def _find(client: PrefectClient, name: str) -> DeploymentResponse | None:
    """A deployment of that name that somebody has changed, so that it did not look like ours."""
    try:
        return await client.read_deployment_by_name(f"{name}/{name}")
    except ObjectNotFound:
        return None


async def _remove(client: PrefectClient, deployment: DeploymentResponse) -> None:
    """Take a deployment away, and tell those who wait for a flow run of it, which would vanish with it."""
    waiting = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        ),
        limit=PAGE,
    )
    message = f"pipeline {deployment.name!r} was deactivated, renamed or deleted before this run began"
    for flow_run in waiting:
        if not flow_run.auto_scheduled:
            await client.set_flow_run_state(flow_run.id, Cancelled(message=message), force=True)
    try:
        await client.delete_deployment(deployment.id)
    except ObjectNotFound:
        return  # another worker was faster
    log.info("deployment removed", extra={"pipeline": deployment.name, "flow_runs_cancelled": len(waiting)})


def _raise_if_away(error: Exception) -> None:
    """Raise what speaks of the server rather than of the one pipeline."""
    response = getattr(error, "response", None)
    if response is not None and response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
