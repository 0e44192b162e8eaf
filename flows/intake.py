"""Runs that begin in Prefect rather than in the inbox: started by hand, by a schedule, or by the API."""

import hashlib
import json
from typing import Any
from uuid import uuid4

from flows.library import find_definition
from storage import database, inbox, runs, settings
from storage.inbox import NewDelivery
from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus, RunStatus


def run_for_flow(
    *, pipeline: str, flow_run_id: str, payload: Any, source: str, environment: str, trace_id: str
) -> str:
    """The run of a flow run, made on its first execution; a payload becomes a delivery of it.

    The run's id is the flow run's, so that Prefect's own Retry finds the same run.
    """
    current = settings.load()
    with database.get().write() as session:
        if runs.find_run(session, flow_run_id):
            return flow_run_id
        deliveries: list[Delivery] = []
        if payload is not None:
            body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
            delivery = NewDelivery(
                delivery_id=str(uuid4()),
                trace_id=trace_id,
                source=source,
                pipeline=pipeline,
                environment=environment or current.environment,
                body=body,
                sha256=hashlib.sha256(body).hexdigest(),
                status=DeliveryStatus.CLAIMED,
            )
            inbox.accept(session, [delivery])
            deliveries = [stored for stored in [inbox.find_delivery(session, delivery.delivery_id)] if stored]
        runs.create_run(
            session,
            run_id=flow_run_id,
            flow_run_id=flow_run_id,
            definition_name=pipeline,
            definition_version=find_definition(session, pipeline).version,
            deliveries=deliveries,
            trace_id=trace_id,
            source=source,
            environment=environment or current.environment,
            max_retries=current.max_retries_per_stage,
        )
    return flow_run_id


def skip_late_run(run_id: str) -> None:
    """End a scheduled run that came too late to mean anything."""
    with database.get().write() as session:
        run = runs.find_run(session, run_id)
        if run:
            runs.complete(run, RunStatus.SKIPPED)
