"""The Prefect task of the ingest stage."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.attempt import NodeOrder, attempt_node
from tasks.ingest.stage import INGEST


@task(name="ingest", cache_policy=NO_CACHE, persist_result=False)
async def ingest(order: NodeOrder) -> dict[str, Any]:
    """Turn the run's deliveries into alerts and incidents. Returns an IngestResult as JSON."""
    return await attempt_node(INGEST, order, attempt=task_run.run_count)
