"""The Prefect task of the analyze stage."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.analyze.stage import ANALYZE
from tasks.attempt import NodeOrder, attempt_node


@task(name="analyze", cache_policy=NO_CACHE, persist_result=False)
async def analyze(order: NodeOrder) -> dict[str, Any]:
    """Find a probable cause and next steps. Returns an AnalyzeResult as JSON."""
    return await attempt_node(ANALYZE, order, attempt=task_run.run_count)
