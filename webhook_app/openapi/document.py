"""From the app's routes to the document."""

import inspect
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from werkzeug.routing import Rule

from tasks.ingest.sources import SOURCES
from webhook_app.console.paths import is_page
from webhook_app.openapi.operations import OPERATIONS, Form, Operation
from webhook_app.openapi.parameters import Json
from webhook_app.places import READING

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
TOKEN: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "WATCHKEEPER_API_TOKEN; where none is set, only this machine may, without one",
}
BASIC: Json = {"type": "http", "scheme": "basic", "description": "the password is the sender's token"}
SENDER: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "WATCHKEEPER_WEBHOOK_TOKEN, or the source's own",
}
API_SECURITY: list[Json] = [{"api_token": []}, {}]
WEBHOOK_SECURITY: list[Json] = [{"webhook_token": []}, {"webhook_password": []}, {}]
HEADERS: dict[int, Json] = {
    201: {"Location": {"schema": {"type": "string"}}},
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    503: {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}},
}
REF = "#/components/schemas/{model}"

Key = tuple[type[BaseModel], JsonSchemaMode]


def make_document(app: Flask) -> Json:
    """The OpenAPI 3.1 document of all routes. Raises KeyError for a route that OPERATIONS does not know."""
    found = list(_routes(app))
    schemas, components = _schemas([operation for _, _, operation in found])
    paths: dict[str, Json] = {}
    for rule, method, operation in found:
        paths.setdefault(_path(rule), {})[method.lower()] = _operation(app, rule, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Watchkeeper",
            "version": version("watchkeeper"),
            "description": "Webhooks in, pipelines run, people told. Errors have one form; lists come in pages.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"api_token": TOKEN, "webhook_token": SENDER, "webhook_password": BASIC},
        },
    }


def _routes(app: Flask) -> Iterator[tuple[Rule, str, Operation]]:
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule != "/" and not is_page(rule.rule)]
    for rule in sorted(rules, key=lambda rule: rule.rule):
        for method in METHODS:
            if method in (rule.methods or ()):
                yield rule, method, OPERATIONS[rule.endpoint]


def _path(rule: Rule) -> str:
    return rule.rule.replace("<", "{").replace(">", "}")


def _schemas(operations: list[Operation]) -> tuple[Mapping[Key, Json], Json]:
    """Where each model's schema stands, and all of them by name."""
    keys: dict[Key, None] = {}
    for operation in operations:
        if operation.takes:
            keys[operation.takes, "validation"] = None
        forms = (*operation.gives.values(), *operation.errors)
        for form in forms:
            if not isinstance(form, str):
                keys[form, "serialization"] = None
    inputs = [(key, key[1], TypeAdapter(key[0])) for key in keys]
    found, rest = TypeAdapter.json_schemas(inputs, ref_template=REF)
    return {key: found[key, key[1]] for key in keys}, rest.get("$defs", {})


def _operation(app: Flask, rule: Rule, operation: Operation, schemas: Mapping[Key, Json]) -> Json:
    summary, _, description = inspect.cleandoc(app.view_functions[rule.endpoint].__doc__ or "").partition("\n")
    blueprint, _, view = rule.endpoint.partition(".")
    with_path = "".join(f"_by_{name}" for name in sorted(rule.arguments)) if blueprint == "webhook" else ""
    fields: Json = {
        "operationId": f"{blueprint}_{view}{with_path}",
        "tags": [blueprint],
        "summary": summary.rstrip("."),
        "parameters": [*_in_path(rule), *(operation.asks or [])],
        "responses": dict(sorted(_responses(rule, operation, schemas).items())),
    }
    if description.strip():
        fields["description"] = description.strip()
    if operation.is_guarded:
        fields["security"] = API_SECURITY
    if operation.takes:
        is_required = any(field.is_required() for field in operation.takes.model_fields.values())
        content = {"application/json": {"schema": schemas[operation.takes, "validation"]}}
        fields["requestBody"] = {"required": is_required, "content": content}
    if operation.takes_all:
        fields["security"] = WEBHOOK_SECURITY
        fields["requestBody"] = {"required": True, "content": {"application/json": {"schema": {}}}}
    return fields


def _in_path(rule: Rule) -> Iterator[Json]:
    for name in sorted(rule.arguments):
        schema: Json = {"type": "string", "minLength": 1}
        if name == "source":
            schema["enum"] = list(SOURCES)
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(rule: Rule, operation: Operation, schemas: Mapping[Key, Json]) -> Json:
    refused = {*operation.refuses, *_implied(rule, operation)} - set(operation.gives)
    gives = {str(code): _response(code, (form,), schemas) for code, form in operation.gives.items()}
    return gives | {str(code): _response(code, operation.errors, schemas) for code in refused}


def _implied(rule: Rule, operation: Operation) -> Iterator[int]:
    if operation.is_guarded:
        yield 401
        if rule.endpoint.partition(".")[0] in READING:
            yield 503
    if operation.asks is not None or operation.takes:
        yield 400
    if operation.takes:
        yield from (413, 415)
    if rule.arguments:
        yield 404


def _response(code: int, forms: tuple[Form, ...], schemas: Mapping[Key, Json]) -> Json:
    described: Json = {"description": HTTPStatus(code).phrase}
    if code in HEADERS:
        described["headers"] = HEADERS[code]
    media = next((form for form in forms if isinstance(form, str)), None)
    if media:
        return described | {"content": {media: {"schema": {"type": "string"}}}}
    found = [schemas[form, "serialization"] for form in forms if not isinstance(form, str)]
    schema: Any = found[0] if len(found) == 1 else {"anyOf": found}
    return described | {"content": {"application/json": {"schema": schema}}}
