"""Runs that people ask for, and that no webhook began."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from storage import inbox, runs
from storage.inbox import NewDelivery
from storage.storable import storable
from storage.tables import Delivery, PipelineRun
from storage.vocabulary import DeliveryStatus


def order_run(
    session: Session,
    *,
    definition_name: str,
    definition_version: int,
    payload: Any = None,
    source: str = "",
    environment: str,
    trace_id: str = "",
    run_id: str | None = None,
    flow_run_id: str | None = None,
    max_retries: int = 3,
    node_configs: Mapping[str, Mapping[str, Any]] | None = None,
    definition_config: Mapping[str, Any] | None = None,
    is_queued: bool = False,
) -> PipelineRun:
    """A run; a payload becomes a delivery of it. A queued one is taken up by a worker, at once where one lives.

    `definition_config` is the definition of a run whose definition is saved under no name.
    """
    deliveries: list[Delivery] = []
    if payload is not None:
        body = json.dumps(storable(payload), ensure_ascii=False).encode("utf-8", "replace")
        delivery = NewDelivery(
            delivery_id=str(uuid4()),
            trace_id=trace_id or str(uuid4()),
            source=source,
            pipeline=definition_name,
            environment=environment,
            body=body,
            sha256=hashlib.sha256(body).hexdigest(),
            status=DeliveryStatus.CLAIMED,
        )
        inbox.accept(session, [delivery])
        deliveries = [stored for stored in [inbox.find_delivery(session, delivery.delivery_id)] if stored]
    run = runs.create_run(
        session,
        run_id=run_id,
        flow_run_id=flow_run_id,
        definition_name=definition_name,
        definition_version=definition_version,
        deliveries=deliveries,
        trace_id=trace_id,
        source=source,
        environment=environment,
        max_retries=max_retries,
        node_configs=node_configs,
        definition_config=definition_config,
    )
    if is_queued:
        runs.queue(session, run)
    return run
