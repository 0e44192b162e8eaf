"""What `run-pipeline` is to run: which definition, and with what."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from deployments.commands.run_pipeline.checks import NODE_TYPE, PIPELINE, check_config
from deployments.commands.run_pipeline.command import Asked
from deployments.commands.run_pipeline.samples import SOURCE, sample
from deployments.errors import WrongUseError
from storage import definitions, orders
from storage.records import ParsedPayload
from storage.settings import Settings
from storage.storable import storable_text
from storage.tables import PipelineRun
from tasks.definition.checking import DefinitionError, read_definition
from tasks.definition.library import NamedDefinition, UnknownPipelineError, find_definition
from tasks.definition.model import Definition
from tasks.definition.naming import ADHOC
from tasks.definition.presets import PRESETS, REDELIVERY, preset
from tasks.ingest import sources
from tasks.ingest.body import FORM_TYPE, BodyError, read_body
from tasks.ingest.sources.base import UnreadablePayloadError

NAME_MAX_CHARS = 128


@dataclass(frozen=True)
class Given:
    """What the flags alone say, before any database is asked. `payload` is None where a run has none."""

    settings: Settings
    pipeline: str = ""
    config_path: str = ""
    config: Mapping[str, Any] | None = None
    payload: Any = None
    payload_flag: str = ""
    source: str = ""
    environment: str = ""
    trace_id: str = ""
    node_configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOrder:
    """A run to be made. `parsed` is what its payload becomes, where an ingest node is there to read it."""

    given: Given
    named: NamedDefinition
    source: str
    parsed: ParsedPayload | None

    @property
    def definition(self) -> Definition:
        """What it follows."""
        return self.named.definition


def read_given(asked: Asked, settings: Settings) -> Given:
    """Files, JSON and flags, read and checked. Raises WrongUseError."""
    source = asked.source or (SOURCE if asked.sample else "")
    flag, payload = ("", None) if asked.checks_only else _payload(asked, source, settings)
    told: dict[str, dict[str, Any]] = {}
    if asked.checks_only:
        told[NODE_TYPE] = check_config(asked, settings)
    if asked.notify_driver:
        # None takes back what the definition names.
        told["notify"] = {"drivers": [asked.notify_driver], "driver": None, "channels": None}
    return Given(
        settings=settings,
        pipeline=""
        if asked.config
        else asked.definition or (PIPELINE if asked.checks_only else settings.pipeline),
        config_path=asked.config,
        config=_config(asked.config) if asked.config else None,
        payload=payload,
        payload_flag=flag,
        source=source if payload is not None else "",
        environment=asked.environment or settings.environment,
        trace_id=asked.trace_id,
        node_configs=told,
    )


def make_order(given: Given, session: Session | None) -> RunOrder:
    """The definition, checked, and what it would make of the payload. Without a database there are the presets.

    Raises WrongUseError where the definition cannot be run, or its ingest node can make nothing of the payload.
    """
    try:
        named = _named(given, session)
    except DefinitionError as error:
        raise WrongUseError("Pipeline definition invalid:\n  - " + "\n  - ".join(error.faults)) from None
    ingest = next((node for node in named.definition.path() if node.type == "ingest"), None)
    if given.payload is None or ingest is None:
        return RunOrder(given, named, given.source, None)
    parsed = _parse(given, str(ingest.config.get("driver") or ""))
    return RunOrder(given, named, parsed.source, parsed)


def store_order(session: Session, order: RunOrder, *, is_queued: bool) -> PipelineRun:
    """The run, pending, or queued for a worker."""
    given = order.given
    return orders.order_run(
        session,
        definition_name=order.named.name,
        definition_version=order.named.version,
        payload=given.payload,
        source=order.source,
        environment=given.environment,
        trace_id=given.trace_id,
        max_retries=given.settings.max_retries_per_stage,
        node_configs=given.node_configs,
        definition_config=given.config,
        is_queued=is_queued,
    )


def _named(given: Given, session: Session | None) -> NamedDefinition:
    if given.config is not None:
        return NamedDefinition(_adhoc_name(given.config_path), 0, read_definition(given.config))
    name = storable_text(given.pipeline)
    if session is None:
        if name in PRESETS:
            return NamedDefinition(name, 0, preset(name))
        raise WrongUseError(f"Pipeline definition not found: {name}; there are {', '.join(PRESETS)}")
    try:
        if name != REDELIVERY:  # which nobody chooses
            return find_definition(session, name)
    except UnknownPipelineError:
        if definitions.find(session, name):
            raise WrongUseError(f"Pipeline definition not found: {name} is switched off") from None
    known = definitions.active_names(session) or PRESETS
    raise WrongUseError(f"Pipeline definition not found: {name}; there are {', '.join(known)}")


def _adhoc_name(path: str) -> str:
    name = f"{ADHOC}{storable_text(path)}"
    return name if len(name) <= NAME_MAX_CHARS else f"{ADHOC}…{name[len(ADHOC) + 1 - NAME_MAX_CHARS :]}"


def _config(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise WrongUseError(f"Config file not found: {path}") from None
    except OSError as error:
        raise WrongUseError(f"Config file cannot be read: {path}: {error.strerror}") from None
    config = _json(text, f"Invalid JSON in config file: {path}")
    if not isinstance(config, dict):
        raise WrongUseError(f"Invalid JSON in config file: {path}: must be an object with nodes")
    return config


def _payload(asked: Asked, source: str, settings: Settings) -> tuple[str, Any]:
    """The flag that gave the payload, and the payload."""
    if asked.sample:
        return "--sample", sample(source, settings.source_timezones.get(source, UTC))
    if asked.payload is not None:
        return "--payload", _json(asked.payload.encode("utf-8", "replace"), "Invalid JSON in --payload")
    if asked.file:
        return "--file", _body(asked.file)
    return "", None


def _body(path: str) -> Any:
    try:
        body = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except FileNotFoundError:
        raise WrongUseError(f"File not found: {path}") from None
    except OSError as error:
        raise WrongUseError(f"--file {path}: cannot be read: {error.strerror}") from None
    try:
        return read_body(body, FORM_TYPE)
    except BodyError as error:
        raise WrongUseError(f"Invalid JSON in file {path}: {error}") from None


def _json(text: bytes, what: str) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=str)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise WrongUseError(f"{what}: {reason}") from None


def _parse(given: Given, driver: str) -> ParsedPayload:
    zones = given.settings.source_timezones
    try:
        parsed = sources.parse(given.payload, source=given.source or driver, zones=zones)
    except UnreadablePayloadError as error:
        hint = "; name its form with --source" if not given.source else ""
        reason = str(error).replace("post to /alerts/webhook/<source>/ with", "name its form with --source,")
        reason = reason.replace("; post to /alerts/webhook/<source>/", hint)
        raise WrongUseError(f"{given.payload_flag}: {reason}") from None
    if parsed.faults and not parsed.alerts:
        first = parsed.faults[0]
        raise WrongUseError(f"{given.payload_flag}: no alert could be read; {first.place}: {first.reason}")
    return parsed
