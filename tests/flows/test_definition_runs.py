"""Runs of definitions of one's own: conditions, nodes that may fail, and values that go from node to node."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from sinks import HttpSink
from sqlalchemy import select

from flows.direct import run_directly
from flows.execution import Outcome, PostponedError
from flows.report import markdown_report
from storage import channels, inbox, runs
from storage.database import Database
from storage.inbox import NewDelivery
from storage.tables import PipelineRun, StageExecution
from storage.vocabulary import RunStatus
from tasks.definition.checking import read_definition

FIRING = {"name": "Disk full", "severity": "critical", "labels": {"host": "db-1", "team": "db"}}
INGEST = {"id": "take", "type": "ingest"}
ANALYZE = {"id": "ai", "type": "intelligence", "config": {"provider": "local"}}
NOTIFY = {"id": "tell", "type": "notify"}
# A provider that is not configured: the node fails at once, and for good.
BROKEN = {"id": "broken", "type": "context", "config": {"checker_names": ["gone"]}, "required": False}
CHEAP = {"checker_names": ["reboot_required"]}


def make_run(database: Database, *nodes: dict[str, Any], payload: Any = FIRING, is_checked: bool = True) -> str:
    """A run of these nodes, one after the other, with a delivery where the first takes one in."""
    following = [*(node["id"] for node in nodes[1:]), None]
    config = {"nodes": [{**node, "next": after} for node, after in zip(nodes, following, strict=True)]}
    if is_checked:
        read_definition(config)
    delivery = NewDelivery(
        delivery_id=str(uuid4()),
        trace_id="trace-1",
        source="generic",
        pipeline="mine",
        environment="test",
        body=json.dumps(payload).encode(),
        sha256="0" * 64,
    )
    with database.write() as session:
        claimed = []
        if nodes[0]["type"] == "ingest":
            inbox.accept(session, [delivery])
            claimed = inbox.claim(session, pipeline="mine", limit=1)
        run = runs.create_run(
            session, definition_name="mine", definition_version=0, deliveries=claimed, definition_config=config
        )
        return run.run_id


def add_channel(database: Database, url: str, **config: Any) -> None:
    with database.write() as session:
        channels.add_channel(session, name="ops", driver="generic", config={"endpoint": url, **config})


def execute(run_id: str) -> Outcome:
    while True:
        try:
            return asyncio.run(run_directly(run_id))
        except PostponedError:
            continue


def stages_of(database: Database) -> dict[str, str]:
    """The last status of each node, with the reason of one that was skipped."""
    with database.read() as session:
        rows = list(session.scalars(select(StageExecution).order_by(StageExecution.id)))
    return {
        row.node_id: f"{row.status} {(row.output_snapshot or {}).get('skipped', '')}".strip()
        if row.status == "SKIPPED"
        else str(row.status)
        for row in rows
    }


def outputs_of(database: Database) -> dict[str, Any]:
    with database.read() as session:
        rows = list(session.scalars(select(StageExecution).order_by(StageExecution.id)))
    return {row.node_id: row.output_snapshot for row in rows}


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"when": 'severity >= "warning" and labels.team == "db" and status == "firing"'}, ""),
        ({"when": "take.alerts_created > 5"}, "when is false: take.alerts_created > 5"),
        ({"when": 'outputs["take"].alerts_created > 5'}, 'when is false: outputs["take"].alerts_created > 5'),
        ({"skip_if_condition": 'source == "generic"'}, 'skip_if_condition holds: source == "generic"'),
        ({"skip_if_condition": 'environment == "production"'}, ""),
    ],
    ids=["holds", "node", "outputs", "skip", "not-skipped"],
)
def test_condition_decides_whether_a_node_is_run(
    database: Database, http_sink: HttpSink, keys: dict[str, str], told: str
) -> None:
    add_channel(database, http_sink.url)

    outcome = execute(make_run(database, INGEST, NOTIFY | keys))

    assert outcome.status is (RunStatus.INGESTED if told else RunStatus.NOTIFIED)
    assert stages_of(database)["tell"] == (f"SKIPPED {told}" if told else "SUCCEEDED")
    assert len(http_sink.requests) == (0 if told else 1)


def test_node_that_may_fail_is_left_behind_and_shown(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    careful = {
        "id": "careful",
        "type": "transform",
        "config": {"source_node": "take"},
        "skip_if_errors": ["broken"],
    }
    run_id = make_run(database, INGEST, BROKEN, careful, NOTIFY | {"when": "broken.has_errors"}, is_checked=False)

    outcome = execute(run_id)
    again = execute(run_id)

    assert outcome.status is again.status is RunStatus.NOTIFIED
    assert stages_of(database) == {
        "take": "SUCCEEDED",
        "broken": "FAILED",
        "careful": "SKIPPED skip_if_errors: node broken failed",
        "tell": "SUCCEEDED",
    }
    assert len(http_sink.requests) == 1
    with database.read() as session:
        assert "Failed: broken: unknown checker 'gone'" in markdown_report(session, run_id)
        [run] = session.scalars(select(PipelineRun))
        assert run.last_error_message == ""


def test_run_of_nothing_but_failures_fails_and_is_resumed_from_the_failed_node(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = {"id": "flaky", "type": "context", "config": CHEAP, "required": False, "timeout_seconds": 60}
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", '{"gone": {}}')
    run_id = make_run(database, flaky, NOTIFY)

    outcome = execute(run_id)

    assert outcome.status is RunStatus.FAILED
    assert "gone" in outcome.message
    assert stages_of(database) == {"flaky": "FAILED", "tell": "SKIPPED nothing to tell: node flaky failed"}

    monkeypatch.setenv("WATCHKEEPER_CHECKERS", "{}")
    with database.write() as session:
        runs.resume(session, run_id)
    outcome = execute(run_id)

    assert outcome.status is not RunStatus.FAILED
    assert stages_of(database)["flaky"] == "SUCCEEDED"
    assert "failed" not in stages_of(database)["tell"]


def test_resume_does_not_try_again_what_the_run_went_on_without(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_MAX_RETRIES_PER_STAGE", "0")
    run_id = make_run(database, INGEST, BROKEN, ANALYZE, NOTIFY, is_checked=False)
    assert execute(run_id).status is RunStatus.FAILED  # there is no channel

    add_channel(database, http_sink.url)
    with database.write() as session:
        runs.resume(session, run_id)
    outcome = execute(run_id)

    assert outcome.status is RunStatus.NOTIFIED
    with database.read() as session:
        tried = [row.node_id for row in session.scalars(select(StageExecution).order_by(StageExecution.id))]
    assert tried == ["take", "broken", "ai", "tell", "tell"]


def test_retryable_failure_of_a_node_that_may_fail_is_tried_again_first(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_MAX_RETRIES_PER_STAGE", "1")
    http_sink.answer_with(*[503] * 20)
    add_channel(database, http_sink.url)
    second = NOTIFY | {"id": "second", "required": False}

    outcome = execute(make_run(database, INGEST, NOTIFY | {"required": False}, second))

    statuses = [(row.node_id, str(row.status)) for row in _rows(database)]
    assert ("tell", "RETRYING") in statuses
    assert ("tell", "FAILED") in statuses
    assert outcome.status is RunStatus.INGESTED


def _rows(database: Database) -> list[StageExecution]:
    with database.read() as session:
        return list(session.scalars(select(StageExecution).order_by(StageExecution.id)))


def test_transformed_values_reach_conditions_templates_and_other_transforms(
    database: Database, http_sink: HttpSink
) -> None:
    template = "{{ outputs.names.transformed.first }} of {{ outputs['all-of-it'].transformed | length }}"
    add_channel(database, http_sink.url, template=template)
    every = {"id": "all-of-it", "type": "transform", "config": {"source_node": "ai", "extract": "recommendations"}}
    names = {
        "id": "names",
        "type": "transform",
        "config": {"source_node": "all-of-it", "mapping": {"first": "transformed.0.priority", "none": "x.y"}},
    }
    when = {
        "when": 'names.transformed.first >= "low" and names.has_errors and not outputs["all-of-it"].has_errors'
    }

    outcome = execute(make_run(database, INGEST, ANALYZE, every, names, NOTIFY | when))

    outputs = outputs_of(database)
    first = outputs["all-of-it"]["transformed"][0]["priority"]
    assert outcome.status is RunStatus.NOTIFIED
    assert outputs["names"]["transformed"] == {"first": first, "none": None}
    assert outputs["names"]["errors"] == ["mapping.none: there is nothing at 'x.y'"]
    [request] = http_sink.requests
    assert f"{first} of {len(outputs['all-of-it']['transformed'])}" in json.loads(request.body)["message"]


def test_transform_of_what_was_skipped_says_so(database: Database) -> None:
    skipped = ANALYZE | {"when": 'severity < "info"'}
    empty = {"id": "empty", "type": "transform", "config": {"source_node": "ai", "extract": "summary"}}

    outcome = execute(make_run(database, INGEST, skipped, empty))

    assert outcome.status is RunStatus.INGESTED
    assert outputs_of(database)["empty"]["transformed"] is None
    assert "node ai was skipped: when is false" in outputs_of(database)["empty"]["errors"][0]


def test_two_nodes_of_one_type_keep_their_own_outputs(database: Database) -> None:
    quiet = {**CHEAP, "incidents": False}
    outcome = execute(
        make_run(
            database,
            {"id": "one", "type": "context", "config": {**quiet, "hostname": "a"}},
            {"id": "two", "type": "context", "config": {**quiet, "hostname": "b"}},
        )
    )

    assert outcome.status is RunStatus.CHECKED
    assert {node: output["hostname"] for node, output in outputs_of(database).items()} == {"one": "a", "two": "b"}
