"""One stack as its users run it, and what they see of it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from old_rows import add_old_webhooks
from prefect.client.orchestration import PrefectClient, SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.states import Running
from sinks import HttpSink, SmtpSink
from sqlalchemy import select
from stack import LiveStack, live_stack, wait_until

from deployments.register import register
from flows.reconcile import SETTLED_AFTER, close_finished
from flows.report import TAG
from storage import database as database_room
from storage import retention, runs
from storage.tables import CheckRun, PipelineRun
from storage.vocabulary import RunStatus, RunVia
from tasks.check.checkers import DEFAULTS

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def sink() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def mail() -> Iterator[SmtpSink]:
    with SmtpSink() as mail:
        yield mail


@pytest.fixture(scope="module")
def stack(sink: HttpSink, mail: SmtpSink) -> Iterator[LiveStack]:
    with live_stack() as stack:
        stack.add_channel("hook", "generic", {"endpoint": sink.url})
        config: dict[str, Any] = {
            "smtp_host": "127.0.0.1",
            "smtp_port": mail.port,
            "use_tls": False,
            "from_address": "watchkeeper@example.org",
            "to_addresses": ["ops@example.org"],
        }
        stack.add_channel("mail", "email", config)
        yield stack


def prefect_client(stack: LiveStack) -> PrefectClient:
    return PrefectClient(stack.prefect_api_url, auth_string=stack.prefect_auth)


def test_real_webhook_reaches_people_by_mail_and_http(
    stack: LiveStack, sink: HttpSink, mail: SmtpSink, payloads: Path
) -> None:
    body = (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()

    run = stack.wait_for_run(stack.post(body, pipeline="full", source="alertmanager"))

    assert (run["status"], run["via"]) == ("NOTIFIED", "prefect")
    assert [stage["stage"] for stage in run["stages"]] == ["INGEST", "CHECK", "ANALYZE", "NOTIFY"]
    assert {n["channel"]: n["status"] for n in run["notifications"]} == {"hook": "sent", "mail": "sent"}
    [received] = mail.wait_for(1)
    assert "FilesystemAlmostFull on db-03.lan" in str(received.message["Subject"])
    assert b"FilesystemAlmostFull" in sink.requests[0].body


def test_end_that_prefect_did_not_hear_of_is_told_later(stack: LiveStack, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stack.wait_for_run(stack.post({"name": "unheard"}))
    flow_run_id = UUID(run["flow_run_id"])
    with stack.database.write() as session:
        row = runs.find_run(session, run["run_id"])
        assert row is not None
        assert row.completed_at is not None
        row.completed_at -= SETTLED_AFTER + timedelta(seconds=1)
    monkeypatch.setattr(database_room, "get", lambda: stack.database)

    async def lose_and_tell() -> str:
        async with prefect_client(stack) as client:
            await client.set_flow_run_state(flow_run_id, Running(), force=True)
            await close_finished(client, tag=TAG)
            flow_run = await client.read_flow_run(flow_run_id)
            return str(flow_run.state and flow_run.state.type.value)

    assert asyncio.run(lose_and_tell()) == "COMPLETED"


def test_local_monitor_has_an_interval_schedule_that_is_off_until_asked_for(stack: LiveStack) -> None:
    async def read() -> list[Any]:
        async with prefect_client(stack) as client:
            deployment = await client.read_deployment_by_name("local-monitor/local-monitor")
            return list(deployment.schedules)

    [schedule] = asyncio.run(read())

    assert schedule.schedule.interval == timedelta(minutes=5)
    assert schedule.active is False


def test_prefects_own_command_runs_the_local_monitor_now(stack: LiveStack) -> None:
    command = [sys.executable, "-m", "prefect", "deployment", "run", "local-monitor/local-monitor"]

    said = subprocess.run(
        [*command, "--watch"], env={**os.environ, **stack.client_env}, capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stderr
    with stack.database.read() as session:
        run = session.scalars(select(PipelineRun).where(PipelineRun.definition_name == "local-monitor")).one()
        checks = session.scalars(select(CheckRun).where(CheckRun.trace_id == run.trace_id)).all()
    assert (run.status in {RunStatus.CHECKED, RunStatus.NOTIFIED}, run.via) == (True, RunVia.PREFECT)
    assert {check.checker_name for check in checks} == set(DEFAULTS)
    assert {check.hostname for check in checks} == {os.uname().nodename}


def test_registering_once_more_leaves_a_schedule_as_somebody_changed_it(
    stack: LiveStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_room, "get", lambda: stack.database)

    async def change_and_register() -> tuple[Any, list[Any]]:
        async with prefect_client(stack) as client:
            ids = await register(client)
            [before] = await client.read_deployment_schedules(ids["local-monitor"])
            await asyncio.gather(register(client), register(client))
            return before, list(await client.read_deployment_schedules(ids["local-monitor"]))

    before, after = asyncio.run(change_and_register())

    assert [(schedule.id, schedule.active) for schedule in after] == [(before.id, False)]


def test_interval_and_wish_that_settings_give_change_the_schedule(
    stack: LiveStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_MONITOR_INTERVAL_SECONDS", "60")
    monkeypatch.setenv("WATCHKEEPER_MONITOR", "1")
    monkeypatch.setattr(database_room, "get", lambda: stack.database)

    async def register_and_read() -> list[Any]:
        async with prefect_client(stack) as client:
            ids = await register(client)
            return list(await client.read_deployment_schedules(ids["local-monitor"]))

    [schedule] = asyncio.run(register_and_read())

    assert schedule.schedule.interval == timedelta(minutes=1)
    assert schedule.active is True


def test_worker_can_be_started_by_prefects_own_command(stack: LiveStack, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        "watchkeeper",
        "--type",
        "watchkeeper",
    ]
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [*command, "--run-once"], env={**os.environ, **stack.client_env}, stdout=log, stderr=log
        )

        assert worker.wait(60) == 0

    assert "started" in (tmp_path / "worker.log").read_text()


def test_no_secret_of_a_channel_is_in_any_log_or_answer(stack: LiveStack, sink: HttpSink) -> None:
    config = {"endpoint": sink.url, "headers": {"Authorization": "Bearer hunter2-planted"}}
    stack.add_channel("secret", "generic", config)

    run = stack.wait_for_run(stack.post({"name": "secret", "labels": {"password": "hunter2-planted"}}))

    assert run["status"] == "NOTIFIED"
    shown = stack.web.get(f"/orchestration/pipeline/{run['run_id']}/").text
    logs = "".join(path.read_text() for path in (stack.home / "logs").iterdir() if path.is_file())
    assert "hunter2-planted" not in shown + logs + stack.said()


def test_up_checks_this_machine_by_itself_when_told_to() -> None:
    with live_stack("--monitor", WATCHKEEPER_MONITOR_INTERVAL_SECONDS="10") as stack:
        until = time.monotonic() + 60
        runs_seen: list[PipelineRun] = []
        while len(runs_seen) < 2 and time.monotonic() < until:
            time.sleep(0.5)
            with stack.database.read() as session:
                ended = PipelineRun.completed_at.is_not(None)
                runs_seen = list(session.scalars(select(PipelineRun).where(ended)))
        said = stack.said()

    assert [run.definition_name for run in runs_seen[:2]] == ["local-monitor", "local-monitor"]
    assert {run.via for run in runs_seen} == {RunVia.PREFECT}
    assert "monitor: checks this machine every 10 s" in said


def test_worker_takes_up_what_a_person_runs_and_the_command_shows_its_page(
    stack: LiveStack, sink: HttpSink
) -> None:
    command = [sys.executable, "-m", "deployments.cli", "run-pipeline", "--sample", "--definition", "direct"]

    said = subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=60, check=False)

    assert said.returncode == 0, said.stderr
    assert "waiting for a worker (1 live) to take it up" in said.stderr
    with stack.database.read() as session:
        run = session.scalars(select(PipelineRun).order_by(PipelineRun.id.desc()).limit(1)).one()
    assert run.via is RunVia.PREFECT
    assert (
        f"a worker took it up: {stack.prefect_api_url.removesuffix('/api')}/runs/flow-run/{run.flow_run_id}"
        in (said.stderr)
    )
    assert any("Sample alert" in request.body.decode() for request in sink.requests)


def test_retention_runs_in_the_worker_by_its_schedule_and_says_what_went(stack: LiveStack) -> None:
    add_old_webhooks(stack.database, 5, days_ago=400)

    with stack.prefect() as client:
        deployment = client.read_deployment_by_name("retention/retention")
        flow_run = client.create_flow_run_from_deployment(deployment.id)
        ended = wait_until(lambda: _final_state(client, flow_run.id), 60, what="the retention run")

    assert [(each.active, each.schedule.interval) for each in deployment.schedules] == [(True, timedelta(hours=1))]
    assert ended.is_completed()
    assert "5 runs, 5 deliveries, 10 check runs" in (ended.message or "")
    with stack.database.read() as session:
        assert "runs" in {row.name for row in retention.prunings(session)}
        assert str(flow_run.id) not in {run.flow_run_id for run in session.scalars(select(PipelineRun))}


def _final_state(client: SyncPrefectClient, flow_run_id: UUID) -> State[Any] | None:
    state = client.read_flow_run(flow_run_id).state
    return state if state and state.is_final() else None


def test_doctor_finds_no_fault_in_a_stack_that_runs(stack: LiveStack) -> None:
    command = [sys.executable, "-m", "deployments.cli", "doctor", "--json"]

    said = subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=60, check=False)

    found = {each["check"]: each["level"] for each in json.loads(said.stdout)["checks"]}
    assert [each for each in json.loads(said.stdout)["checks"] if each["level"] == "fault"] == []
    assert said.returncode == 0
    assert {found[name] for name in ("database", "prefect", "deployments", "receiver", "worker")} == {"ok"}
