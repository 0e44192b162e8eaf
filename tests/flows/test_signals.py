"""The signals of whole runs, read back from where they are sent, and what the logs say of a run."""

import asyncio
import io
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from sinks import HttpSink

from deployments import logs
from flows.direct import run_directly
from flows.execution import PostponedError
from storage import channels, runs, tallies
from storage.database import Database
from storage.orders import order_run
from storage.settings import SettingsError, load
from storage.tables import StageExecution
from storage.vocabulary import RunStatus, Stage, StageStatus
from tasks import signals
from tasks.attempt import NodeOrder, run_attempt
from tasks.notify.stage import NOTIFY

FIRING = {"name": "Disk, full|#", "severity": "critical", "labels": {"host": "db-1"}}
SEED_TAGS = {"trace_id", "run_id", "incident_id", "stage", "source", "alert_fingerprint", "environment", "attempt"}
WHOLE_RUN = [
    "pipeline.started",
    "pipeline.stage.started",
    "pipeline.stage.succeeded",
    "pipeline.stage.started",
    "pipeline.stage.failed",
    "pipeline.stage.retrying",
    "pipeline.started",
    "pipeline.stage.started",
    "pipeline.stage.succeeded",
    "pipeline.completed",
]


def run_with_a_retry(database: Database, sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a direct run whose notify stage succeeds at its second attempt."""
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[0]")
    sink.answer_with(503)
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": sink.url})
        ordered = order_run(
            session,
            definition_name="direct",
            definition_version=0,
            payload=FIRING,
            source="generic",
            environment="test, 1",
            trace_id="trace-1",
            max_retries=3,
        )
        run_id = ordered.run_id
    with pytest.raises(PostponedError):
        asyncio.run(run_directly(run_id))
    assert asyncio.run(run_directly(run_id)).status is RunStatus.NOTIFIED
    return run_id


@contextmanager
def logged(log_format: str = "text") -> Iterator[io.StringIO]:
    """What the worker's process would write to its log."""
    named = [logging.getLogger(name) for name in ("watchkeeper", "watchkeeper.signals", None)]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in named]
    stream = io.StringIO()
    try:
        with patch("sys.stderr", stream):
            logs.set_up(load().model_copy(update={"log_format": log_format}))
        yield stream
    finally:
        for logger, logger.handlers, logger.propagate, level in before:
            logger.setLevel(level)


@contextmanager
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A statsd of our own, to which signals go."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        monkeypatch.setenv("ORCHESTRATION_METRICS_BACKEND", "statsd")
        monkeypatch.setenv("STATSD_HOST", "localhost")
        monkeypatch.setenv("STATSD_PORT", str(server.getsockname()[1]))
        yield server


def received(server: socket.socket, *, count: int) -> list[tuple[str, str, dict[str, str]]]:
    """Name, value with type, and tags of so many datagrams."""
    found = []
    for _ in range(count):
        measure, kind, shown = server.recv(65536).decode().split("|")
        name, value = measure.split(":")
        tags = dict(tag.split(":", 1) for tag in shown.removeprefix("#").split(","))
        found.append((name, f"{value}|{kind}", tags))
    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_statsd_is_sent_every_boundary_of_a_run_with_all_tags(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with statsd(monkeypatch) as server:
        run_id = run_with_a_retry(database, http_sink, monkeypatch)
        got = received(server, count=len(WHOLE_RUN) + 4)

    counted = [(name, tags) for name, value, tags in got if value == "1|c"]
    assert [name for name, _ in counted] == WHOLE_RUN
    assert all(tags.keys() >= SEED_TAGS for _, tags in counted)
    assert {(tags["run_id"], tags["trace_id"], tags["environment"]) for _, tags in counted} == {
        (run_id, "trace-1", "test__1")
    }
    failed, retrying, completed = counted[4][1], counted[5][1], counted[-1][1]
    assert (failed["stage"], failed["attempt"], failed["retryable"]) == ("NOTIFY", "1", "true")
    assert (retrying["node_id"], retrying["status"]) == ("notify", "RETRYING")
    assert (completed["status"], completed["attempt"], completed["via"]) == ("NOTIFIED", "2", "direct")
    assert completed["incident_id"]
    assert completed["alert_fingerprint"]
    timed = [(name, value.partition("|")[2]) for name, value, _ in got if not value.endswith("|c")]
    assert timed == [
        ("pipeline.stage.succeeded.duration", "ms"),
        ("pipeline.stage.failed.duration", "ms"),
        ("pipeline.stage.succeeded.duration", "ms"),
        ("pipeline.completed.duration", "ms"),
    ]


def test_log_has_a_json_line_for_each_signal_and_totals_count_them(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with logged() as stream:
        run_id = run_with_a_retry(database, http_sink, monkeypatch)

    lines = [json.loads(line) for line in stream.getvalue().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == WHOLE_RUN
    assert all(line["logger"] == "watchkeeper.signals" and line.keys() >= SEED_TAGS for line in lines)
    assert {line["run_id"] for line in lines} == {run_id}
    assert lines[4]["retryable"] is True
    with database.read() as session:
        totals = {(total.name, total.what, total.outcome): total.count for total in tallies.read(session)}
    assert totals == {
        ("deliveries", "", "done"): 1,
        ("notifications", "sink", "failed"): 1,
        ("notifications", "sink", "sent"): 1,
        ("runs", "direct", "NOTIFIED"): 1,
        ("stages", "INGEST", "SUCCEEDED"): 1,
        ("stages", "NOTIFY", "RETRYING"): 1,
        ("stages", "NOTIFY", "SUCCEEDED"): 1,
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_log_line_of_a_run_carries_its_ids(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with logged("json") as stream:
        run_id = run_with_a_retry(database, http_sink, monkeypatch)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    loggers = {line["logger"] for line in lines}
    assert {"watchkeeper.run", "watchkeeper.stage", "watchkeeper.notify"} <= loggers
    assert {(line.get("run_id"), line.get("trace_id")) for line in lines} == {(run_id, "trace-1")}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_attempt_that_was_cut_off_is_told_as_failed_when_the_next_begins(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with database.write() as session:
        run = runs.create_run(session, definition_name="direct", definition_version=1)
        session.add(
            StageExecution(
                pipeline_run_id=run.id,
                stage=Stage.NOTIFY,
                node_id="notify",
                status=StageStatus.RUNNING,
                attempt=1,
                idempotency_key="cut-off",
            )
        )
        held = runs.lease_run(session, run.run_id, owner="one", lease_seconds=60)
    order = NodeOrder(run=held, node_id="notify", config={}, max_attempts=2, timeout_seconds=60)

    with caplog.at_level("INFO", "watchkeeper.signals"):
        run_attempt(NOTIFY, order, is_last_attempt=False)

    told = [(vars(record)["attempt"], record.message) for record in caplog.records if "signals" in record.name]
    assert told == [
        (1, "pipeline.stage.failed"),
        (2, "pipeline.stage.started"),
        (2, "pipeline.stage.succeeded"),
    ]


def test_signal_of_what_is_rolled_back_is_not_sent(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    def begin_and_break() -> None:
        with database.write() as session:
            signals.run_started(session, runs.create_run(session, definition_name="direct", definition_version=1))
            raise RuntimeError

    with caplog.at_level("INFO", "watchkeeper.signals"), pytest.raises(RuntimeError):
        begin_and_break()

    assert caplog.records == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_run_does_not_notice_a_statsd_that_cannot_be_found(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_METRICS_BACKEND", "statsd")
    monkeypatch.setenv("STATSD_HOST", "no-such-host.invalid")

    run_with_a_retry(database, http_sink, monkeypatch)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ORCHESTRATION_METRICS_BACKEND", "graphite"),
        ("STATSD_PORT", "0"),
        ("STATSD_HOST", ""),
        ("STATSD_PREFIX", "a b"),
        ("WATCHKEEPER_LOG_FORMAT", "xml"),
        ("WATCHKEEPER_LOG_LEVEL", "LOUD"),
    ],
)
def test_wrong_setting_is_refused_by_its_name(name: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, wrong)

    with pytest.raises(SettingsError, match=f"^{name}: "):
        load()


def test_secret_in_a_field_or_message_is_hidden_in_both_formats() -> None:
    def line(log_format: str) -> Any:
        with logged(log_format) as stream:
            logging.getLogger("watchkeeper.x").warning(
                "cannot reach https://ann:hunter22@host/", extra={"api_token": "hunter33", "where": "a\nb"}
            )
        return stream.getvalue()

    assert "hunter" not in line("text") + line("json")
    assert json.loads(line("json"))["where"] == "a\nb"
    assert line("text").count("\n") == 1


@pytest.mark.parametrize("odd", [float("nan"), {("a", 1): 2}, {1, 2}, b"\xff", "\ud800"], ids=repr)
def test_line_of_json_stays_readable_whatever_a_field_holds(odd: Any) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    with logged("json") as stream:
        logging.getLogger("watchkeeper.x").warning("odd", extra={"value": odd, "run_id": "r-1"})

    line = json.loads(stream.getvalue(), parse_constant=refuse)
    assert (line["event"], line["run_id"], line["level"]) == ("odd", "r-1", "WARNING")


def test_statsd_whose_host_is_looked_up_for_ever_ends_with_the_process_and_without_a_word() -> None:
    program = (
        "import socket, time; socket.getaddrinfo = lambda *_, **__: time.sleep(60);"
        "from tasks import statsd; sender = statsd.Statsd(); where = statsd.Address('slow.invalid', 8125);"
        "sender.send(where, 'a:1|c'); time.sleep(0.1);"
        "[sender._queue.put_nowait((where, 'a:1|c')) for _ in range(statsd.QUEUE_LINES)]"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
