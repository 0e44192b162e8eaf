"""`/orchestration/`: ordering runs, resuming and cancelling them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from analyzing import execute_to_the_end
from flask.testing import FlaskClient
from notifying import add_channel
from relaying import count
from sinks import HttpSink
from sqlalchemy import select

from storage import definitions, runs, stages, workers
from storage.database import Database
from storage.tables import Delivery, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus, RunStatus, Stage
from webhook_app import places

ORDER = "/orchestration/pipeline/"
ALERT = {"name": "Disk full", "severity": "critical", "labels": {"host": "db-1"}}


@contextmanager
def working(database: Database) -> Iterator[None]:
    """Somebody who executes what is queued, as a worker does."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(0.05):
            with database.read() as session:
                waiting = runs.find_unheld(session, idle_before=utc_now())
            for run in waiting:
                execute_to_the_end(run.run_id)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        is_over.set()
        worker.join()


def test_ordered_run_is_queued_with_its_payload_as_a_delivery(client: FlaskClient, database: Database) -> None:
    order = {"payload": ALERT, "environment": "staging", "trace_id": "my-trace", "definition": "direct"}

    response = client.post(ORDER, json=order)

    told = response.json
    assert (response.status_code, told["status"], told["pipeline"]) == (202, "queued", "direct")
    assert (told["trace_id"], told["environment"], told["source"]) == ("my-trace", "staging", "generic")
    assert told["task_id"] == told["run_id"]
    assert told["message"].startswith("Pipeline queued for execution; no worker lives")
    shown = client.get(told["status_url"]).json
    assert [delivery["status"] for delivery in shown["deliveries"]] == [DeliveryStatus.CLAIMED]
    with database.read() as session:
        assert runs.has_queued(session)
        assert session.scalar(select(Delivery.trace_id)) == "my-trace"


def test_answer_names_the_flow_run_that_a_worker_has_made_by_then(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        workers.beat(session, owner="w", hostname="h", pid=1, slots=1, in_flight=0, has_prefect=True)

    def begin() -> None:
        while True:
            with database.write() as session:
                if run := session.scalar(select(PipelineRun)):
                    run.flow_run_id, run.started_at = "flow-run-1", utc_now()
                    return
            time.sleep(0.05)

    threading.Thread(target=begin).start()
    told = client.post(ORDER).json

    assert (told["flow_run_id"], told["message"]) == ("flow-run-1", "Pipeline queued for execution")
    assert told["pipeline"] == "full"


def test_sync_order_answers_the_whole_result(client: FlaskClient, database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "ops", http_sink.url)

    with working(database):
        response = client.post(f"{ORDER}sync/", json={"payload": ALERT, "definition": "direct"})

    told = response.json
    assert (response.status_code, told["status"], told["run_status"]) == (200, "COMPLETED", "NOTIFIED")
    assert told["stages_completed"] == ["INGEST", "NOTIFY"]
    assert (told["ingest"]["alerts_created"], told["check"], told["final_error"]) == (1, None, None)
    assert told["notify"] == told["nodes"]["notify"]
    assert len(http_sink.requests) == 1


def test_sync_order_of_a_run_that_fails_says_where_and_why(client: FlaskClient, database: Database) -> None:
    def fail() -> None:
        while True:
            with database.write() as session:
                if run := session.scalar(select(PipelineRun)):
                    of_run = {"run_pk": run.id, "run_id": run.run_id}
                    row = stages.begin_attempt(session, **of_run, stage=Stage.NOTIFY, node_id="tell")
                    stages.fail(row, error=ValueError("no"), stack="", retryable=False, is_last=True)
                    runs.fail(run, error_type="ValueError", message="token=abcdefgh12", retryable=False)
                    return
            time.sleep(0.05)

    threading.Thread(target=fail).start()
    response = client.post(f"{ORDER}sync/", json={"payload": ALERT})

    told = response.json
    assert (response.status_code, told["status"], told["stages_completed"]) == (200, "FAILED", [])
    assert (told["final_error"]["stage"], told["final_error"]["node_id"]) == ("NOTIFY", "tell")
    assert "abcdefgh12" not in response.text


def test_sync_order_that_takes_too_long_goes_on_alone(client: FlaskClient) -> None:
    response = client.post(f"{ORDER}sync/", json={"payload": ALERT, "timeout_seconds": 0.1})

    assert response.status_code == 202
    assert response.json["message"] == "not over after 0.1 s; see status_url"
    assert client.get(response.json["status_url"]).json["status"] == "PENDING"


def test_those_who_wait_leave_threads_to_others(client: FlaskClient, database: Database) -> None:
    order = {"payload": ALERT, "timeout_seconds": 60}
    make = client.application.test_client
    people = [
        threading.Thread(target=lambda: make().post(f"{ORDER}sync/", json=order)) for _ in range(places.WAITERS)
    ]
    for each in people:
        each.start()
    while count(database, PipelineRun) < places.WAITERS:
        time.sleep(0.02)

    refused = client.post(f"{ORDER}sync/", json=order)
    taken = client.post(ORDER, json={"payload": ALERT})

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert taken.status_code == 202
    assert count(database, PipelineRun) == places.WAITERS + 1
    with database.write() as session:
        for run in session.scalars(select(PipelineRun)):
            runs.complete(run, RunStatus.NOTIFIED)
    for each in people:
        each.join()


@pytest.mark.parametrize(
    ("order", "status", "words"),
    [
        ({"definition": "no-such"}, 400, "definition: there is no pipeline of that name; one of ai-analyzed"),
        ({"definition": "redelivery"}, 400, "definition: there is no pipeline of that name"),
        ({"definition": "off"}, 409, "definition: 'off' is not active"),
        ({"definition": "faulty"}, 409, "definition: 'faulty' cannot be run"),
        ({"source": "nagios"}, 400, "source: one of"),
        ({"definition": "local-monitor", "payload": ALERT}, 400, "payload: nothing in pipeline 'local-monitor'"),
        ({"payload": {"hello": 1}}, 400, "payload: no source recognises this payload"),
        ({"payload": "text"}, 400, "payload"),
        ({"trace_id": "a b"}, 400, "trace_id"),
        ({"pipeline": "full"}, 400, "pipeline: unknown; known: payload, source"),
    ],
    ids=["unknown", "internal", "inactive", "faulty", "source", "unread", "unreadable", "text", "trace", "key"],
)
def test_order_that_cannot_be_carried_out_is_refused_and_makes_no_run(
    client: FlaskClient, database: Database, order: dict[str, Any], status: int, words: str
) -> None:
    with database.write() as session:
        nodes = [{"id": "ingest", "type": "ingest"}]
        definitions.save(session, name="off", config={"nodes": nodes})
        definitions.set_active(session, "off", is_active=False)
        definitions.save(session, name="faulty", config={"nodes": []})

    response = client.post(ORDER, json=order)

    assert (response.status_code, words in response.json["error"]) == (status, True), response.json
    with database.read() as session:
        assert session.scalar(select(PipelineRun.id)) is None


def test_failed_run_is_resumed_once_and_others_are_not(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        run = runs.create_run(session, definition_name="full", definition_version=1)
        runs.fail(run, error_type="X", message="password=hunter2", retryable=True)
        url = f"{ORDER}{run.run_id}/"

    first, second = client.post(f"{url}resume/"), client.post(f"{url}resume/")

    assert (first.status_code, first.json["status"], first.json["status_url"]) == (202, "RETRYING", url)
    assert "hunter2" not in first.text
    assert (second.status_code, second.json["run_status"]) == (409, "RETRYING")
    assert client.post(f"{ORDER}none/resume/").status_code == 404


def test_run_is_cancelled_while_it_is_not_over(client: FlaskClient, database: Database) -> None:
    url = client.post(ORDER, json={"payload": ALERT}).json["status_url"]

    assert client.post(f"{url}cancel/").json["cancel_requested_at"]
    with working(database):
        while not client.get(url).json["completed_at"]:
            time.sleep(0.05)
    assert client.post(f"{url}cancel/").status_code == 409
    assert client.post(f"{ORDER}none/cancel/").status_code == 404
