"""The Prefect task of the transform stage."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.attempt import NodeOrder, attempt_node
from tasks.transform.stage import TRANSFORM


@task(name="transform", cache_policy=NO_CACHE, persist_result=False)
async def transform(order: NodeOrder) -> dict[str, Any]:
    """Take something out of an earlier output. Returns a TransformResult as JSON."""
    return await attempt_node(TRANSFORM, order, attempt=task_run.run_count)
