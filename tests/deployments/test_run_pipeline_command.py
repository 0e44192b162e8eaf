"""`watchkeeper run-pipeline --checks-only`, as cron types it: no server, no Prefect."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import watchkeeper
from sinks import HttpSink
from sqlalchemy import select

from storage import channels
from storage.database import Database
from storage.records import ChannelPolicy
from storage.tables import Alert, CheckRun, Incident, PipelineRun
from storage.vocabulary import AlertStatus, CheckStatus, IncidentStatus, NotificationReason, RunVia

ALWAYS_BAD = ["--warning-threshold", "0", "--critical-threshold", "0"]
NEVER_BAD = ["--warning-threshold", "101", "--critical-threshold", "102"]

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def told_people(database: Database, http_sink: HttpSink) -> HttpSink:
    """Where the messages of an installation with one channel arrive."""
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    return http_sink


def run(*arguments: str) -> dict[str, Any]:
    said = watchkeeper("run-pipeline", "--checks-only", "--checkers", "memory", "--json", *arguments)
    assert said.code == 0, said.stderr
    form: dict[str, Any] = json.loads(said.stdout)
    return form


def rows(database: Database, table: type) -> list[Any]:
    with database.read() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def test_a_bad_host_is_told_once_and_its_recovery_too(database: Database, told_people: HttpSink) -> None:
    told = [
        [(each["reason"], each["status"]) for each in run(*limits)["notifications"]]
        for limits in (NEVER_BAD, ALWAYS_BAD, ALWAYS_BAD, NEVER_BAD)
    ]

    assert told == [[], [("firing", "sent")], [], [("resolved", "sent")]]
    assert [row.status for row in rows(database, Incident)] == [IncidentStatus.RESOLVED]
    title = json.loads(told_people.requests[0].body)["title"]
    assert title.startswith("[FIRING] critical: memory check on ")


def test_no_incidents_keeps_to_check_runs(database: Database) -> None:
    run("--no-incidents", *ALWAYS_BAD)

    assert rows(database, Alert) == rows(database, Incident) == []
    [check] = rows(database, CheckRun)
    assert (check.checker_name, check.status, check.alert_id) == ("memory", CheckStatus.CRITICAL, None)
    assert (check.warning_threshold, check.critical_threshold) == (0, 0)
    assert check.duration_ms > 0


@pytest.mark.usefixtures("told_people")
def test_the_name_of_the_host_and_labels_stand_on_what_is_stored(database: Database) -> None:
    run("--hostname", "web-9", "--label", "team=db", "--label", "tier=a=b", *ALWAYS_BAD)

    [alert] = rows(database, Alert)
    [check] = rows(database, CheckRun)
    assert alert.labels == {"team": "db", "tier": "a=b", "host": "web-9", "checker": "memory"}
    assert (alert.fingerprint, alert.source, alert.status) == ("web-9:memory", "checker", AlertStatus.FIRING)
    assert (check.hostname, check.alert_id) == ("web-9", alert.id)


def test_a_run_leaves_its_trace_and_says_that_prefect_had_no_part(database: Database) -> None:
    form = run()

    [stored] = rows(database, PipelineRun)
    [check] = rows(database, CheckRun)
    assert form["run_id"] == stored.run_id
    assert (stored.definition_name, stored.via) == ("local-monitor", RunVia.DIRECT)
    assert check.trace_id == stored.trace_id
    assert stored.completed_at is not None


@pytest.mark.usefixtures("told_people")
def test_the_installations_configs_hold_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", '{"memory": {"for": 2}}')

    changes = [run(*ALWAYS_BAD)["checks"]["changes"] for _ in range(3)]

    assert [len(each) for each in changes] == [0, 1, 0]


@pytest.mark.usefixtures("told_people")
def test_a_person_reads_a_table_and_what_came_of_it(database: Database) -> None:
    said = watchkeeper("run-pipeline", "--checks-only", "--checkers", "memory", "disk", *ALWAYS_BAD)

    assert said.code == 0
    assert re.search(r"memory +critical", said.text)
    assert "CRITICAL: 2 critical" in said.text
    assert "incident 1 firing" in said.text
    assert len(rows(database, CheckRun)) == 2


@on_one_database
@pytest.mark.usefixtures("database")
def test_what_did_not_go_out_is_said_with_its_next_try(
    told_people: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[600]")
    told_people.answer_with(503)

    said = watchkeeper("run-pipeline", "--checks-only", "--checkers", "memory", *ALWAYS_BAD)

    assert said.code == 1
    assert re.search(
        r"^notification: sink \(generic\) failed, next try in 1\d min: .*503$", said.text, re.MULTILINE
    )


@on_one_database
@pytest.mark.usefixtures("told_people")
def test_a_channel_that_was_not_told_is_named_with_the_reason(database: Database) -> None:
    with database.write() as session:
        policy = ChannelPolicy(on=(NotificationReason.RESOLVED,))
        channels.add_channel(session, name="quiet", driver="generic", config={}, policy=policy)

    said = watchkeeper("run-pipeline", "--checks-only", "--checkers", "memory", *ALWAYS_BAD)

    assert re.search(r"^not told: quiet of incident 1 firing: \w", said.text, re.MULTILINE)


def test_a_finding_that_nobody_can_be_told_fails_the_run_and_says_why(database: Database) -> None:
    said = watchkeeper("run-pipeline", "--checks-only", "--checkers", "memory", *ALWAYS_BAD)

    assert said.code == 1
    assert said.stderr.splitlines() == [
        "watchkeeper: no active notification channel: add one with `watchkeeper channels add`"
    ]
    assert [row.status for row in rows(database, Incident)] == [IncidentStatus.OPEN]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Must specify --sample, --payload, --file, --checks-only, --definition, or --config"),
        (["--checks-only", "--checkers", "dsik"], "unknown checker 'dsik'; one of cpu"),
        (["--checks-only", "--label", "team"], "--label 'team': must be KEY=VALUE"),
        (["--checks-only", "--label", "=db"], "--label '=db': must be KEY=VALUE"),
        (
            ["--checks-only", "--checkers", "memory", "--warning-threshold", "95"],
            "checker memory: warning_threshold 95 must not be above critical_threshold 90",
        ),
        (["--checks-only", "--checkers", "raid", "--warning-threshold", "5"], "none of the chosen checkers"),
        (["--checks-only", "--warning-threshold", "much"], "warning-threshold"),
        (["--checks-only", "--warning-threshold", "nan"], "warning_threshold"),
        (["--checks-only", "--checkers"], "--checkers: name at least one"),
        (["--checks-only", "--hostname", ""], "--hostname: must not be blank"),
        (["--checks-only", "--hostname", "  "], "--hostname: must not be blank"),
        (["--checks-only", "--label", "instance=prod"], "labels: instance cannot be set"),
    ],
)
def test_wrong_use_is_refused_by_name_and_stores_nothing(
    database: Database, arguments: list[str], says: str
) -> None:
    said = watchkeeper("run-pipeline", *arguments)

    assert said.code == 2
    assert says in said.stderr + said.text
    assert rows(database, PipelineRun) == []


def test_cron_on_a_bare_machine_needs_nothing_else(tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WATCHKEEPER_", "PREFECT_"))}
    command = [
        sys.executable,
        "-m",
        "deployments.cli",
        "run-pipeline",
        "--checks-only",
        "--no-incidents",
        "--json",
    ]
    env = {**clean, "WATCHKEEPER_DATABASE_URL": f"sqlite:///{tmp_path}/w.db", "PYTHONPROFILEIMPORTTIME": "1"}

    said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert said.returncode == 0, said.stderr[-2000:]
    assert json.loads(said.stdout)["status"] == "completed"
    assert not re.search(r"\|\s+prefect$", said.stderr, re.MULTILINE)
