"""`/orchestration/definitions/`: the pipelines as JSON, and running them."""

import logging
from typing import Annotated, Any

from flask import Blueprint, Response, request
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema
from sqlalchemy.orm import Session

from storage import definitions as rows
from storage.definitions import DefinitionExistsError, DefinitionNotFoundError
from storage.storable import storable
from tasks.definition.checking import faults_of
from tasks.definition.naming import NAME_MAX_CHARS, NAME_PATTERN, fault_of_name
from tasks.definition.saving import warnings_of
from tasks.definition.schedule import Schedule
from tasks.definition.schema import definition_schema
from webhook_app import definition_changes as changes
from webhook_app import json_body, query
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.definition_changes import DESCRIPTION_MAX_CHARS, TAG_MAX_CHARS, TAGS_MAX, NewConfig, RefusedError
from webhook_app.definition_fields import definition_details, definition_fields
from webhook_app.json_body import BodyFaultError
from webhook_app.query import QueryError
from webhook_app.run_orders import Order, answer_order, place
from webhook_app.state import state

definitions = Blueprint("definitions", __name__, url_prefix="/orchestration/definitions")
definitions.register_error_handler(QueryError, query.refuse)
definitions.register_error_handler(BodyFaultError, json_body.refuse)

PARAMETERS = ("active", "limit", "cursor")
EDITOR = "api"

log = logging.getLogger("watchkeeper.receiver")


def _fit_name(name: str) -> str:
    if fault := fault_of_name(name):
        raise ValueError(fault)
    return name


NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": NAME_MAX_CHARS, "pattern": NAME_PATTERN}
Name = Annotated[str, AfterValidator(_fit_name), WithJsonSchema(NAME_SCHEMA)]
Description = Annotated[str, BeforeValidator(storable), Field(max_length=DESCRIPTION_MAX_CHARS)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=TAG_MAX_CHARS)]], Field(max_length=TAGS_MAX)]
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
    changes.check_config(wish.config, saved={})
    with state().database.write() as session:
        fields = definition_details(session, changes.create(session, wish.name, _new_config(wish)))
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
        return answer(definition_details(session, changes.find(session, name)))


@definitions.put("/<name>/")
@require_api_token
def replace(name: str) -> Response:
    """Put another config in its place: a new version, which the next run takes."""
    wish = json_body.read_body(Replace)
    with state().database.read() as session:
        changes.check_config(wish.config, saved=changes.find(session, name).config)
    with state().database.write() as session:
        row = changes.replace(session, changes.lock(session, name, wish.version), _new_config(wish))
        fields = definition_details(session, row)
    return _done("replaced", fields)


@definitions.patch("/<name>/")
@require_api_token
def edit(name: str) -> Response:
    """Change what is said of it, switch it on or off, schedule or rename it: what is not named stays."""
    wish = json_body.read_body(Edit)
    schedule = None if wish.schedule is None else json_body.read_fields(Schedule, wish.schedule, at="schedule")
    with state().database.write() as session:
        row = changes.lock(session, name, wish.version)
        if wish.description is not None or wish.tags is not None:
            row.description = row.description if wish.description is None else wish.description
            row.tags = row.tags if wish.tags is None else list(wish.tags)
            row.created_by = EDITOR  # else the next start would take it back for a preset
        if wish.is_active is not None:
            changes.switch(session, row, is_active=wish.is_active)
        if "schedule" in wish.model_fields_set:
            kept = None if schedule is None else schedule.model_dump(mode="json", exclude_defaults=True)
            rows.set_schedule(session, row.name, kept)
        if wish.name not in (None, row.name):
            row = changes.rename(session, row, str(wish.name))
        session.flush()
        fields = definition_details(session, row)
    return _done("edited", fields)


@definitions.delete("/<name>/")
@require_api_token
def remove(name: str) -> Response:
    """Forget a definition that no route names; runs of it go on with the version that they began with."""
    with state().database.write() as session:
        row = changes.lock(session, name)
        changes.remove(session, row)
    return _done("removed", {"name": row.name})


@definitions.post("/<name>/validate/")
@require_api_token
def validate(name: str) -> Response:
    """Whether what is saved, or the body's config, can be run."""
    wish = json_body.read_body(Check)
    with state().database.read() as session:
        row = changes.find(session, name)
        return _verdict(session, row.name, row.config if wish.config is None else wish.config)


@definitions.post("/<name>/execute/")
@require_api_token
def execute(name: str) -> Response:
    """Order a run of it, as `POST /orchestration/pipeline/` does."""
    wish = json_body.read_body(Order)
    with state().database.read() as session:
        pipeline = changes.find(session, name).name
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


def _verdict(session: Session, name: str | None, config: dict[str, Any]) -> Response:
    faults = faults_of(config)
    warnings = [] if faults else warnings_of(session, config)
    return answer({"name": name, "valid": not faults, "errors": faults, "warnings": warnings})


def _new_config(wish: Replace) -> NewConfig:
    return NewConfig(wish.config, EDITOR, wish.description, wish.tags, wish.is_active)


def _done(action: str, fields: dict[str, Any], *, status: int = 200) -> Response:
    log.info("definition changed", extra={"action": action, "definition": fields["name"]})
    return answer(fields, status=status)
