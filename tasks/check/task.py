"""The Prefect task of the check stage."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.attempt import NodeOrder, attempt_node
from tasks.check.stage import CHECK


@task(name="check", cache_policy=NO_CACHE, persist_result=False)
async def check(order: NodeOrder) -> dict[str, Any]:
    """Measure the host. Returns a ChecksResult as JSON."""
    return await attempt_node(CHECK, order, attempt=task_run.run_count)
