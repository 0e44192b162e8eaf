"""Which pipelines take webhooks."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from storage import definitions
from tasks.definition.naming import INTERNAL

# Node types that do not look at a webhook (the seeds' names).
BLIND = frozenset(["context", "intelligence", "notify", "transform"])


def takers(session: Session) -> list[str]:
    """The active definitions that have an ingest node, by name."""
    return [
        definition.name
        for definition in definitions.list_definitions(session, is_active=True)
        if definition.name not in INTERNAL and takes_webhooks(definition.config)
    ]


def takes_webhooks(config: Mapping[str, Any]) -> bool:
    """Whether a node of a definition looks at the webhook; without one what it says would be lost, after a 202.

    A faulty definition is another matter: its deliveries are kept in quarantine, until somebody has mended it.
    """
    nodes = config.get("nodes")
    is_blind = isinstance(nodes, list) and all(isinstance(n, dict) and n.get("type") in BLIND for n in nodes)
    return not is_blind
