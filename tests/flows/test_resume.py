"""Resume at every stage of every preset: it goes on after the last stage that succeeded, whose effects stay one.

Here without Prefect, directly; the ways through Prefect's server are in test_resume_in_prefect.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from moody import MoodySink
from refusing import EFFECTS, refusing
from sqlalchemy import func, select

from flows.direct import run_directly
from flows.execution import Outcome, PostponedError
from storage import channels, definitions, inbox, runs
from storage.database import Database
from storage.inbox import NewDelivery
from storage.tables import Alert, AnalysisRun, CheckRun, Incident, Notification, StageExecution
from storage.tables.notify import ChannelState
from storage.vocabulary import NotificationStatus, RunStatus, StageStatus
from tasks.definition.presets import PRESETS, preset

EVERY_STAGE = [(name, node.id) for name in PRESETS for node in preset(name).path()]
# Both databases where the way is longest; each of the others once.
CASES = [("sqlite", *case) for case in EVERY_STAGE] + [
    ("postgresql", *case) for case in EVERY_STAGE if case[0] == "full"
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try each; this host is found unwell by its memory, so that there is something to tell."""
    monkeypatch.setenv("ORCHESTRATION_MAX_RETRIES_PER_STAGE", "0")
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0")
    checkers = {"memory": {"warning_threshold": 0.001}, "cpu": {"samples": 1, "sample_interval": 0.01}}
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", json.dumps(checkers))


@pytest.fixture
def sink(database: Database) -> Iterator[MoodySink]:
    """The only channel; what it refuses, it refuses for good."""
    with MoodySink(refusal=404) as sink:
        with database.write() as session:
            channels.add_channel(session, name="sink", driver="generic", config={"endpoint": sink.url})
        yield sink


@pytest.mark.parametrize(
    ("database_url", "pipeline", "node_id"), CASES, indirect=["database_url"], ids=["-".join(c) for c in CASES]
)
def test_run_that_failed_at_a_stage_goes_on_from_there(
    database: Database, sink: MoodySink, pipeline: str, node_id: str
) -> None:
    run_id = make_run(database, pipeline)
    path = [node.id for node in preset(pipeline).path()]

    with failing(database, sink, pipeline, node_id):
        failed = execute(run_id)
    before = effects(database)
    sent_before = len(sink.requests)
    with database.write() as session:
        runs.resume(session, run_id)
    resumed = execute(run_id)

    assert (failed.status, resumed.status) == (RunStatus.FAILED, RunStatus.NOTIFIED)
    assert stage_rows(database) == {
        **{(node, StageStatus.SUCCEEDED): 1 for node in path},
        (node_id, StageStatus.FAILED): 1,
    }
    after = effects(database)
    done_before = path[: path.index(node_id)]
    assert {kind: before[kind] for kind in kinds_of(pipeline, done_before)} == {
        kind: after[kind] for kind in kinds_of(pipeline, done_before)
    }
    assert len(after["Incident"]) == len(after["Alert"])
    assert len(after["Notification"]) == len(set(after["Notification"]))
    told = Counter(request.headers["Idempotency-Key"] for request in sink.requests[sent_before:])
    assert set(told.values()) == {1}
    assert told.keys() == after_keys(database)


def test_each_node_has_all_its_tries_again_after_a_resume(
    database: Database, sink: MoodySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_MAX_RETRIES_PER_STAGE", "1")
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[0]")
    run_id = make_run(database, "direct")
    sink.answer_with(503, 503, 503)

    first = execute_to_the_end(run_id)
    with database.write() as session:
        session.execute(ChannelState.__table__.delete())  # what was refused just now would be left alone for long
        runs.resume(session, run_id)
    second = execute_to_the_end(run_id)

    assert (first.status, second.status) == (RunStatus.FAILED, RunStatus.NOTIFIED)
    with database.read() as session:
        tries = session.scalars(
            select(StageExecution.status)
            .where(StageExecution.node_id == "notify")
            .order_by(StageExecution.attempt)
        ).all()
    assert tries == [StageStatus.RETRYING, StageStatus.FAILED, StageStatus.RETRYING, StageStatus.SUCCEEDED]


def test_cancelled_run_that_is_begun_again_as_by_prefects_retry_forgets_the_cancel(
    database: Database, sink: MoodySink
) -> None:
    run_id = make_run(database, "direct")
    with database.write() as session:
        runs.request_cancel_of(session, run_id)

    cancelled, again = execute(run_id), execute(run_id)

    assert (cancelled.is_cancelled, cancelled.status) == (True, RunStatus.FAILED)
    assert (again.is_cancelled, again.status) == (False, RunStatus.NOTIFIED)
    assert len(sink.requests) == 1


def test_run_goes_on_with_the_version_it_began_with_whatever_was_saved_since(
    database: Database, sink: MoodySink
) -> None:
    began_with = {"nodes": [{"id": "in", "type": "ingest", "next": "tell"}, {"id": "tell", "type": "notify"}]}
    since = {"nodes": [{"id": "in", "type": "ingest"}]}
    with database.write() as session:
        version = definitions.save(session, name="mine", config=began_with).version
    run_id = make_run(database, "mine", version=version)
    sink.refused = {""}
    execute(run_id)
    sink.refused = set()

    with database.write() as session:
        definitions.save(session, name="mine", config=since)
        runs.resume(session, run_id)
    resumed = execute(run_id)

    assert resumed.status is RunStatus.NOTIFIED
    assert stage_rows(database)["tell", StageStatus.SUCCEEDED] == 1


def test_run_that_did_not_fail_cannot_be_resumed(database: Database, sink: MoodySink) -> None:
    run_id = make_run(database, "direct")
    execute(run_id)

    with pytest.raises(runs.RunStateError, match="did not fail"), database.write() as session:
        runs.resume(session, run_id)

    assert len(sink.requests) == 1


@contextmanager
def failing(database: Database, sink: MoodySink, pipeline: str, node_id: str) -> Iterator[None]:
    """Inside the block the node fails: its channel refuses the message, or the database what it has found."""
    kind = next(node.type for node in preset(pipeline).nodes if node.id == node_id)
    if kind == "notify":
        sink.refused.add("")
        yield
        sink.refused.clear()
        return
    with refusing(database, EFFECTS[kind]):
        yield


def make_run(database: Database, pipeline: str, *, version: int = 0) -> str:
    """A run of the pipeline, with a webhook's delivery where it takes one; a saved one takes it."""
    takes = bool(version) or any(node.type == "ingest" for node in preset(pipeline).nodes)
    body = {"name": "Disk full", "severity": "critical", "labels": {"host": "db-1"}}
    new = NewDelivery(
        delivery_id=str(uuid4()),
        trace_id="trace",
        source="generic",
        pipeline=pipeline,
        environment="test",
        body=json.dumps(body).encode(),
        sha256="0" * 64,
    )
    with database.write() as session:
        if takes:
            inbox.accept(session, [new])
        claimed = inbox.claim(session, pipeline=pipeline, limit=1)
        run = runs.create_run(session, definition_name=pipeline, definition_version=version, deliveries=claimed)
        return run.run_id


def execute(run_id: str) -> Outcome:
    return asyncio.run(run_directly(run_id))


def execute_to_the_end(run_id: str) -> Outcome:
    for _ in range(10):
        try:
            return execute(run_id)
        except PostponedError:
            continue
    raise AssertionError("the run is put down again and again")


def stage_rows(database: Database) -> dict[tuple[str, StageStatus], int]:
    with database.read() as session:
        rows = session.execute(select(StageExecution.node_id, StageExecution.status))
        return dict(Counter(tuple(row) for row in rows))


def effects(database: Database) -> dict[str, list[Any]]:
    """What the stages left, by table: the keys of its rows."""
    with database.read() as session:
        return {
            table.__name__: list(session.scalars(select(table.id).order_by(table.id)))
            for table in (Alert, Incident, CheckRun, AnalysisRun)
        } | {"Notification": list(session.scalars(select(Notification.idempotency_key)))}


def kinds_of(pipeline: str, node_ids: list[str]) -> list[str]:
    """The tables that these nodes write."""
    tables = {"ingest": ["Alert", "Incident"], "context": ["CheckRun"], "intelligence": ["AnalysisRun"]}
    types = {node.id: node.type for node in preset(pipeline).nodes}
    return [table for node_id in node_ids for table in tables.get(types[node_id], [])]


def after_keys(database: Database) -> set[str]:
    with database.read() as session:
        return set(
            session.scalars(
                select(Notification.idempotency_key).where(
                    Notification.status == NotificationStatus.SENT, func.length(Notification.channel) > 0
                )
            )
        )
