"""`watchkeeper run-pipeline` of definitions, `resume` and `monitor-pipeline`, as a person types them."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from commands import Said, watchkeeper
from sinks import HttpSink
from sqlalchemy import select
from stack import wait_until

from deployments.commands.run_pipeline.samples import sample
from storage import channels, definitions, runs, workers
from storage.database import Database
from storage.tables import Alert, Delivery, PipelineRun, StageExecution
from storage.vocabulary import AlertStatus, RunStatus, RunVia
from tasks.ingest import sources

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NOTIFY = {"id": "tell", "type": "notify"}
INGEST_AND_NOTIFY = {"version": "1.0", "nodes": [NOTIFY, {"id": "take", "type": "ingest", "next": "tell"}]}
WAITING = {
    "version": "1.0",
    "nodes": [
        {
            "id": "look",
            "type": "context",
            "config": {
                "checker_names": ["cpu"],
                "checkers": {"cpu": {"samples": 40, "sample_interval": 1, "timeout": 60}},
                "incidents": False,
            },
        }
    ],
}


@pytest.fixture
def told_people(database: Database, http_sink: HttpSink) -> HttpSink:
    """Where the messages of an installation with one channel arrive."""
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    return http_sink


def written(folder: Path, config: Any) -> str:
    path = folder / "pipeline.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return str(path)


def rows(database: Database, table: type) -> list[Any]:
    with database.read() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def result(said: Said) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(said.stdout)
    return form


@pytest.mark.parametrize("source", sources.SOURCES)
def test_sample_of_each_source_is_one_firing_alert_of_its_own(source: str) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    first, second = (sources.parse(sample(source, zone), zones={source: zone}) for _ in range(2))

    assert (first.source, first.faults) == (source, [])
    [alert] = first.alerts
    assert alert.status is AlertStatus.FIRING
    assert alert.fingerprint != second.alerts[0].fingerprint
    assert alert.started_at is not None
    assert alert.started_at.utcoffset() is not None


def test_saved_definition_is_run_to_its_end_and_every_node_has_its_section(
    database: Database, told_people: HttpSink
) -> None:
    with database.write() as session:
        definitions.save(session, name="mine", config=INGEST_AND_NOTIFY)

    said = watchkeeper(
        "run-pipeline", "--definition", "mine", "--sample", "--trace-id", "my-trace", "--environment", "staging"
    )

    assert said.code == 0, said.stderr
    for line in (
        "Starting pipeline...",
        "PIPELINE RESULT",
        "Status: completed",
        "Definition: mine",
        "Trace ID: my-trace",
        "--- ingest (take) ---",
        "  Alerts created: 1",
        "--- notify (tell) ---",
        "  Succeeded: 1",
        "✓ Pipeline completed successfully",
    ):
        assert line in said.text.splitlines()
    assert "no worker is running: executed here, without a page in the Prefect UI" in said.stderr
    assert re.findall(r"^(\w+) … [\d.]+ s succeeded$", said.stderr, re.MULTILINE) == ["take", "tell"]
    [run] = rows(database, PipelineRun)
    assert (run.definition_name, run.definition_version, run.via) == ("mine", 1, RunVia.DIRECT)
    assert (run.environment, run.trace_id, run.source) == ("staging", "my-trace", "generic")
    assert len(told_people.requests) == 1


def test_json_is_the_seeds_result_object_and_nothing_else(database: Database, tmp_path: Path) -> None:
    path = written(tmp_path, INGEST_AND_NOTIFY)

    said = watchkeeper(
        "run-pipeline", "--config", path, "--payload", '{"name": "x", "status": "resolved"}', "--json"
    )

    form = result(said)
    assert (said.code, said.stderr) == (0, "")
    assert list(form) == [
        "trace_id",
        "run_id",
        "definition",
        "definition_version",
        "status",
        "executed_nodes",
        "skipped_nodes",
        "node_results",
        "duration_ms",
        "error",
    ]
    assert (form["definition"], form["status"]) == (f"__adhoc__{path}", "completed")
    assert (form["executed_nodes"], form["skipped_nodes"], form["error"]) == (["take"], ["tell"], None)
    assert form["node_results"]["take"]["node_type"] == "ingest"
    assert form["node_results"]["tell"]["skip_reason"].startswith("nothing new to tell")
    with database.read() as session:
        assert definitions.list_definitions(session) == []


@on_one_database
def test_notify_driver_is_told_alone_whatever_the_definition_names(
    database: Database, told_people: HttpSink, tmp_path: Path
) -> None:
    with database.write() as session:
        channels.add_channel(session, name="hook", driver="slack", config={"webhook_url": told_people.url})
    nodes = [{"id": "take", "type": "ingest", "next": "tell"}, {**NOTIFY, "config": {"channels": ["hook"]}}]
    path = written(tmp_path, {"nodes": nodes})

    said = watchkeeper("run-pipeline", "--config", path, "--sample", "--notify-driver", "generic", "--json")

    deliveries = result(said)["node_results"]["tell"]["output"]["deliveries"]
    assert [each["channel"] for each in deliveries] == ["sink"]


@on_one_database
def test_dry_run_shows_the_pipeline_what_the_payload_becomes_and_who_is_told_and_stores_nothing(
    database: Database, told_people: HttpSink, payloads: Path
) -> None:
    with database.write() as session:
        config = {
            "nodes": [{"id": "take", "type": "ingest", "next": "tell"}, {**NOTIFY, "config": {"driver": "slack"}}]
        }
        definitions.save(session, name="mine", config=config)
    body = str(payloads / "alertmanager/01_firing_two_hosts.json")

    mine = watchkeeper("run-pipeline", "--definition", "mine", "--file", body, "--dry-run")
    preset = watchkeeper("run-pipeline", "--sample", "--dry-run", "--definition", "direct")

    assert (mine.code, preset.code) == (0, 0)
    lines = mine.text.splitlines()
    for line in (
        "=== DRY RUN ===",
        "Pipeline Definition: mine",
        "Source: alertmanager",
        "Nodes (2):",
        "  1. [ingest] take",
        "     → next: tell",
        '     Config: {"driver": "slack"}',
        "     → end",
        "Alerts (2):",
        "  FilesystemAlmostFull: critical, firing, fingerprint 9445622bdd552407",
        "  no channel of driver 'slack' is active",
        "Use without --dry-run to execute",
    ):
        assert line in lines
    assert "  sink (generic)" in preset.text.splitlines()
    assert rows(database, PipelineRun) == rows(database, Delivery) == rows(database, Alert) == []
    assert told_people.requests == []


def test_dry_run_makes_no_database_where_none_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path / "home"))
    for url in ("", f"sqlite:///{tmp_path}/new.db"):
        monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", url)

        said = watchkeeper("run-pipeline", "--sample", "--dry-run")

        assert (said.code, "Pipeline Definition: full" in said.text) == (0, True)
        assert list(tmp_path.iterdir()) == []


def test_missing_folder_of_the_database_is_named_and_the_home_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, nowhere = tmp_path / "home", tmp_path / "nowhere"
    monkeypatch.setenv("WATCHKEEPER_HOME", str(home))
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", f"sqlite:///{nowhere}/w.db")
    refused = watchkeeper("monitor-pipeline")
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", f"sqlite:///{home}/w.db")
    listed = watchkeeper("monitor-pipeline")

    said = f"watchkeeper: WATCHKEEPER_DATABASE_URL: there is no folder {nowhere}; make it first\n"
    assert (refused.code, refused.stderr) == (1, said)
    assert (listed.code, listed.text) == (0, "no runs\n")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{bad", "Invalid JSON in config file"),
        ("[]", "Invalid JSON in config file"),
        ({"nodes": [{"id": "bad", "type": "nonexistent_type"}]}, "Pipeline definition invalid:\n  - "),
        ({"nodes": [{**NOTIFY, "next": "nobody"}]}, "Pipeline definition invalid:\n  - "),
    ],
    ids=["no-json", "no-object", "unknown-type", "dangling-next"],
)
def test_faulty_config_file_is_refused_before_a_database_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Any, says: str
) -> None:
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")

    said = watchkeeper("run-pipeline", "--config", written(tmp_path, config))

    assert said.code == 2
    assert said.stderr.startswith(f"watchkeeper: {says}")
    assert not (tmp_path / "new.db").exists()


@on_one_database
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--definition a --config b", "Cannot specify both --definition and --config"),
        ("--config missing.json", "Config file not found: missing.json"),
        ("--definition nope", "Pipeline definition not found: nope; there are local-monitor"),
        ("--definition redelivery", "Pipeline definition not found: redelivery"),
        ("--definition off", "Pipeline definition not found: off is switched off"),
        ("--sample --payload {}", "Cannot specify both --sample and --payload"),
        ("--sample --source nagios", "--source: unknown source 'nagios'; one of grafana"),
        ("--sample --notify-driver fax", "--notify-driver: unknown driver 'fax'; one of email"),
        ("--source grafana --definition full", "--source says how to read a body"),
        ("--payload {", "Invalid JSON in --payload"),
        (
            "--payload [1]",
            "--payload: no source recognises this payload (top level: array); name its form with --source",
        ),
        ("--file missing.json", "File not found: missing.json"),
        ("--sample --checkers cpu", "--checkers goes with --checks-only"),
        ("--checks-only --definition full", "Cannot specify both --checks-only and --definition"),
    ],
)
def test_wrong_use_is_said_in_a_line_and_stores_nothing(database: Database, arguments: str, says: str) -> None:
    with database.write() as session:
        definitions.save(session, name="off", config=INGEST_AND_NOTIFY)
        definitions.set_active(session, "off", is_active=False)

    said = watchkeeper("run-pipeline", *arguments.split())

    assert said.code == 2
    assert said.stderr.startswith(f"watchkeeper: {says}")
    assert said.stderr.count("\n") == 1
    assert rows(database, PipelineRun) == []


def test_failed_run_is_resumed_by_the_beginning_of_its_id_and_does_nothing_twice(
    database: Database, http_sink: HttpSink
) -> None:
    failed = watchkeeper("run-pipeline", "--definition", "direct", "--sample", "--json")
    run_id = result(failed)["run_id"]
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})

    resumed = watchkeeper("resume", run_id[:8])
    again = watchkeeper("resume", run_id)

    assert (failed.code, result(failed)["status"], result(failed)["executed_nodes"]) == (
        1,
        "failed",
        ["ingest", "notify"],
    )
    assert resumed.code == 0, resumed.stderr
    assert "done before: ingest" in resumed.stderr
    assert [(row.node_id, row.attempt, row.status) for row in rows(database, StageExecution)] == [
        ("ingest", 1, "SUCCEEDED"),
        ("notify", 1, "FAILED"),
        ("notify", 2, "SUCCEEDED"),
    ]
    assert len(http_sink.requests) == 1
    assert (again.code, "did not fail: only a failed run can be resumed" in again.stderr) == (1, True)


@on_one_database
@pytest.mark.usefixtures("database")
def test_unknown_run_is_named_with_what_to_do() -> None:
    for command in (["resume", "nosuchrun"], ["monitor-pipeline", "--run-id", "nosuchrun"]):
        said = watchkeeper(*command)

        assert said.code == 1
        assert said.stderr == "watchkeeper: no pipeline run nosuchrun: `watchkeeper monitor-pipeline` lists them\n"

    said = watchkeeper("resume", "abc123")

    assert (
        said.stderr == "watchkeeper: no pipeline run abc123 (of an id the first 8 characters will do): "
        "`watchkeeper monitor-pipeline` lists them\n"
    )


@on_one_database
def test_stage_that_is_tried_again_says_why_and_when(
    database: Database, told_people: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "1")
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[0.2, 0.2]")
    told_people.answer_with(503)

    said = watchkeeper("run-pipeline", "--definition", "direct", "--sample")

    assert said.code == 0, said.stderr
    assert re.search(r"^notify … [\d.]+ s failed, is tried again: .*503", said.stderr, re.MULTILINE)
    assert re.search(r"^next try in \d+ s$", said.stderr, re.MULTILINE)
    assert "  Attempts: 2" in said.text.splitlines()
    assert [run.status for run in rows(database, PipelineRun)] == [RunStatus.NOTIFIED]


@on_one_database
@pytest.mark.usefixtures("told_people")
def test_run_that_no_worker_takes_up_is_executed_here(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.commands.run_pipeline.actions.TAKE_UP_SECONDS", 0.5)
    with database.write() as session:
        workers.beat(session, owner="w", hostname="h", pid=1, slots=4, in_flight=4, has_prefect=True)

    said = watchkeeper("run-pipeline", "--definition", "direct", "--sample")

    assert said.code == 0
    assert "waiting for a worker (1 live) to take it up" in said.stderr
    assert "no worker took it up within" in said.stderr


@on_one_database
def test_run_left_by_a_killed_process_is_resumed(database: Database, told_people: HttpSink) -> None:
    form = result(watchkeeper("run-pipeline", "--definition", "direct", "--payload", '{"name": "a"}', "--json"))
    with database.write() as session:
        run = runs.find_run(session, form["run_id"])
        assert run is not None
        run.completed_at, run.lease_owner, run.lease_expires_at = None, "", None

    said = watchkeeper("resume", form["run_id"])

    assert said.code == 0
    assert len(told_people.requests) == 1


@on_one_database
def test_ctrl_c_ends_at_once_and_says_how_the_run_goes_on(database: Database, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deployments.cli", "run-pipeline", "--config", written(tmp_path, WAITING)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: rows(database, StageExecution), 30, what="the stage to begin")

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=5)

    [run] = rows(database, PipelineRun)
    assert process.returncode == 130
    assert f"run {run.run_id} was put down; `watchkeeper resume {run.run_id}` goes on" in stderr
    assert "Traceback" not in stderr
    assert (run.lease_owner, run.completed_at) == ("", None)


def test_runs_are_listed_by_fate_and_one_is_shown_whole(told_people: HttpSink) -> None:
    good = result(watchkeeper("run-pipeline", "--definition", "direct", "--sample", "--json"))
    told_people.answer_with(404)
    bad = result(watchkeeper("run-pipeline", "--definition", "direct", "--sample", "--json"))

    listed = watchkeeper("monitor-pipeline")
    failed = watchkeeper("monitor-pipeline", "--status", "failed", "--json")
    completed = watchkeeper("monitor-pipeline", "--status", "completed", "--limit", "5")
    whole = watchkeeper("monitor-pipeline", "--run-id", bad["run_id"][:8], "--follow")

    lines = listed.text.splitlines()
    assert [line.split()[0] for line in lines] == ["run", bad["run_id"], good["run_id"]]
    assert lines[1].split()[1:6] == ["direct", "FAILED", "generic", "2", "notify"]
    assert [each["run_id"] for each in result(failed)["pipelines"]] == [bad["run_id"]]
    assert [line.split()[0] for line in completed.text.splitlines()[1:]] == [good["run_id"]]
    assert whole.code == 1
    assert "status: FAILED" in whole.text.splitlines()
    assert re.search(r"^attempt: notify 1 FAILED [\d.]+ s PermanentError: ", whole.text, re.MULTILINE)
    assert re.search(r"^notification: sink \(generic\) dead: ", whole.text, re.MULTILINE)


@on_one_database
@pytest.mark.usefixtures("database")
def test_unknown_status_is_refused_with_those_there_are() -> None:
    said = watchkeeper("monitor-pipeline", "--status", "foo")

    assert (said.code, "unknown status 'foo'; one of pending," in said.stderr) == (2, True)


@on_one_database
def test_following_says_each_change_of_a_run_in_a_line(database: Database) -> None:
    command = [sys.executable, "-m", "deployments.cli", "monitor-pipeline", "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        heading = process.stdout.readline()
        run_id = result(watchkeeper("run-pipeline", "--definition", "direct", "--sample", "--json"))["run_id"]
        change = process.stdout.readline()
        process.send_signal(signal.SIGINT)

    assert heading.split()[:2] == ["time", "run"]
    assert change.split()[1:3] == [run_id, "direct"]
    assert rows(database, PipelineRun)[0].status is RunStatus.FAILED


def test_ascii_stands_where_the_terminal_has_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    monkeypatch.setenv("LC_ALL", "C")

    said = watchkeeper("run-pipeline", "--definition", "direct", "--dry-run")

    assert "     -> next: notify" in said.text.splitlines()
    assert said.stdout.isascii()


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "deployments.cli", "run-pipeline", "--help"]

    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert "--notify-driver" in said.stdout
    assert not re.search(r"\|\s+(prefect|sqlalchemy|flask)$", said.stderr, re.MULTILINE)
