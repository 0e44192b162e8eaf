"""Runs with an analysis, for tests: an active provider, an alert, and what is stored in the end."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from flows.direct import run_directly
from flows.execution import Outcome, PostponedError
from storage import channels, definitions, inbox, providers, runs
from storage.database import Database
from storage.inbox import NewDelivery
from tasks.definition.library import find_definition

PIPELINE = "analyzed"


def activate(database: Database, kind: str, config: dict[str, Any]) -> None:
    """Let this be the active provider."""
    with database.write() as session:
        providers.remove_provider(session, "mine")
        providers.add_provider(session, name="mine", provider=kind, config=config)
        providers.activate(session, "mine")


def save_pipeline(database: Database, url: str, *, node: dict[str, Any] | None = None, **config: Any) -> None:
    """Ingest, analysis and notification, told to a channel at this URL."""
    nodes = [
        {"id": "ingest", "type": "ingest", "next": "analyze"},
        {"id": "analyze", "type": "intelligence", "config": config, "next": "notify", **(node or {})},
        {"id": "notify", "type": "notify"},
    ]
    with database.write() as session:
        definitions.save(session, name=PIPELINE, config={"version": "1.0", "nodes": nodes})
        channels.add_channel(session, name="people", driver="generic", config={"endpoint": url})


def add_run(database: Database, *alerts: dict[str, Any]) -> str:
    """A run of these alerts, one delivery each, as the relay makes it."""
    deliveries = [
        NewDelivery(
            delivery_id=str(uuid4()),
            trace_id="trace-1",
            source="generic",
            pipeline=PIPELINE,
            environment="test",
            body=json.dumps(alert).encode(),
            sha256="0" * 64,
        )
        for alert in alerts
    ]
    with database.write() as session:
        inbox.accept(session, deliveries)
        claimed = inbox.claim(session, pipeline=PIPELINE, limit=1000)
        version = find_definition(session, PIPELINE).version
        run = runs.create_run(session, definition_name=PIPELINE, definition_version=version, deliveries=claimed)
        return run.run_id


def alert(host: str, severity: str = "critical") -> dict[str, Any]:
    """A full disk on this host."""
    return {"name": f"Disk full on {host}", "severity": severity, "labels": {"host": host}}


def execute(run_id: str) -> Outcome:
    """Run it until it ends or is put down."""
    return asyncio.run(run_directly(run_id))


def execute_to_the_end(run_id: str) -> Outcome:
    """Run it, and go on each time it is put down, without waiting."""
    while True:
        try:
            return execute(run_id)
        except PostponedError:
            continue


def rows(database: Database, table: type) -> list[Any]:
    """All rows of a table in the order in which they were written."""
    with database.read() as session:
        return list(session.scalars(select(table).order_by(table.id)))
