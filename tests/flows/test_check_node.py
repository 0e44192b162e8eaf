"""Pipelines of several check nodes, on both databases: which nodes run, and who is told what."""

import asyncio
import json
from typing import Any

import pytest
from sinks import HttpSink
from sqlalchemy import select

from flows.direct import run_directly
from storage import channels, definitions, runs
from storage.database import Database
from storage.tables import AnalysisRun, StageExecution
from storage.vocabulary import RunStatus, StageStatus
from tasks.definition.kinds import KINDS

QUIET = {"warning_threshold": 1e6, "critical_threshold": 2e6}
LOUD = {"warning_threshold": 0, "critical_threshold": 0}
SUCCEEDED, SKIPPED = StageStatus.SUCCEEDED, StageStatus.SKIPPED


@pytest.fixture
def told_people(database: Database, http_sink: HttpSink) -> HttpSink:
    """Where the messages arrive."""
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    return http_sink


def check_node(name: str, limits: dict[str, float], *, then: str) -> dict[str, Any]:
    config = {"checker_names": [name], "checkers": {name: limits}}
    return {"id": name, "type": "context", "config": config, "next": then}


def execute(database: Database, *nodes: dict[str, Any]) -> RunStatus:
    """A run of these check nodes and a notify node after them."""
    notify = {"id": "notify", "type": "notify"}
    with database.write() as session:
        definitions.save(session, name="own", config={"version": "1.0", "nodes": [*nodes, notify]})
        run_id = runs.create_run(session, definition_name="own", definition_version=1).run_id
    return asyncio.run(run_directly(run_id)).status


def attempts(database: Database) -> dict[str, StageExecution]:
    with database.read() as session:
        rows = session.scalars(select(StageExecution).order_by(StageExecution.id))
        return {row.node_id: row for row in rows}


def test_what_only_the_second_check_node_finds_is_told(database: Database, told_people: HttpSink) -> None:
    status = execute(database, check_node("load", QUIET, then="memory"), check_node("memory", LOUD, then="notify"))

    assert status is RunStatus.NOTIFIED
    assert {node: row.status for node, row in attempts(database).items()} == {
        "load": SUCCEEDED,
        "memory": SUCCEEDED,
        "notify": SUCCEEDED,
    }
    [request] = told_people.requests
    assert json.loads(request.body)["title"].startswith("[FIRING] critical: memory check on ")


def test_what_only_the_first_check_node_finds_is_told(database: Database, told_people: HttpSink) -> None:
    status = execute(database, check_node("memory", LOUD, then="load"), check_node("load", QUIET, then="notify"))

    assert status is RunStatus.NOTIFIED
    [request] = told_people.requests
    assert json.loads(request.body)["title"].startswith("[FIRING] critical: memory check on ")


def test_nobody_is_told_where_no_check_node_found_anything(database: Database, told_people: HttpSink) -> None:
    status = execute(
        database, check_node("load", QUIET, then="memory"), check_node("memory", QUIET, then="notify")
    )

    stages = attempts(database)
    assert status is RunStatus.CHECKED
    assert [row.status for row in stages.values()] == [SUCCEEDED, SUCCEEDED, SKIPPED]
    assert stages["notify"].output_snapshot == {
        "skipped": "nothing new to tell: 2 checks passed, 0 did not, 0 do not apply"
    }
    assert told_people.requests == []


def test_only_stages_that_wait_for_something_outside_need_no_place_meanwhile() -> None:
    assert [name for name, kind in KINDS.items() if kind.is_waiting] == ["context", "intelligence"]


@pytest.mark.usefixtures("told_people")
def test_what_does_not_apply_to_the_host_is_no_input_of_an_analysis(database: Database) -> None:
    config = {"checker_names": ["memory", "process"], "checkers": {"memory": LOUD}}  # no process is named

    execute(
        database,
        {"id": "check", "type": "context", "config": config, "next": "analyze"},
        {"id": "analyze", "type": "intelligence", "config": {"provider": "local"}, "next": "notify"},
    )

    with database.read() as session:
        summary = session.scalars(select(AnalysisRun.input_summary)).one()
    assert summary.endswith("; 1 check results")
