"""`/orchestration/definitions/`: the pipelines as JSON, and running them."""

import logging
from typing import Annotated, Any

from flask import Blueprint, Response, current_app, request
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage import definitions as rows
from storage.definitions import DefinitionExistsError, DefinitionNotFoundError
from storage.routes import routes_naming
from storage.storable import storable, storable_text
from storage.tables import PipelineDefinition
from tasks.definition.checking import faults_of
from tasks.definition.naming import NAME_MAX_CHARS, NAME_PATTERN, fault_of_name
from tasks.definition.presets import PRESETS
from tasks.definition.saving import warnings_of
from tasks.definition.schedule import Schedule
from tasks.definition.schema import definition_schema
from tasks.definition.takers import takes_webhooks
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.definition_fields import definition_details, definition_fields, holds_mask
from webhook_app.json_body import BodyFaultError
from webhook_app.query import QueryError
from webhook_app.run_orders import Order, answer_order, place
from webhook_app.state import state

definitions = Blueprint("definitions", __name__, url_prefix="/orchestration/definitions")
definitions.register_error_handler(QueryError, query.refuse)
definitions.register_error_handler(BodyFaultError, json_body.refuse)

PARAMETERS = ("active", "limit", "cursor")
DESCRIPTION_MAX_CHARS = 2_000
EDITOR = "api"

log = logging.getLogger("watchkeeper.receiver")


def _fit_name(name: str) -> str:
    if fault := fault_of_name(name):
        raise ValueError(fault)
    return name


NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": NAME_MAX_CHARS, "pattern": NAME_PATTERN}
Name = Annotated[str, AfterValidator(_fit_name), WithJsonSchema(NAME_SCHEMA)]
Description = Annotated[str, BeforeValidator(storable), Field(max_length=DESCRIPTION_MAX_CHARS)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=50)]
Version = Annotated[int, Field(ge=1)]


class Replace(BaseModel, extra="forbid", strict=True):
    """A definition as a whole. `version`: the one that is replaced; 409 where another is stored by now.

    Without a description or tags it has those of its config.
    """

    config: dict[str, Any]
    description: Description | None = None
    tags: Tags | None = None
    is_active: bool | None = None
    version: Version | None = None


class Create(Replace):
    """A new definition."""

    name: Name
    version: None = None


class Edit(BaseModel, extra="forbid", strict=True):
    """What is to change about a definition, but for its config. `name` renames it; no `schedule` is null."""

    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None
    is_active: bool | None = None
    schedule: dict[str, Any] | None = None
    version: Version | None = None


class Check(BaseModel, extra="forbid", strict=True):
    """`config`: what is to be checked in place of what is saved."""

    config: dict[str, Any] | None = None


class CheckGiven(BaseModel, extra="forbid", strict=True):
    """What is to be checked."""

    config: dict[str, Any]


class RefusedError(Exception):
    """A change that cannot be made: with which status that is answered, why, and what stands against it."""

    def __init__(self, status: int, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields


@definitions.get("/")
@require_api_token
def list_all() -> Response:
    """Definitions by name, without their configs."""
    query.check_names(request.args, known=PARAMETERS)
    is_active, limit = query.read_truth(request.args, "active"), query.read_limit(request.args)
    after = query.read_name_cursor(request.args)
    with state().database.read() as session:
        found = rows.list_definitions(session, is_active=is_active, after_name=after, limit=limit + 1)
        page = [definition_fields(row) for row in found[:limit]]
    last_name = found[limit - 1].name if len(found) > limit else None
    return answer(query.named_page_fields("definitions", page, last_name=last_name))


@definitions.post("/")
@require_api_token
def create() -> Response:
    """Save a new definition; its deployment is made at once where a worker lives."""
    wish = json_body.read_body(Create)
    _check(wish.config, saved={})
    with state().database.write() as session:
        if rows.find(session, wish.name):
            raise DefinitionExistsError(f"there is a definition {wish.name!r} already")
        try:
            with session.begin_nested():
                row = _save(session, wish.name, wish)
        except IntegrityError:
            raise DefinitionExistsError(f"there is a definition {wish.name!r} already") from None
        fields = definition_details(session, row)
    response = _done("added", fields, status=201)
    response.headers["Location"] = fields["url"]
    return response


@definitions.get("/schema/")
@require_api_token
def show_schema() -> Response:
    """The JSON Schema of a definition's config."""
    return answer(definition_schema())


@definitions.post("/validate/")
@require_api_token
def validate_given() -> Response:
    """Whether a config can be run; nothing is saved."""
    config = json_body.read_body(CheckGiven).config
    with state().database.read() as session:
        return _verdict(session, None, config)


@definitions.get("/<name>/")
@require_api_token
def show(name: str) -> Response:
    """One definition with its config and versions."""
    with state().database.read() as session:
        return answer(definition_details(session, _found(session, name)))


@definitions.put("/<name>/")
@require_api_token
def replace(name: str) -> Response:
    """Put another config in its place: a new version, which the next run takes."""
    wish = json_body.read_body(Replace)
    with state().database.read() as session:
        _check(wish.config, saved=_found(session, name).config)
    with state().database.write() as session:
        row = _locked(session, name, wish.version)
        if wish.is_active is False or not takes_webhooks(wish.config):
            _refuse_if_needed(session, row)
        row = _save(session, row.name, wish)
        fields = definition_details(session, row)
    return _done("replaced", fields)


@definitions.patch("/<name>/")
@require_api_token
def edit(name: str) -> Response:
    """Change what is said of it, switch it on or off, schedule or rename it: what is not named stays."""
    wish = json_body.read_body(Edit)
    schedule = None if wish.schedule is None else json_body.read_fields(Schedule, wish.schedule, at="schedule")
    with state().database.write() as session:
        row = _locked(session, name, wish.version)
        if wish.description is not None or wish.tags is not None:
            row.description = row.description if wish.description is None else wish.description
            row.tags = row.tags if wish.tags is None else list(wish.tags)
            row.created_by = EDITOR  # else the next start would take it back for a preset
        if wish.is_active is not None:
            _switch(session, row, is_active=wish.is_active)
        if "schedule" in wish.model_fields_set:
            kept = None if schedule is None else schedule.model_dump(mode="json", exclude_defaults=True)
            rows.set_schedule(session, row.name, kept)
        if wish.name not in (None, row.name):
            row = _rename(session, row, str(wish.name))
        session.flush()
        fields = definition_details(session, row)
    return _done("edited", fields)


@definitions.delete("/<name>/")
@require_api_token
def remove(name: str) -> Response:
    """Forget a definition that no route names; runs of it go on with the version that they began with."""
    with state().database.write() as session:
        row = _locked(session, name)
        _refuse_preset(row)
        _refuse_if_needed(session, row)
        rows.remove(session, row.name)
    return _done("removed", {"name": row.name})


@definitions.post("/<name>/validate/")
@require_api_token
def validate(name: str) -> Response:
    """Whether what is saved, or the body's config, can be run."""
    wish = json_body.read_body(Check)
    with state().database.read() as session:
        row = _found(session, name)
        return _verdict(session, row.name, row.config if wish.config is None else wish.config)


@definitions.post("/<name>/execute/")
@require_api_token
def execute(name: str) -> Response:
    """Order a run of it, as `POST /orchestration/pipeline/` does."""
    wish = json_body.read_body(Order)
    with state().database.read() as session:
        pipeline = _found(session, name).name
    return answer_order(place(wish, pipeline))


@definitions.errorhandler(DefinitionNotFoundError)
def miss(_error: DefinitionNotFoundError) -> Response:
    """The answer about a definition that is not there."""
    return error_answer(404, "unknown definition")


@definitions.errorhandler(DefinitionExistsError)
def refuse_name(error: DefinitionExistsError) -> Response:
    """The answer to a name that is taken."""
    return error_answer(409, str(error))


@definitions.errorhandler(RefusedError)
def refuse(error: RefusedError) -> Response:
    """The answer to a change that cannot be made."""
    return error_answer(error.status, str(error), **error.fields)


def _check(config: dict[str, Any], *, saved: dict[str, Any]) -> None:
    if holds_mask(config, saved):
        raise RefusedError(400, "config: holds ***, which stands for a secret that an answer hid; say it anew")
    if faults := faults_of(config):
        raise RefusedError(400, "config: the definition cannot be run", errors=faults)


def _verdict(session: Session, name: str | None, config: dict[str, Any]) -> Response:
    faults = faults_of(config)
    warnings = [] if faults else warnings_of(session, config)
    return answer({"name": name, "valid": not faults, "errors": faults, "warnings": warnings})


def _save(session: Session, name: str, wish: Replace) -> PipelineDefinition:
    description = wish.config.get("description", "") if wish.description is None else wish.description
    tags = wish.config.get("tags", []) if wish.tags is None else wish.tags
    row = rows.save(session, name=name, config=wish.config, description=description, tags=tags, created_by=EDITOR)
    row.created_by = EDITOR  # also where the config is the shipped one: it is no more the start's to change
    if wish.is_active is not None:
        rows.set_active(session, name, is_active=wish.is_active)
    session.flush()
    return row


def _switch(session: Session, row: PipelineDefinition, *, is_active: bool) -> None:
    if not is_active:
        _refuse_if_needed(session, row)
    elif faults := faults_of(row.config):
        raise RefusedError(409, "the definition cannot be run, so it is not switched on", errors=faults)
    rows.set_active(session, row.name, is_active=is_active)


def _rename(session: Session, row: PipelineDefinition, new_name: str) -> PipelineDefinition:
    _refuse_preset(row)
    _refuse_if_needed(session, row)
    return rows.rename(session, row.name, new_name)


def _refuse_preset(row: PipelineDefinition) -> None:
    if row.name in PRESETS:
        raise RefusedError(409, "a preset comes back with the next start; it can only be switched off (is_active)")


def _refuse_if_needed(session: Session, row: PipelineDefinition) -> None:
    if not row.is_active:
        return
    if naming := routes_naming(session, row.name):
        raise RefusedError(409, "webhooks go to it by the routes; change them first", routes=naming)
    if row.name == current_app.config["WATCHKEEPER"].pipeline:
        message = "it takes the webhooks that name no pipeline; set WATCHKEEPER_PIPELINE to another first"
        raise RefusedError(409, message)


def _found(session: Session, name: str) -> PipelineDefinition:
    row = rows.find(session, storable_text(name))
    if row is None:
        raise DefinitionNotFoundError
    return row


def _locked(session: Session, name: str, version: int | None = None) -> PipelineDefinition:
    which = PipelineDefinition.name == storable_text(name)
    row = session.scalar(select(PipelineDefinition).where(which).with_for_update())
    if row is None:
        raise DefinitionNotFoundError
    if version not in (None, row.version):
        raise RefusedError(409, f"version: {row.version} is stored by now", version=row.version)
    return row


def _done(action: str, fields: dict[str, Any], *, status: int = 200) -> Response:
    log.info("definition changed", extra={"action": action, "definition": fields["name"]})
    return answer(fields, status=status)
