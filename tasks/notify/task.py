"""The Prefect task of the notify stage."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.attempt import NodeOrder, attempt_node
from tasks.notify.stage import NOTIFY


@task(name="notify", cache_policy=NO_CACHE, persist_result=False)
async def notify(order: NodeOrder) -> dict[str, Any]:
    """Tell people, once. Returns a NotifyResult as JSON."""
    return await attempt_node(NOTIFY, order, attempt=task_run.run_count)
