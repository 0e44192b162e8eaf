"""`POST /orchestration/pipeline/`: runs that people and scripts ask for, and that no webhook began."""

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

from flask import Blueprint, Response, current_app, url_for
from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, field_validator
from sqlalchemy.orm import Session

from storage import definitions, runs, stages, workers
from storage.orders import order_run
from storage.storable import storable
from storage.tables import PipelineRun
from tasks.definition.checking import DefinitionError
from tasks.definition.library import NamedDefinition, UnknownPipelineError, find_definition
from tasks.definition.presets import REDELIVERY
from tasks.ingest import sources
from tasks.ingest.sources.base import UnreadablePayloadError
from webhook_app import json_body
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.json_body import BodyFaultError
from webhook_app.places import BusyError, ordering, waiting
from webhook_app.run_fields import result_fields, run_fields
from webhook_app.state import state

run_orders = Blueprint("run_orders", __name__, url_prefix="/orchestration/pipeline")
run_orders.register_error_handler(BodyFaultError, json_body.refuse)

# How long an order waits for Prefect's flow run, so that the answer can name it.
FLOW_RUN_SECONDS = 2.0
POLL_SECONDS = 0.1
SYNC_SECONDS = 60.0
SYNC_SECONDS_MAX = 300.0
QUEUED = "Pipeline queued for execution"

Given = Annotated[str, BeforeValidator(storable)]

log = logging.getLogger("watchkeeper.receiver")


class Order(BaseModel, extra="forbid", strict=True):
    """A run. What is not said: the source is found out, the environment is the installation's, the trace_id new.

    `payload` is what a webhook of the source would bring.
    """

    payload: dict[str, Any] | list[Any] | None = None
    source: str = ""
    environment: Annotated[Given, StringConstraints(max_length=64)] = ""
    trace_id: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")] = ""

    @field_validator("source")
    @classmethod
    def _is_known(cls, source: str) -> str:
        if source and source not in sources.SOURCES:
            raise ValueError(f"one of {', '.join(sources.SOURCES)}")
        return source


class NamedOrder(Order):
    """`definition` is the pipeline's name; without one it is the installation's (WATCHKEEPER_PIPELINE)."""

    definition: Annotated[Given, StringConstraints(max_length=128)] = ""


class SyncOrder(NamedOrder):
    """`timeout_seconds` is how long to wait for the end."""

    timeout_seconds: float = Field(default=SYNC_SECONDS, ge=0, le=SYNC_SECONDS_MAX)


class UnfitOrderError(Exception):
    """What is ordered cannot be run: with which status that is answered, why, and what is known."""

    def __init__(self, status: int, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields


@run_orders.post("/")
@require_api_token
def order() -> Response:
    """Order a run; it begins at once where a worker lives."""
    wish = json_body.read_body(NamedOrder)
    return answer_order(place(wish, _pipeline_of(wish)))


@run_orders.post("/sync/")
@require_api_token
def order_and_wait() -> Response:
    """Order a run and wait for its end: 200 with its result, also where it failed; 202 where it takes longer."""
    wish = json_body.read_body(SyncOrder)
    with waiting():
        run_id = place(wish, _pipeline_of(wish))
        if not _wait(run_id, lambda run: run.completed_at is not None, seconds=wish.timeout_seconds):
            return _answer_queued(run_id, message=f"not over after {wish.timeout_seconds:g} s; see status_url")
        with state().database.read() as session:
            run = _found(session, run_id)
            return answer(result_fields(run, stages.list_attempts(session, run.id)) | _place_of(run))


def place(wish: Order, pipeline: str) -> str:
    """Order the run of a pipeline; its id. Raises UnfitOrderError."""
    with state().database.write() as session:
        run = place_in(session, wish, pipeline)
        fields = {"run_id": run.run_id, "trace_id": run.trace_id, "pipeline": pipeline}
    log.info("run ordered", extra=fields)
    return fields["run_id"]


def place_in(session: Session, wish: Order, pipeline: str) -> PipelineRun:
    """Order the run of a pipeline within a transaction. Raises UnfitOrderError."""
    settings = current_app.config["WATCHKEEPER"]
    found = _definition(session, pipeline)
    return order_run(
        session,
        definition_name=found.name,
        definition_version=found.version,
        payload=wish.payload,
        source=_source(wish, found),
        environment=wish.environment or settings.environment,
        trace_id=wish.trace_id,
        max_retries=settings.max_retries_per_stage,
        is_queued=True,
    )


def answer_order(run_id: str) -> Response:
    """What is known of a run that was ordered just now; its flow run is waited for a moment."""
    with state().database.read() as session:
        has_prefect = any(worker.has_prefect for worker in workers.alive(session))
    if has_prefect:
        try:
            with ordering():
                _wait(run_id, _is_taken_up, seconds=FLOW_RUN_SECONDS)
        except BusyError:
            pass  # it is only for the flow run's address, which status_url tells as well
    return _answer_queued(run_id)


@run_orders.app_errorhandler(UnfitOrderError)
def refuse(error: UnfitOrderError) -> Response:
    """The answer to an order that cannot be carried out."""
    return error_answer(error.status, str(error), **error.fields)


def _pipeline_of(wish: NamedOrder) -> str:
    pipeline: str = wish.definition or current_app.config["WATCHKEEPER"].pipeline
    return pipeline


def _definition(session: Session, pipeline: str) -> NamedDefinition:
    saved = definitions.find(session, pipeline)
    if saved is not None and not saved.is_active:
        raise UnfitOrderError(409, f"definition: {pipeline!r} is not active")
    if pipeline == REDELIVERY:  # the relay's own
        raise _unknown(session)
    try:
        return find_definition(session, pipeline)
    except UnknownPipelineError:
        raise _unknown(session) from None
    except DefinitionError as error:
        raise UnfitOrderError(409, f"definition: {pipeline!r} cannot be run", errors=error.faults) from None


def _unknown(session: Session) -> UnfitOrderError:
    known = [name for name in definitions.active_names(session) if name != REDELIVERY]
    message = f"definition: there is no pipeline of that name; one of {', '.join(known)}"
    return UnfitOrderError(400, message, pipelines=known)


def _source(wish: Order, found: NamedDefinition) -> str:
    """The source that reads the payload: what cannot be read is refused now, while somebody listens."""
    if wish.payload is None:
        return wish.source
    readers = [node for node in found.definition.nodes if node.type == "ingest"]
    if not readers:
        message = f"payload: nothing in pipeline {found.name!r} reads it, since it has no ingest node"
        raise UnfitOrderError(400, message)
    source = wish.source or next((str(node.config["driver"]) for node in readers if node.config.get("driver")), "")
    try:
        return sources.recognise(wish.payload, source=source)
    except UnreadablePayloadError as error:
        reason = str(error).partition("; post to")[0]
        hint = "" if source else f"; source names who reads it: one of {', '.join(sources.SOURCES)}"
        raise UnfitOrderError(400, f"payload: {reason}{hint}", sources=list(sources.SOURCES)) from None


def _is_taken_up(run: PipelineRun) -> bool:
    """Whether its flow run is known; one that is run without Prefect has none and begins at once."""
    return bool(run.flow_run_id) or run.started_at is not None


def _wait(run_id: str, is_reached: Callable[[PipelineRun], bool], *, seconds: float) -> bool:
    ends_at = time.monotonic() + seconds
    while True:
        with state().database.read() as session:
            if is_reached(_found(session, run_id)):
                return True
        left = ends_at - time.monotonic()
        if left <= 0:
            return False
        # Ever more slowly: the fiftieth look is not as urgent as the first.
        time.sleep(min(left, max(POLL_SECONDS, min(1.0, (seconds - left) / 10))))


def _answer_queued(run_id: str, *, message: str = "") -> Response:
    with state().database.read() as session:
        run = _found(session, run_id)
        said = message or _said(session, run)
        fields = {
            **run_fields(run),
            "status": "queued",
            "run_status": run.status,
            "task_id": run.run_id,
            "message": said,
            **_place_of(run),
        }
    return answer(fields, status=202)


def _said(session: Session, run: PipelineRun) -> str:
    if _is_taken_up(run):
        return QUEUED
    alive = workers.alive(session)
    if not alive:
        return f"{QUEUED}; no worker lives at this moment, so it waits for one"
    if not any(worker.has_prefect for worker in alive):
        return f"{QUEUED}; Prefect's server is away, so it has no flow run yet"
    return f"{QUEUED}; it has not begun yet, so its flow run is not known"


def _found(session: Session, run_id: str) -> PipelineRun:
    run = runs.find_run(session, run_id)
    if run is None:
        raise UnfitOrderError(410, "the run was removed while it was waited for")
    return run


def _place_of(run: PipelineRun) -> dict[str, str]:
    return {"status_url": url_for("orchestration.show_run", run_id=run.run_id)}
