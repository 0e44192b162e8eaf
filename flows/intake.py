"""Runs that begin in Prefect rather than in the inbox: started by hand, by a schedule, or by the API."""

from typing import Any

from storage import database, runs, settings
from storage.orders import order_run
from storage.vocabulary import RunStatus
from tasks import signals
from tasks.definition.library import find_definition


def run_for_flow(
    *, pipeline: str, flow_run_id: str, payload: Any, source: str, environment: str, trace_id: str
) -> str:
    """The run of a flow run, made on its first execution; a payload becomes a delivery of it.

    The run's id is the flow run's, so that Prefect's own Retry finds the same run.
    """
    current = settings.load()
    with database.get().write() as session:
        if runs.find_run(session, flow_run_id) is None:
            order_run(
                session,
                definition_name=pipeline,
                definition_version=find_definition(session, pipeline).version,
                payload=payload,
                source=source,
                environment=environment or current.environment,
                trace_id=trace_id,
                run_id=flow_run_id,
                flow_run_id=flow_run_id,
                max_retries=current.max_retries_per_stage,
            )
    return flow_run_id


def skip_late_run(run_id: str) -> None:
    """End a scheduled run that came too late to mean anything."""
    with database.get().write() as session:
        run = runs.find_run(session, run_id)
        if run:
            runs.complete(run, RunStatus.SKIPPED)
            signals.run_ended(session, run)
