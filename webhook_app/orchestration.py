"""`/orchestration/pipelines/` and `/orchestration/pipeline/<run_id>/`: runs, their stages and notifications."""

import logging
from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session

from storage import inbox, run_list, runs, stages, told, trail
from storage.pages import Place
from storage.run_list import RunWord
from storage.runs import RunNotFoundError, RunStateError
from storage.storable import storable_text
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import RunVia
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.analysis_fields import ANALYSES_SHOWN, analyses_fields
from webhook_app.answers import answer, error_answer
from webhook_app.json_body import BodyFaultError, Nothing
from webhook_app.notification_fields import notification_fields, passed_over_fields
from webhook_app.query import QueryError
from webhook_app.run_fields import run_fields, stage_fields
from webhook_app.state import state

orchestration = Blueprint("orchestration", __name__, url_prefix="/orchestration")
orchestration.register_error_handler(QueryError, query.refuse)
orchestration.register_error_handler(BodyFaultError, json_body.refuse)

PARAMETERS = (
    "status",
    "pipeline",
    "source",
    "environment",
    "trace_id",
    "incident_id",
    "via",
    "since",
    "limit",
    "cursor",
)

log = logging.getLogger("watchkeeper.receiver")


@orchestration.get("/pipelines/")
@require_api_token
def list_runs() -> Response:
    """Runs, newest first. `status=completed` are those that are over and did not fail."""
    query.check_names(request.args, known=PARAMETERS)
    limit = query.read_limit(request.args)
    with state().database.read() as session:
        found = run_list.list_runs(
            session,
            words=query.read_words(request.args, "status", RunWord),
            vias=query.read_words(request.args, "via", RunVia),
            pipeline=query.read_text(request.args, "pipeline"),
            source=query.read_text(request.args, "source"),
            environment=query.read_text(request.args, "environment"),
            trace_id=query.read_text(request.args, "trace_id"),
            incident_id=query.read_number(request.args, "incident_id"),
            since=query.read_since(request.args, now=utc_now()),
            after=query.read_cursor(request.args),
            limit=limit + 1,
        )
    page = [{**run_fields(run), "url": _url(run)} for run in found[:limit]]
    next_place = Place(found[limit - 1].created_at, found[limit - 1].id) if len(found) > limit else None
    return answer(query.page_fields("pipelines", page, next_place=next_place))


@orchestration.get("/pipeline/<run_id>/")
@require_api_token
def show_run(run_id: str) -> Response:
    """One run with its deliveries, the attempts at its stages, its newest analyses, and who was told or not."""
    with state().database.read() as session:
        run = runs.find_run(session, storable_text(run_id))
        if run is None:
            raise RunNotFoundError
        return answer(run_fields(run) | _details(session, run))


@orchestration.post("/pipeline/<run_id>/resume/")
@require_api_token
def resume(run_id: str) -> Response:
    """Let a failed run go on after the last stage that succeeded."""
    json_body.read_body(Nothing)
    with state().database.write() as session:
        run = runs.resume(session, storable_text(run_id))
        fields = {**run_fields(run), "status_url": _url(run)}
    log.info("run resumed", extra={"run_id": fields["run_id"], "trace_id": fields["trace_id"]})
    return answer({**fields, "message": "Pipeline queued to go on"}, status=202)


@orchestration.post("/pipeline/<run_id>/cancel/")
@require_api_token
def cancel(run_id: str) -> Response:
    """Let a run stop at its next stage boundary; it counts as failed then, and can be resumed."""
    json_body.read_body(Nothing)
    with state().database.write() as session:
        is_asked = runs.request_cancel_of(session, storable_text(run_id))
        run = runs.find_run(session, storable_text(run_id))
        if run is None:
            raise RunNotFoundError
        if not is_asked:
            raise RunStateError(f"run {run.run_id} is {run.status} and over", status=run.status)
        session.refresh(run)
        fields = {**run_fields(run), "status_url": _url(run)}
    log.info("run to be cancelled", extra={"run_id": fields["run_id"], "trace_id": fields["trace_id"]})
    return answer({**fields, "message": "Pipeline stops at its next stage"}, status=202)


@orchestration.errorhandler(RunNotFoundError)
def miss(_error: RunNotFoundError) -> Response:
    """The answer about a run that is not there."""
    return error_answer(404, "unknown pipeline run")


@orchestration.errorhandler(RunStateError)
def refuse(error: RunStateError) -> Response:
    """The answer to what a run's status forbids."""
    return error_answer(409, str(error), run_status=error.status)


def _details(session: Session, run: PipelineRun) -> dict[str, Any]:
    analysed = trail.analyses_of_run(session, run.run_id, limit=ANALYSES_SHOWN)
    return {
        "deliveries": [
            {"delivery_id": d.delivery_id, "trace_id": d.trace_id, "status": d.status, "reason": d.reason}
            for d in inbox.deliveries_of(session, run.id)
        ],
        "stages": [stage_fields(row) for row in stages.list_attempts(session, run.id)],
        "analyses": analyses_fields(analysed),
        "notifications": [notification_fields(row) for row in told.messages_of_run(session, run.run_id)],
        "passed_over": passed_over_fields(told.passed_over_of_runs(session, [run.id])),
    }


def _url(run: PipelineRun) -> str:
    return url_for("orchestration.show_run", run_id=run.run_id)
