"""`/orchestration/pipelines/`: the list of runs."""

import pytest
from flask.testing import FlaskClient

from storage import runs
from storage.database import Database
from storage.vocabulary import RunStatus


@pytest.fixture
def three(database: Database) -> list[str]:
    """The ids of three runs, oldest first; the second has failed."""
    with database.write() as session:
        made = [runs.create_run(session, definition_name="full", definition_version=1) for _ in range(3)]
        made[1].status = RunStatus.FAILED
        return [run.run_id for run in made]


def test_pages_go_on_before_the_last_run(client: FlaskClient, three: list[str]) -> None:
    first = client.get("/orchestration/pipelines/?limit=2").json
    second = client.get(f"/orchestration/pipelines/?limit=2&before={first['next_before']}").json

    assert [run["run_id"] for page in (first, second) for run in page["pipelines"]] == three[::-1]
    assert second["next_before"] is None


def test_status_may_be_written_in_small_letters(client: FlaskClient, three: list[str]) -> None:
    listed = client.get("/orchestration/pipelines/?status=failed").json

    assert [run["run_id"] for run in listed["pipelines"]] == [three[1]]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=open", "status: one of PENDING"),
        ("limit=201", "limit: a whole number from 1 to 200"),
        ("before=x", "before: a whole number"),
        ("state=failed", "unknown parameter state; known: status, limit, before"),
        ("before=9223372036854775808", "before: a whole number"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(client: FlaskClient, query: str, words: str) -> None:
    response = client.get(f"/orchestration/pipelines/?{query}")

    assert response.status_code == 400
    assert words in response.json["error"]
