"""Runs executed without Prefect, on both databases: the nodes are the same ones that its tasks wrap."""

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sinks import HttpSink
from sqlalchemy import func, select

from flows.direct import run_directly
from flows.execution import CancelledRunError, Outcome, PostponedError
from flows.verdict import judge
from storage import channels, definitions, inbox, runs, stages
from storage.database import Database
from storage.inbox import NewDelivery
from storage.runs import LeaseLostError
from storage.tables import AnalysisRun, CheckRun, Delivery, Incident, Notification, PipelineRun, StageExecution
from storage.vocabulary import (
    DeliveryStatus,
    NotificationReason,
    NotificationStatus,
    RunStatus,
    RunVia,
    StageStatus,
)
from tasks.attempt import NodeOrder, StageContext, run_attempt
from tasks.definition.kinds import KINDS
from tasks.definition.presets import preset
from tasks.ingest.stage import INGEST
from tasks.notify.stage import NOTIFY

FIRING = {"name": "Disk full", "severity": "critical", "labels": {"host": "db-1"}}


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0")


def add_channel(database: Database, url: str, name: str = "sink") -> None:
    with database.write() as session:
        channels.add_channel(session, name=name, driver="generic", config={"endpoint": url})


def make_run(database: Database, *payloads: Any, pipeline: str = "direct") -> str:
    """A run of deliveries with these bodies, as the relay makes it."""
    new = [
        NewDelivery(
            delivery_id=str(uuid4()),
            trace_id=f"trace-{index}",
            source="" if isinstance(payload, bytes) else "generic",
            pipeline=pipeline,
            environment="test",
            body=payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
            sha256="0" * 64,
        )
        for index, payload in enumerate(payloads)
    ]
    with database.write() as session:
        if new:
            inbox.accept(session, new)
        claimed = inbox.claim(session, pipeline=pipeline, limit=100)
        return runs.create_run(session, definition_name=pipeline, definition_version=0, deliveries=claimed).run_id


def execute(run_id: str) -> Outcome:
    return asyncio.run(run_directly(run_id))


def rows(database: Database, table: type) -> list[Any]:
    with database.read() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def attempts(database: Database) -> list[tuple[str, StageStatus, int]]:
    return [(row.node_id, row.status, row.attempt) for row in rows(database, StageExecution)]


def test_full_pipeline_leaves_its_whole_trace(database: Database, http_sink: HttpSink, payloads: Path) -> None:
    add_channel(database, http_sink.url)
    run_id = make_run(database, (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes(), pipeline="full")

    outcome = execute(run_id)

    assert outcome.status is RunStatus.NOTIFIED
    [run] = rows(database, PipelineRun)
    [incident] = rows(database, Incident)
    assert (run.via, run.incident_id, run.source, run.trace_id) == (
        RunVia.DIRECT,
        incident.id,
        "alertmanager",
        "trace-0",
    )
    assert run.completed_at is not None
    assert run.total_duration_ms > 0
    assert (run.lease_owner, run.lease_expires_at) == ("", None)
    assert attempts(database) == [
        (node, StageStatus.SUCCEEDED, 1) for node in ("ingest", "check", "analyze", "notify")
    ]
    assert {row.checker_name for row in rows(database, CheckRun)} == {"cpu", "memory", "disk"}
    [analysis] = rows(database, AnalysisRun)
    assert (analysis.provider, analysis.incident_id, analysis.pipeline_run_id) == ("local", incident.id, run_id)
    [notification] = rows(database, Notification)
    assert notification.status is NotificationStatus.SENT
    assert rows(database, Delivery)[0].status is DeliveryStatus.DONE
    [request] = http_sink.requests
    message = json.loads(request.body)
    assert "FilesystemAlmostFull" in message["title"]
    assert "db-03.lan" in message["message"]
    assert request.headers["Idempotency-Key"] == notification.idempotency_key


def test_every_incident_of_a_coalesced_run_is_told(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    payloads = [{"name": "Disk full", "labels": {"host": f"db-{i}"}} for i in range(25)]

    execute(make_run(database, *payloads))

    titles = {json.loads(request.body)["title"] for request in http_sink.requests}
    assert len(titles) == len(http_sink.requests) == 25
    assert {row.status for row in rows(database, Delivery)} == {DeliveryStatus.DONE}


def test_run_again_sends_nothing_again(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    run_id = make_run(database, FIRING)
    execute(run_id)

    outcome = execute(run_id)

    assert outcome.status is RunStatus.NOTIFIED
    assert len(http_sink.requests) == 1
    assert [attempt for *_, attempt in attempts(database)] == [1, 1]


def test_repeated_alert_ends_after_ingest_and_tells_nobody(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    timed = {**FIRING, "started_at": "2026-09-20T10:00:00Z"}
    execute(make_run(database, timed))

    outcome = execute(make_run(database, timed))

    assert outcome.status is RunStatus.INGESTED
    assert len(http_sink.requests) == 1
    assert attempts(database)[-1][:2] == ("notify", StageStatus.SKIPPED)


def test_empty_alert_list_is_no_error_and_runs_no_further_stage(
    database: Database, http_sink: HttpSink, payloads: Path
) -> None:
    add_channel(database, http_sink.url)

    outcome = execute(make_run(database, (payloads / "nasty/01_empty_alerts_list.json").read_bytes()))

    assert outcome.status is RunStatus.INGESTED
    assert rows(database, Incident) == []
    assert http_sink.requests == []


def test_resolved_is_told_only_where_firing_was(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url, "old")
    execute(make_run(database, {**FIRING, "started_at": "2026-09-20T10:00:00Z"}))
    add_channel(database, http_sink.url, "new")

    execute(make_run(database, {**FIRING, "status": "resolved", "started_at": "2026-09-20T10:00:00Z"}))

    told = [(row.channel, row.reason) for row in rows(database, Notification)]
    assert told == [("old", NotificationReason.FIRING), ("old", NotificationReason.RESOLVED)]
    assert "RESOLVED" in json.loads(http_sink.requests[-1].body)["title"]


def test_without_any_channel_the_run_fails_and_says_so(database: Database) -> None:
    outcome = execute(make_run(database, FIRING))

    assert outcome.status is RunStatus.FAILED
    assert "no active notification channel" in outcome.message
    assert rows(database, PipelineRun)[0].last_error_retryable is False


def test_unreadable_delivery_is_quarantined_and_does_not_take_the_others_with_it(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, http_sink.url)

    outcome = execute(make_run(database, FIRING, {"alerts": [5]}, {"nothing": "known"}))

    assert outcome.status is RunStatus.NOTIFIED
    statuses = [(row.status, row.reason) for row in rows(database, Delivery)]
    assert [status for status, _ in statuses] == [
        DeliveryStatus.DONE,
        DeliveryStatus.QUARANTINED,
        DeliveryStatus.QUARANTINED,
    ]
    assert "alerts[0]" in statuses[1][1]


def test_failing_channel_puts_the_run_down_and_goes_on_from_notify(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[0]")
    add_channel(database, http_sink.url)
    http_sink.answer_with(503)
    run_id = make_run(database, FIRING)

    with pytest.raises(PostponedError):
        execute(run_id)
    outcome = execute(run_id)

    assert outcome.status is RunStatus.NOTIFIED
    assert attempts(database) == [
        ("ingest", StageStatus.SUCCEEDED, 1),
        ("notify", StageStatus.RETRYING, 1),
        ("notify", StageStatus.SUCCEEDED, 2),
    ]
    keys = {request.headers["Idempotency-Key"] for request in http_sink.requests}
    assert (len(http_sink.requests), len(keys)) == (2, 1)


def test_node_that_always_outlasts_its_time_limit_fails_the_run(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = {"id": "ingest", "type": "ingest", "timeout_seconds": 0.3, "max_retries": 1}
    with database.write() as session:
        definitions.save(session, name="direct", config={"version": "1.0", "nodes": [node]})

    is_over = threading.Event()

    def hang(_context: StageContext) -> None:
        is_over.wait(30)

    async def try_twice(run_id: str) -> Outcome:
        try:
            with pytest.raises(PostponedError):
                await run_directly(run_id)
            return await run_directly(run_id)
        finally:
            is_over.set()

    monkeypatch.setitem(KINDS, "ingest", replace(INGEST, work=hang))

    outcome = asyncio.run(try_twice(make_run(database, FIRING)))

    assert (outcome.status, outcome.message) == (RunStatus.FAILED, "node ingest: not done within 0.3 s")
    assert rows(database, PipelineRun)[0].last_error_type == "TimeoutError"
    assert attempts(database) == [("ingest", StageStatus.RETRYING, 1), ("ingest", StageStatus.FAILED, 2)]


def test_one_dead_channel_does_not_keep_the_others_from_being_told(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, http_sink.url, "good")
    with HttpSink(default=404) as gone:
        add_channel(database, gone.url, "gone")

        outcome = execute(make_run(database, FIRING))

    assert outcome.status is RunStatus.NOTIFIED
    statuses = {row.channel: row.status for row in rows(database, Notification) if row.run_id}
    assert statuses == {"good": NotificationStatus.SENT, "gone": NotificationStatus.DEAD}


def test_all_channels_failing_fails_the_run(database: Database) -> None:
    with HttpSink(default=404) as gone:
        add_channel(database, gone.url)

        outcome = execute(make_run(database, FIRING))

    assert outcome.status is RunStatus.FAILED
    assert "every channel failed" in outcome.message


def test_stage_that_finished_before_a_crash_is_not_run_again(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    run_id = make_run(database, FIRING)
    with database.write() as session:
        held = runs.lease_run(session, run_id, owner="killed", lease_seconds=-1)
        runs.start(session, held, via=RunVia.PREFECT, flow_run_id=None)
    run_attempt(INGEST, order(held, "ingest"), is_last_attempt=False)

    outcome = execute(run_id)

    assert outcome.status is RunStatus.NOTIFIED
    assert attempts(database) == [("ingest", StageStatus.SUCCEEDED, 1), ("notify", StageStatus.SUCCEEDED, 1)]
    assert len(http_sink.requests) == 1


def test_message_cut_off_between_sending_and_recording_goes_out_with_the_same_key(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, http_sink.url)
    run_id = make_run(database, FIRING)
    execute(run_id)
    with database.write() as session:  # what a kill -9 just before the commit leaves
        message = session.scalars(select(Notification)).one()
        message.status = NotificationStatus.SENDING
        stage = session.scalars(select(StageExecution).where(StageExecution.node_id == "notify")).one()
        stage.status, stage.output_snapshot = StageStatus.RUNNING, None
        session.scalars(select(PipelineRun)).one().completed_at = None

    execute(run_id)

    keys = [request.headers["Idempotency-Key"] for request in http_sink.requests]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert attempts(database)[1:] == [("notify", StageStatus.FAILED, 1), ("notify", StageStatus.SUCCEEDED, 2)]


def test_late_worker_can_neither_ingest_nor_notify(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    run_id = make_run(database, FIRING)
    with database.write() as session:
        late = runs.lease_run(session, run_id, owner="late", lease_seconds=-1)
    execute(run_id)

    for kind, node_id in ((INGEST, "ingest"), (NOTIFY, "notify")):
        with pytest.raises(LeaseLostError):
            run_attempt(kind, order(late, node_id), is_last_attempt=False)

    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Notification)) == 1
    assert len(http_sink.requests) == 1


def test_end_that_overtakes_its_beginning_is_told_after_it(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    slow = make_run(database, FIRING)
    with database.write() as session:
        held = runs.lease_run(session, slow, owner="slow", lease_seconds=-1)
        runs.start(session, held, via=RunVia.PREFECT, flow_run_id=None)
    run_attempt(INGEST, order(held, "ingest"), is_last_attempt=False)

    quick = execute(make_run(database, FIRING | {"status": "resolved"}))
    told_by_the_quick_one = len(http_sink.requests)
    outcome = execute(slow)

    assert (quick.status, outcome.status) == (RunStatus.NOTIFIED, RunStatus.NOTIFIED)
    assert told_by_the_quick_one == 0
    assert [json.loads(request.body)["reason"] for request in http_sink.requests] == ["firing", "resolved"]


def test_cancel_is_honoured_before_the_next_stage(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    run_id = make_run(database, FIRING)
    with database.write() as session:
        held = runs.lease_run(session, run_id, owner="one", lease_seconds=60)
        runs.start(session, held, via=RunVia.PREFECT, flow_run_id="flow-1")
    run_attempt(INGEST, order(held, "ingest"), is_last_attempt=False)

    with database.write() as session:
        runs.request_cancel(session, flow_run_id="flow-1")
    path = preset("direct").path()

    with pytest.raises(CancelledRunError):
        judge(held, path, path[-1])


def test_local_monitor_opens_and_resolves_an_incident_of_its_own(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url)
    save_monitor(
        database, {"cpu": {"samples": 1, "sample_interval": 0.01}, "memory": {"warning_threshold": 0.001}}
    )
    execute(make_run(database, pipeline="local-monitor"))
    execute(make_run(database, pipeline="local-monitor"))
    save_monitor(database, {"cpu": {"samples": 1, "sample_interval": 0.01}, "memory": {"warning_threshold": 89.9}})

    execute(make_run(database, pipeline="local-monitor"))

    told = [row.reason for row in rows(database, Notification)]
    assert told == [NotificationReason.FIRING, NotificationReason.RESOLVED]
    assert len(rows(database, Incident)) == 1
    assert rows(database, CheckRun)[0].alert_id is not None


def save_monitor(database: Database, checkers: dict[str, Any]) -> None:
    config = {"checker_names": ["memory"], "checkers": {"memory": checkers["memory"]}}
    nodes = [
        {"id": "check", "type": "context", "config": config, "next": "notify"},
        {"id": "notify", "type": "notify"},
    ]
    with database.write() as session:
        definitions.save(session, name="local-monitor", config={"version": "1.0", "nodes": nodes})


def order(held: runs.HeldRun, node_id: str) -> NodeOrder:
    return NodeOrder(
        run=held,
        node_id=node_id,
        config={},
        max_attempts=4,
        timeout_seconds=60,
    )


def test_outputs_of_stages_hold_no_secret(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink.url.replace("//", "//user:hunter2@"))
    payload = {
        **FIRING,
        "labels": {"host": "db-1", "api_key": "hunter2"},
        "description": "see https://a:hunter2@x/",
    }

    execute(make_run(database, payload, pipeline="full"))

    with database.read() as session:
        run = session.scalars(select(PipelineRun)).one()
        shown = json.dumps([row.output_snapshot for row in stages.list_attempts(session, run.id)])
    assert "hunter2" not in shown
