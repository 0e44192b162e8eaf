"""Runs in the console: lists, the page of one, and what may be done to it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from console_client import Console, console
from rows import add_delivery, add_incident, add_notification
from sqlalchemy import select

from storage import inbox, runs, stages, users, workers
from storage.checks import add_check_runs
from storage.database import Database
from storage.records import CheckResult, ChecksResult, NotifyResult, PassedOver
from storage.runs import LeaseLostError
from storage.settings import Settings
from storage.tables import AuditEntry, PipelineRun, StageExecution
from storage.tables.base import utc_now
from storage.vocabulary import (
    AuditOutcome,
    CheckStatus,
    NotificationReason,
    Role,
    RunStatus,
    RunVia,
    Stage,
    StageStatus,
)
from tasks.definition.library import save_presets
from webhook_app.app import create_app

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def browser(database: Database, tmp_path: Path) -> Console:
    """Whoever sits at this machine."""
    settings = Settings(home=tmp_path, prefect_ui_url="http://prefect.example")
    return console(create_app(settings, database))


def add_run(database: Database, **given: Any) -> int:
    """A run in whatever state; its number."""
    with database.write() as session:
        run = runs.create_run(session, definition_name="full", definition_version=1)
        for name, value in given.items():
            setattr(run, name, value)
        return run.id


def failed(database: Database, **given: Any) -> int:
    """A run that failed a minute ago."""
    began = utc_now() - timedelta(minutes=1)
    fields = {
        "status": RunStatus.FAILED,
        "started_at": began,
        "completed_at": utc_now(),
        "total_attempts": 1,
        "last_error_type": "TransientError",
        "last_error_message": "the channel answered 503",
    }
    return add_run(database, **(fields | given))


def find(database: Database, pk: int) -> PipelineRun:
    with database.read() as session:
        return session.get_one(PipelineRun, pk)


def audit_of(database: Database) -> list[AuditEntry]:
    with database.read() as session:
        rows = session.scalars(select(AuditEntry).where(AuditEntry.object_type == "pipeline_runs"))
        return list(rows.all())


def act(browser: Console, action: str, *pks: int) -> str:
    """Do it to these, confirmed; the page that follows."""
    form = {"action": action, "rowid": [str(pk) for pk in pks], "confirmed": "1", "url": "/admin/runs/"}
    return str(browser.post("/admin/runs/action/", form, follow_redirects=True).text)


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ("RUNNING", {"running"}),
        ("COMPLETED", {"told", "skipped"}),
        ("FAILED", {"failed"}),
        ("running,failed", {"running", "failed"}),
        ("NOTIFIED", {"told"}),
    ],
)
def test_runs_are_found_by_how_they_stand(
    database: Database, browser: Console, status: str, found: set[str]
) -> None:
    now = utc_now()
    add_run(database, source="running")
    failed(database, source="failed")
    add_run(database, source="told", status=RunStatus.NOTIFIED, completed_at=now)
    add_run(database, source="skipped", status=RunStatus.SKIPPED, completed_at=now)

    page = browser.get(f"/admin/runs/?status={status}").text

    shown = {
        name
        for name in ("running", "failed", "told", "skipped")
        if f'data-label="Source"><span class="word">{name}<' in page
    }
    assert shown == found


def test_a_list_of_runs_is_narrowed_down_by_each_of_its_filters(database: Database, browser: Console) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
    wanted = {"source": "zabbix", "environment": "lab", "via": RunVia.DIRECT, "incident_id": incident_id}
    pk = add_run(database, definition_name="mine", **wanted)
    add_run(database, created_at=utc_now() - timedelta(days=3))

    for asked in (
        "source=zabbix",
        "environment=lab",
        "via=direct",
        f"incident={incident_id}",
        "pipeline=mine",
        "since=1d",
    ):
        page = browser.get(f"/admin/runs/?{asked}").text

        assert page.count('role="cell" data-label="Run"') == 1, asked
        assert f"/admin/runs/details/?id={pk}" in page, asked


def test_an_unknown_status_is_refused_by_name(browser: Console) -> None:
    response = browser.get("/admin/runs/?status=nonsense")

    assert response.status_code == 400
    assert "status: one of PENDING" in response.text


def test_the_page_of_a_run_shows_what_it_took_found_and_told(database: Database, browser: Console) -> None:
    with database.write() as session:
        save_presets(session)
        incident_id = add_incident(session).id
        delivery_id = add_delivery(session, pipeline="full")
        claimed = [each for each in [inbox.find_delivery(session, delivery_id)] if each]
        run = runs.create_run(session, definition_name="full", definition_version=1, deliveries=claimed)
        run.incident_id, run.flow_run_id, run.started_at = incident_id, "flow-run-1", utc_now()
        check = CheckResult(checker_name="memory", status=CheckStatus.CRITICAL, message="97 % used")
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=Stage.CHECK, node_id="checks")
        stages.fail(row, error=TimeoutError("slow <b>"), stack="", retryable=True, is_last=False)
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=Stage.CHECK, node_id="checks")
        stages.succeed(row, ChecksResult(hostname="web-01", checks=[check]).model_dump(mode="json"))
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=Stage.NOTIFY, node_id="tell")
        why = PassedOver(
            channel="sms", incident_id=incident_id, reason=NotificationReason.FIRING, why="below critical"
        )
        stages.succeed(row, NotifyResult(passed_over=[why]).model_dump(mode="json"))
        add_check_runs(session, [check], hostname="web-01", trace_id=run.trace_id)
        add_notification(session, incident_id=incident_id, run_id=run.run_id, channel="pager")
        pk, run_id = run.id, run.run_id

    page = browser.get(f"/admin/runs/details/?id={pk}").text

    assert f"Run {run_id[:8]} of full" in page
    assert 'class="flow"' in page
    assert '<a href="http://prefect.example/runs/flow-run/flow-run-1"' in page
    assert "full, version 1</a>" in page
    assert "TimeoutError: slow &lt;b&gt;" in page
    assert "Output</summary>" in page
    for told in ("97 % used", "pager", "below critical", "/admin/deliveries/details/"):
        assert told in page
    assert "It waits. No worker lives at this moment" in page


def test_a_run_without_prefect_says_so_in_place_of_a_link(database: Database, browser: Console) -> None:
    pk = failed(database, via=RunVia.DIRECT)

    page = browser.get(f"/admin/runs/details/?id={pk}").text

    assert "executed directly, no flow run" in page
    assert "direct, without Prefect" in page


def test_an_output_is_shown_without_its_secrets(database: Database, browser: Console) -> None:
    pk = add_run(database)
    with database.write() as session:
        run_id = session.get_one(PipelineRun, pk).run_id
        row = stages.begin_attempt(session, run_pk=pk, run_id=run_id, stage=Stage.TRANSFORM, node_id="x")
        stages.succeed(row, {"fine": "shown"})
        session.flush()
        row.output_snapshot = {"api_key": "planted-secret", "fine": "shown"}
        stage_pk = row.id

    pages = [
        browser.get(f"/admin/{path}").text for path in (f"runs/details/?id={pk}", f"stages/details/?id={stage_pk}")
    ]

    assert all("shown" in page and "planted-secret" not in page for page in pages)


def test_a_run_is_reached_by_its_public_id(database: Database, browser: Console) -> None:
    pk = add_run(database)

    response = browser.get(f"/admin/run/{find(database, pk).run_id}/")

    assert response.status_code == 302
    assert response.headers["Location"].endswith(f"/admin/runs/details/?id={pk}")
    assert browser.get("/admin/run/no-such-run/").status_code == 404


def test_a_failed_run_is_retried_and_the_page_says_that_no_worker_lives(
    database: Database, browser: Console
) -> None:
    pk = failed(database)

    page = act(browser, "retry", pk)

    run = find(database, pk)
    assert (run.status, run.completed_at) == (RunStatus.RETRYING, None)
    assert "1 run marked for retry: no worker lives at this moment, so it waits for one" in page
    [entry] = audit_of(database)
    assert (entry.actor, entry.action, entry.object_id) == ("local", "retry", str(pk))
    assert entry.outcome is AuditOutcome.DONE


def test_failed_runs_are_retried_in_bulk_and_the_others_are_refused_with_the_reason(
    database: Database, browser: Console
) -> None:
    first, second, waiting = failed(database), failed(database), add_run(database)
    with database.write() as session:
        workers.beat(session, owner="w", hostname="h", pid=1, slots=4, in_flight=0, has_prefect=True)

    page = act(browser, "retry", first, second, waiting)

    assert "2 runs marked for retry: a worker lives and takes it up" in page
    assert "1 run not marked for retry" in page
    assert "has not ended: only a failed run can be resumed" in page
    assert [entry.outcome for entry in audit_of(database)] == ["done", "done", "refused"]


def test_a_run_that_waits_is_marked_as_failed_and_its_old_holder_writes_nothing_more(
    database: Database, browser: Console
) -> None:
    pk = add_run(database)
    with database.write() as session:
        run_id = session.get_one(PipelineRun, pk).run_id
        held = runs.lease_run(session, run_id, owner="host|1", lease_seconds=60)
        runs.start(session, held, via=RunVia.PREFECT, flow_run_id=None)
        stages.begin_attempt(session, run_pk=pk, run_id=run_id, stage=Stage.CHECK, node_id="checks")
        runs.expire_leases(session, owner="host|1")

    page = act(browser, "mark_failed", pk)

    run = find(database, pk)
    assert "1 run marked as failed" in page
    assert (run.status, run.last_error_type) == (RunStatus.FAILED, "ManualOverride")
    assert run.last_error_message == "marked as failed by local"
    with database.write() as session:
        assert session.scalars(select(StageExecution.status)).all() == [StageStatus.FAILED]
        with pytest.raises(LeaseLostError):
            runs.check_fence(session, run_pk=pk, fence=held.fence)
        with pytest.raises(LeaseLostError):
            runs.renew_lease(session, held, lease_seconds=60)


def test_a_run_that_is_executed_is_asked_to_stop_instead(database: Database, browser: Console) -> None:
    pk = add_run(database)
    with database.write() as session:
        run_id = session.get_one(PipelineRun, pk).run_id
        held = runs.lease_run(session, run_id, owner="host|1", lease_seconds=60)

    page = act(browser, "mark_failed", pk)

    run = find(database, pk)
    assert "it stops at its next stage" in page
    assert run.completed_at is None
    assert run.cancel_requested_at is not None
    assert run.fence == held.fence


def test_a_run_that_is_over_is_not_marked_as_failed(database: Database, browser: Console) -> None:
    pk = add_run(database, status=RunStatus.NOTIFIED, completed_at=utc_now())

    page = act(browser, "mark_failed", pk)

    assert "is NOTIFIED and over" in page
    assert find(database, pk).status is RunStatus.NOTIFIED
    assert [entry.outcome for entry in audit_of(database)] == [AuditOutcome.REFUSED]


@on_one_database
def test_a_run_marked_as_failed_can_be_retried(database: Database, browser: Console) -> None:
    pk = add_run(database)

    act(browser, "mark_failed", pk)
    act(browser, "retry", pk)

    assert find(database, pk).status is RunStatus.RETRYING


@on_one_database
def test_the_csv_of_runs_is_read_at_once(database: Database, browser: Console) -> None:
    failed(database, definition_config={"nodes": []})

    text = browser.get("/admin/runs/export/csv/").text

    assert "the channel answered 503" in text
    assert "TransientError" in text


@on_one_database
def test_a_viewer_sees_a_run_and_may_do_nothing_to_it(database: Database, browser: Console) -> None:
    pk, password = failed(database), "correct horse battery"
    with database.write() as session:
        users.add(session, name="ann", password_hash=users.hash_password(password), role=Role.OPERATOR)
        users.add(session, name="bob", password_hash=users.hash_password(password), role=Role.VIEWER)
    browser.sign_in("bob", password)

    page = browser.get(f"/admin/runs/details/?id={pk}").text
    response = browser.post("/admin/runs/action/", {"action": "retry", "rowid": str(pk), "confirmed": "1"})

    assert "the channel answered 503" in page
    assert ">Retry<" not in page
    assert response.status_code == 403
    assert find(database, pk).status is RunStatus.FAILED
    assert browser.get("/admin/checks/run/").status_code == 403
    assert "Run a check now" not in browser.get("/admin/checks/").text
