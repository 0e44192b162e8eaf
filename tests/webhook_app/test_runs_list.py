"""`/orchestration/pipelines/`: the list of runs."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from relaying import accept
from rows import add_incident

from storage import inbox, runs
from storage.database import Database
from storage.tables import PipelineRun
from storage.vocabulary import RunStatus, RunVia


@pytest.fixture
def three(database: Database) -> list[str]:
    """The ids of three runs, oldest first; the second has failed."""
    with database.write() as session:
        made = [runs.create_run(session, definition_name="full", definition_version=1) for _ in range(3)]
        made[1].status = RunStatus.FAILED
        return [run.run_id for run in made]


def listed(client: FlaskClient, query: str) -> list[str]:
    """The run ids that the list gives."""
    response = client.get(f"/orchestration/pipelines/?{query}")
    assert response.status_code == 200, response.json
    return [run["run_id"] for run in response.json["pipelines"]]


def test_pages_go_on_after_the_last_run(client: FlaskClient, three: list[str]) -> None:
    first = client.get("/orchestration/pipelines/?limit=2").json
    second = client.get(first["next_url"]).json

    assert [run["run_id"] for page in (first, second) for run in page["pipelines"]] == three[::-1]
    assert second["next"] is None


def test_completed_is_what_is_over_and_did_not_fail(
    client: FlaskClient, three: list[str], database: Database
) -> None:
    with database.write() as session:
        runs.complete(session.query(PipelineRun).filter_by(run_id=three[0]).one(), RunStatus.CHECKED)

    assert listed(client, "status=completed") == [three[0]]
    assert listed(client, "status=failed,completed") == [three[1], three[0]]
    assert listed(client, "status=running,completed") == [three[2], three[1], three[0]]


@pytest.mark.parametrize(
    "fields",
    [
        {"definition_name": "direct"},
        {"source": "grafana"},
        {"environment": "staging"},
        {"trace_id": "trace-9"},
        {"via": RunVia.DIRECT},
        {"incident_id": 1},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_list_is_of_what_is_asked_for(
    client: FlaskClient, three: list[str], database: Database, fields: dict[str, Any]
) -> None:
    with database.write() as session:
        add_incident(session, id=1)
        run = session.query(PipelineRun).filter_by(run_id=three[1]).one()
        for name, value in fields.items():
            setattr(run, name, value)
    name, value = next(iter(fields.items()))
    asked = {"definition_name": "pipeline"}.get(name, name)

    assert listed(client, f"{asked}={value}") == [three[1]]
    assert listed(client, f"{asked}={value}&status=notified") == []


def test_run_is_found_by_the_trace_of_a_delivery_that_it_took_with_others(
    client: FlaskClient, database: Database
) -> None:
    accept(database, "a", "b")
    with database.write() as session:
        taken = inbox.claim(session, pipeline="direct", limit=10)
        run = runs.create_run(session, definition_name="direct", definition_version=1, deliveries=taken)

    assert listed(client, "trace_id=trace-b&since=1h") == [run.run_id]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=open", "status: one of PENDING"),
        ("limit=201", "limit: a whole number from 1 to 200"),
        ("cursor=x", "cursor: not one that an answer gave"),
        ("state=failed", "unknown parameter state; known: status, pipeline, source"),
        ("incident_id=9223372036854775808", "incident_id: a whole number"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(client: FlaskClient, query: str, words: str) -> None:
    response = client.get(f"/orchestration/pipelines/?{query}")

    assert response.status_code == 400
    assert words in response.json["error"]
