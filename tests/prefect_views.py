"""What a test asks of a live stack and of its Prefect server: deployments, flow runs, and runs that failed."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from moody import MoodySink
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from refusing import EFFECTS, refusing
from sqlalchemy import select
from stack import LiveStack, wait_until

from storage import definitions, orders
from storage.tables import PipelineRun
from tasks.definition.presets import preset


def alert(name: str) -> dict[str, Any]:
    return {"name": name, "severity": "critical", "fingerprint": name}


def payload_of(name: str) -> str:
    return f"payload={json.dumps(alert(name))}"


def save(stack: LiveStack, name: str, config: dict[str, Any]) -> None:
    with stack.database.write() as session:
        definitions.save(session, name=name, config=config)


def set_schedule(stack: LiveStack, name: str, schedule: dict[str, Any] | None) -> None:
    with stack.database.write() as session:
        definitions.set_schedule(session, name, schedule)


def order(session: Any, config: dict[str, Any], name: str, *, definition_name: str, is_adhoc: bool) -> str:
    """A run that somebody asks for, of a definition saved as that, or of one that is saved nowhere."""
    version = 0
    if not is_adhoc:
        version = definitions.save(session, name=definition_name, config=config).version
    return orders.order_run(
        session,
        definition_name=definition_name,
        definition_version=version,
        definition_config=config if is_adhoc else None,
        payload=alert(name),
        source="generic",
        environment="test",
        max_retries=1,
        is_queued=True,
    ).run_id


def find_deployment(stack: LiveStack, name: str) -> DeploymentResponse | None:
    with stack.prefect() as client:
        try:
            return client.read_deployment_by_name(f"{name}/{name}")
        except ObjectNotFound:
            return None


def schedules_of(stack: LiveStack, name: str) -> list[tuple[Any, bool]]:
    """Of each schedule its interval, or its cron expression and time zone, and whether it is active."""
    deployment = find_deployment(stack, name)
    found = []
    for each in deployment.schedules if deployment else []:
        cron = getattr(each.schedule, "cron", None)
        found.append((f"{cron} {each.schedule.timezone}" if cron else each.schedule.interval, each.active))
    return found


def newest_flow_run(stack: LiveStack, deployment: DeploymentResponse) -> FlowRun:
    with stack.prefect() as client:
        [*_, newest] = sorted(
            (each for each in client.read_flow_runs() if each.deployment_id == deployment.id),
            key=lambda each: each.created,
        )
        return newest


def prefect(stack: LiveStack, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prefect", *words]
    return subprocess.run(command, env=stack.client_env, capture_output=True, text=True, check=False)


def failing_run(stack: LiveStack, sink: MoodySink, node_id: str, begin: Callable[[], str]) -> str:
    """The id of a run that was begun, and that failed at this node."""
    if node_id == "notify":
        sink.refused.add("")
        run_id = begin()
        sink.refused.clear()
        return run_id
    kind = next(node.type for node in preset("full").nodes if node.id == node_id)
    with refusing(stack.database, EFFECTS[kind]):
        return begin()


def show(stack: LiveStack, run_id: str) -> dict[str, Any]:
    fields: dict[str, Any] = stack.web.get(f"/orchestration/pipeline/{run_id}/").json()
    return fields


def over(stack: LiveStack, run_id: str) -> dict[str, Any] | None:
    run = show(stack, run_id)
    return run if run["completed_at"] else None


def at_node(stack: LiveStack, run_id: str, node_id: str) -> str | None:
    run = show(stack, run_id)
    is_there = any((each["node_id"], each["status"]) == (node_id, "RUNNING") for each in run["stages"])
    return run["flow_run_id"] if is_there else None


def find_failed(stack: LiveStack, pipeline: str) -> str | None:
    with stack.database.read() as session:
        wanted = select(PipelineRun.run_id).where(
            PipelineRun.definition_name == pipeline, PipelineRun.status == "FAILED"
        )
        return session.scalar(wanted.limit(1))


def succeeded(run: dict[str, Any]) -> dict[str, int]:
    return dict(Counter(stage["node_id"] for stage in run["stages"] if stage["status"] == "SUCCEEDED"))


def wait_for_flow_run(stack: LiveStack, flow_run_id: UUID | str, states: set[str]) -> FlowRun:
    def find() -> FlowRun | None:
        flow_run = client.read_flow_run(UUID(str(flow_run_id)))
        return flow_run if flow_run.state_type and flow_run.state_type.value in states else None

    with stack.prefect() as client:
        return wait_until(find, 40, what=f"flow run {flow_run_id} to be {states}")
