"""What a definition, the settings and the kept headers tell the ingest node."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rows import add_delivery
from sinks import HttpSink
from sqlalchemy import select

from flows.direct import run_directly
from storage import channels, definitions, inbox, runs
from storage.database import Database
from storage.tables import Alert, Incident

PIPELINE = "direct"


@pytest.fixture(autouse=True)
def channel(database: Database, http_sink: HttpSink) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})


def run(database: Database) -> None:
    with database.write() as session:
        claimed = inbox.claim(session, pipeline=PIPELINE, limit=10)
        made = runs.create_run(session, definition_name=PIPELINE, definition_version=0, deliveries=claimed)
    asyncio.run(run_directly(made.run_id))


def test_group_by_of_the_node_puts_two_hosts_into_one_incident(database: Database) -> None:
    nodes = [
        {"id": "ingest", "type": "ingest", "config": {"group_by": ["service"]}, "next": "notify"},
        {"id": "notify", "type": "notify"},
    ]
    with database.write() as session:
        definitions.save(session, name=PIPELINE, config={"version": "1.0", "nodes": nodes})
        for host in ("web-1", "web-2"):
            body = json.dumps({"name": f"Slow on {host}", "labels": {"host": host, "service": "shop"}}).encode()
            add_delivery(session, body=body, pipeline=PIPELINE, source="generic")

    run(database)

    with database.read() as session:
        assert len(session.scalars(select(Alert)).all()) == 2
        assert len(session.scalars(select(Incident)).all()) == 1


def test_zone_of_a_source_is_applied_to_what_it_delivers(
    database: Database, payloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_SOURCE_TIMEZONES", '{"zabbix": "Europe/Berlin"}')
    body = (payloads / "zabbix/01_problem_high.json").read_bytes()
    with database.write() as session:
        add_delivery(session, body=body, pipeline=PIPELINE, source="zabbix")

    run(database)

    with database.read() as session:
        assert session.scalars(select(Alert)).one().started_at == datetime(2026, 9, 17, 21, 58, 41, tzinfo=UTC)


def test_form_is_read_by_the_content_type_that_was_kept(database: Database) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with database.write() as session:
        add_delivery(session, body=b"name=Disk+full", headers=headers, pipeline=PIPELINE, source="generic")

    run(database)

    with database.read() as session:
        assert session.scalars(select(Alert)).one().name == "Disk full"
