"""Definitions and routes."""

from datetime import datetime
from typing import Any

from webhook_app.openapi.shapes.base import Page, Shape


class DefinitionShape(Shape):
    """A saved definition, without its config."""

    name: str
    description: str
    version: int
    is_active: bool
    tags: list[str]
    nodes: int
    schedule: dict[str, Any] | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    url: str


class VersionShape(Shape):
    """A version that a definition has had."""

    version: int
    created_by: str
    created_at: datetime


class DefinitionDetails(DefinitionShape):
    """A definition with its config and versions. `errors` says why it cannot be run."""

    config: dict[str, Any]
    entry_node: str | None
    path: list[str]
    defaults: dict[str, Any] | None
    deployment: str | None
    errors: list[str]
    warnings: list[str]
    versions: list[VersionShape]


class Definitions(Page):
    """A page of definitions."""

    definitions: list[DefinitionShape]


class Verdict(Shape):
    """Whether a config can be run, and all that is wrong with it."""

    name: str | None
    valid: bool
    errors: list[str]
    warnings: list[str]


class RoutesShape(Shape):
    """The rules that hold; version 0 where there are none."""

    version: int
    rules: list[dict[str, Any]]
    default: str
    installation_default: str
    created_by: str
    created_at: datetime | None


class RouteChoice(Shape):
    """Which rule takes a body; null is the default. `why` says how each rule that was tried fared."""

    pipeline: str
    is_known: bool
    rule: int | None
    source: str
    version: int
    why: list[dict[str, Any]]
