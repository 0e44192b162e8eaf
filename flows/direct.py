"""A run without Prefect, while its server is away: the same nodes, called as plain functions.

A node that may be tried again is not waited for: the run is put down with a due time, and whoever finds it
then, Prefect or this, goes on from where it stands.
"""

import asyncio
from typing import Any

from flows.execution import Outcome, PostponedError, execute
from storage import database, stages
from storage.vocabulary import RunVia
from tasks.attempt import NodeOrder, StageKind, attempt_node
from tasks.backoff import retry_delay_seconds
from tasks.definition.kinds import KINDS
from tasks.definition.model import Node
from tasks.errors import is_retryable


async def run_directly(run_id: str) -> Outcome:
    """Execute a run here and now. Raises as `execute` does."""
    return await execute(run_id, kinds=_kind, call_node=_call_node, via=RunVia.DIRECT)


def _kind(node: Node) -> StageKind[Any]:
    return KINDS[node.type]


async def _call_node(node: Node, order: NodeOrder) -> dict[str, Any]:
    attempt = await asyncio.to_thread(_next_attempt, order)
    try:
        return await attempt_node(_kind(node), order, attempt=attempt)
    except Exception as error:
        if is_retryable(error) and attempt < order.max_attempts:
            raise PostponedError(retry_delay_seconds(attempt, error)) from error
        raise


def _next_attempt(order: NodeOrder) -> int:
    with database.get().read() as session:
        return stages.count_attempts(session, order.run.pk, order.node_id) + 1
