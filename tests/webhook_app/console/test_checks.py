"""Checks, stages and analyses in the console, and checking this machine by hand."""

import html
import re
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from console_client import Console, console
from rows import add_alert, add_incident
from sqlalchemy import select

from storage import analyses, runs, stages
from storage.checks import add_check_runs
from storage.database import Database
from storage.records import Analysis, CheckResult, Recommendation
from storage.settings import Settings
from storage.tables import Alert, AnalysisRun, AuditEntry, CheckRun
from storage.tables.base import utc_now
from storage.vocabulary import (
    CheckStatus,
    FailureKind,
    RecommendationPriority,
    RecommendationType,
    Stage,
)
from webhook_app.app import create_app

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def browser(database: Database, tmp_path: Path) -> Console:
    """Whoever sits at this machine."""
    return console(create_app(Settings(home=tmp_path), database))


def add_check(database: Database, *, hostname: str = "web-01", trace_id: str = "", **given: object) -> int:
    """A check run; its number."""
    fields = {"checker_name": "memory", "status": CheckStatus.WARNING, "message": "91 % used"}
    with database.write() as session:
        result = CheckResult.model_validate(fields | given)
        [row] = add_check_runs(session, [result], hostname=hostname, trace_id=trace_id)
        return row.id


def add_analysis(database: Database, **given: object) -> int:
    """An analysis by the rules; its number."""
    steps = [
        Recommendation(
            type=RecommendationType.DISK,
            priority=RecommendationPriority.HIGH,
            title="Make <room>",
            description="Old logs take most of it",
            actions=["du -xh /var/log"],
            details={"api_key": "planted-secret", "path": "/var/log"},
        )
    ]
    answer = Analysis(
        summary="The disk is full", probable_cause="Logs", confidence=0.83, recommendations=steps, total_tokens=165
    )
    fields = {"provider": "openai", "provider_config": {"api_key": "planted-secret"}, "incident_id": None}
    order = analyses.AnalysisOrder(**(fields | {"run_id": "", "trace_id": "t", "started_at": utc_now()} | given))  # type: ignore[arg-type]
    with database.write() as session:
        return analyses.add_succeeded(session, order, answer, completed_at=utc_now()).id


def shown(browser: Console, path: str, label: str) -> list[str]:
    """The texts in a column of a list."""
    cells = re.findall(rf'data-label="{label}">(.*?)</td>', browser.get(path).text, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in cells]


def test_checks_are_narrowed_down_by_status_checker_host_and_time(database: Database, browser: Console) -> None:
    add_check(database)
    add_check(database, checker_name="disk", status=CheckStatus.CRITICAL, hostname="db-1")
    with database.write() as session:
        session.scalars(select(CheckRun).where(CheckRun.checker_name == "memory")).one().executed_at -= timedelta(
            2
        )

    for asked in ("status=critical", "checker=disk", "host=db-1", "since=1d"):
        assert shown(browser, f"/admin/checks/?{asked}", "Checker") == ["disk"], asked
    assert shown(browser, "/admin/checks/", "Checker") == ["disk", "memory"]


def test_the_page_of_a_check_leads_to_its_alert_and_its_run(database: Database, browser: Console) -> None:
    pk = add_check(database, trace_id="trace-9", metrics={"used_percent": 91, "by_name": {"x": [1]}})
    with database.write() as session:
        session.get_one(CheckRun, pk).alert_id = alert_id = add_alert(session).id
        run = runs.create_run(session, definition_name="full", definition_version=1, trace_id="trace-9")
        run_pk = run.id

    page = browser.get(f"/admin/checks/details/?id={pk}").text

    assert f"/admin/alerts/details/?id={alert_id}" in page
    assert f"/admin/runs/details/?id={run_pk}" in page
    assert "by_name" in page
    assert shown(browser, "/admin/checks/", "Metrics") == ["used_percent=91"]


def test_this_machine_is_checked_at_once_and_what_is_found_is_stored(database: Database, browser: Console) -> None:
    page = browser.post("/admin/checks/run/", {"checker": ["memory", "load"]}, follow_redirects=True).text

    with database.read() as session:
        rows = session.scalars(select(CheckRun).order_by(CheckRun.id)).all()
        assert [row.checker_name for row in rows] == ["memory", "load"]
        assert {row.hostname for row in rows} == {socket.gethostname()}
        assert session.scalars(select(Alert)).all() == []
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "check")).one()
        assert entry.detail.startswith("memory: ")
    assert "What was found" in page
    assert html.escape(rows[0].message) in page


@on_one_database
def test_a_checker_that_cannot_be_run_is_refused_with_the_reason(
    database: Database, browser: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", '{"http": {"nonsense": 1}}')

    form = browser.get("/admin/checks/run/").text
    pages = [
        browser.post("/admin/checks/run/", {"checker": name}, follow_redirects=True).text
        for name in ("no-such", "http")
    ]

    assert "(not configured: unknown config key" in form
    assert "unknown checker" in pages[0]
    assert "checker http: unknown config key" in pages[1]
    with database.read() as session:
        assert session.scalars(select(CheckRun)).all() == []


def test_attempts_are_narrowed_down_by_status_stage_and_run(database: Database, browser: Console) -> None:
    with database.write() as session:
        run = runs.create_run(session, definition_name="full", definition_version=1)
        other = runs.create_run(session, definition_name="full", definition_version=1)
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=Stage.NOTIFY, node_id="tell")
        stack = 'File "x.py"\nhttps://user:planted-secret@host/\nOSError: <b>'
        stages.fail(row, error=OSError("<b>gone</b>"), stack=stack, retryable=False, is_last=True)
        row.error_stack = stack
        stages.begin_attempt(session, run_pk=other.id, run_id=other.run_id, stage=Stage.CHECK, node_id="checks")
        pk, run_pk = row.id, run.id

    for asked in ("status=FAILED", "stage=NOTIFY", f"run={run_pk}"):
        assert shown(browser, f"/admin/stages/?{asked}", "Node") == ["tell"], asked

    page = browser.get(f"/admin/stages/details/?id={pk}").text
    assert "&lt;b&gt;gone&lt;/b&gt;" in page
    assert "x.py" in page
    assert "planted-secret" not in page
    assert f"/admin/runs/details/?id={run_pk}" in page


def test_analyses_are_narrowed_down_by_status_provider_incident_and_time(
    database: Database, browser: Console
) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
    add_analysis(database, provider="local")
    with database.write() as session:
        session.scalars(select(AnalysisRun)).one().created_at -= timedelta(days=2)
        order = analyses.AnalysisOrder("openai", {}, incident_id, "", "t", utc_now())
        analyses.add_failed(session, order, "401 from there", kind=FailureKind.KEY_REFUSED)

    for asked in ("status=FAILED", "provider=openai", f"incident={incident_id}", "since=1d"):
        assert shown(browser, f"/admin/analyses/?{asked}", "Provider") == ["openai"], asked


def test_an_answer_is_read_with_its_recommendations_and_without_secrets(
    database: Database, browser: Console
) -> None:
    with database.write() as session:
        run_id = runs.create_run(session, definition_name="full", definition_version=1).run_id
    pk = add_analysis(database, run_id=run_id)

    page = browser.get(f"/admin/analyses/details/?id={pk}").text

    for said in (
        "The disk is full",
        "Logs",
        "Make &lt;room&gt;",
        "<code>du -xh /var/log</code>",
        "83%",
        "high, disk",
    ):
        assert said in page, said
    assert f"/admin/run/{run_id}/" in page
    assert "planted-secret" not in page


@on_one_database
def test_an_analysis_that_failed_says_why(database: Database, browser: Console) -> None:
    with database.write() as session:
        order = analyses.AnalysisOrder("openai", {}, None, "", "t", utc_now())
        pk = analyses.add_failed(session, order, "401 from there", kind=FailureKind.KEY_REFUSED).id

    page = browser.get(f"/admin/analyses/details/?id={pk}").text

    assert "There is none: it refused the key." in page
    assert "401 from there" in page
