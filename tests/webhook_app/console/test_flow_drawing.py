"""Runs are drawn as flows: each node with its status in a word and a shape."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from sqlalchemy.orm import Session

from storage import definitions, runs, stages
from storage.database import Database
from storage.settings import Settings
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus, Stage, StageStatus
from webhook_app.app import create_app
from webhook_app.console.flow_drawing import DrawnNode, draw, nodes_in_order, nodes_of_runs, run_drawings

CONFIG: dict[str, Any] = {
    "nodes": [
        {"id": "tell", "type": "notify"},
        {"id": "in", "type": "ingest", "next": "look"},
        {"id": "look", "type": "context", "next": "tell"},
    ]
}


@pytest.fixture(autouse=True)
def app(database: Database, tmp_path: Any) -> Iterator[Flask]:
    """The app, within a request."""
    app = create_app(Settings(home=tmp_path), database)
    with app.test_request_context("/admin/"):
        yield app


def test_node_that_was_tried_twice_is_drawn_with_its_last_attempt(database: Database) -> None:
    with database.write() as session:
        run = _run(session)
        stages.fail(_begin(session, run, "in"), error=ValueError("no"), stack="", retryable=True, is_last=False)
        stages.succeed(_begin(session, run, "in"), {"stage": "INGEST"})

        nodes = nodes_of_runs(session, [run])[run.id]

    assert [(node.id, node.type, node.status, node.attempts) for node in nodes] == [
        ("in", "ingest", StageStatus.SUCCEEDED, 2),
        ("look", "context", StageStatus.PENDING, 0),
        ("tell", "notify", StageStatus.PENDING, 0),
    ]


def test_node_that_was_passed_over_says_why_and_one_after_a_failure_was_not_reached(database: Database) -> None:
    with database.write() as session:
        run = _run(session)
        stages.skip(
            session, run_pk=run.id, run_id=run.run_id, stage=Stage.INGEST, node_id="in", reason="when is false: x"
        )
        failed = _begin(session, run, "look", Stage.CHECK)
        stages.fail(failed, error=ValueError("<b>broken</b>"), stack="", retryable=False, is_last=True)
        run.status, run.completed_at = RunStatus.FAILED, utc_now()
        session.flush()

        drawing = run_drawings(session, [run])[run.id]

    assert "when is false: x" in drawing
    assert "&lt;b&gt;broken" in drawing
    assert "not reached" in drawing
    assert f"/admin/stages/details/?id={failed.id}" in drawing


def test_run_is_drawn_by_the_version_that_it_began_with(database: Database) -> None:
    with database.write() as session:
        saved = definitions.save(session, name="mine", config=CONFIG)
        run = _run(session, definition_name="mine", definition_version=saved.version)
        definitions.save(session, name="mine", config={"nodes": [{"id": "other", "type": "notify"}]})

        nodes = nodes_of_runs(session, [run])[run.id]

    assert [node.id for node in nodes] == ["in", "look", "tell"]


def test_run_whose_definition_is_gone_is_drawn_by_what_was_done(database: Database) -> None:
    with database.write() as session:
        run = _run(session, definition_name="gone", definition_version=3)
        stages.succeed(_begin(session, run, "first"), {"stage": "INGEST"})

        nodes = nodes_of_runs(session, [run])[run.id]

    assert [(node.id, node.status) for node in nodes] == [("first", StageStatus.SUCCEEDED)]


def test_runs_of_presets_and_of_configs_that_nobody_saved_are_drawn_too(database: Database) -> None:
    with database.write() as session:
        of_preset = _run(session, definition_name="direct")
        resending = _run(session, definition_name="redelivery")
        own = _run(session, definition_name="__adhoc__x.json", definition_config=CONFIG)

        nodes = nodes_of_runs(session, [of_preset, resending, own])

    assert [node.id for node in nodes[of_preset.id]] == ["ingest", "notify"]
    assert [node.type for node in nodes[resending.id]] == ["notify"]
    assert [node.id for node in nodes[own.id]] == ["in", "look", "tell"]


def test_many_runs_are_drawn_with_as_many_statements_as_one(database: Database) -> None:
    with database.write() as session:
        drawn = [_run(session, definition_config=CONFIG) for _ in range(12)]
        for run in drawn:
            stages.succeed(_begin(session, run, "in"), {"stage": "INGEST"})
        pks = [run.id for run in drawn]
    said: list[str] = []
    with database.read() as session:
        found = list(session.query(PipelineRun).where(PipelineRun.id.in_(pks)))
        event.listen(session.get_bind(), "before_cursor_execute", lambda *given: said.append(given[2]))
        drawings = run_drawings(session, found)

    assert (len(drawings), len(said)) == (12, 2)


def test_what_a_stranger_names_a_node_is_escaped_and_secrets_of_its_config_are_hidden() -> None:
    drawing = draw([DrawnNode("<script>", "notify", config={"token": "s3cret-value"}, remark="<img src=x>")])

    assert "<script>" not in drawing
    assert "<img" not in drawing
    assert "s3cret-value" not in drawing


@pytest.mark.parametrize("config", [None, {}, {"nodes": "x"}, {"nodes": [1, {"id": 2}, {"type": "notify"}]}])
def test_config_that_cannot_be_read_has_no_nodes(config: dict[str, Any] | None) -> None:
    assert nodes_in_order(config) == []


def test_nodes_that_the_path_does_not_reach_come_last() -> None:
    nodes = nodes_in_order(
        {"nodes": [{"id": "z", "next": []}, {"id": "a", "next": "b"}, {"id": "b", "next": "a"}]}
    )

    assert [node["id"] for node in nodes] == ["z", "a", "b"]


def _run(session: Session, **given: Any) -> PipelineRun:
    fields: dict[str, Any] = {"definition_name": "mine", "definition_version": 0, "definition_config": None}
    if not given:
        fields["definition_config"] = CONFIG
    return runs.create_run(session, **(fields | given))


def _begin(session: Session, run: PipelineRun, node_id: str, stage: Stage = Stage.INGEST) -> Any:
    return stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=stage, node_id=node_id)
