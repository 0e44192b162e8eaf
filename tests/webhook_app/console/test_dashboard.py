"""The dashboard says what burns and whether Watchkeeper is well, at the same cost whatever there is."""

import re
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from console_client import Console, console
from console_rows import add_console_rows
from flask import Flask
from rows import add_delivery, add_incident, add_notification
from sqlalchemy import event, update

from storage import channels, definitions, transitions, workers
from storage.database import Database
from storage.figures import figures
from storage.settings import Settings
from storage.tables import PipelineRun, Worker
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus, RunStatus, Severity
from tasks.definition.library import save_presets
from webhook_app.app import create_app
from webhook_app.console.dashboard import page as dashboard

PANEL = re.compile(r'<section[^>]* id="([\w-]+)" data-panel.*?</section>', re.DOTALL)
HREF = re.compile(r'href="(/admin/[^"#]*)"')


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Flask:
    return create_app(Settings(home=tmp_path), database)


@pytest.fixture
def person(app: Flask) -> Console:
    return console(app)


def panels(person: Console, query: str = "") -> dict[str, str]:
    """The text of each panel, when all hours are counted."""
    person.get("/admin/")
    with person.client.application.app_context():
        dashboard.keeper().wait()
    page = person.get(f"/admin/{query}").text
    return {found[1]: text_of(found[0]) for found in PANEL.finditer(page)}


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def statements(database: Database, person: Console) -> list[str]:
    seen: list[str] = []

    def note(_c: object, _u: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    person.get("/admin/")
    event.remove(database.engine, "before_cursor_execute", note)
    return seen


def add_worker(database: Database, **given: Any) -> None:
    fields = {"owner": "w", "hostname": "watch-1", "pid": 7, "slots": 4, "in_flight": 1, "has_prefect": True}
    with database.write() as session:
        workers.beat(session, **(fields | given))


def test_who_has_nothing_yet_is_told_the_first_steps(person: Console) -> None:
    found = panels(person)

    assert "curl -d" in found["beginning"]
    assert "http://127.0.0.1:8420/alerts/webhook/generic/" in found["beginning"]
    assert "No active incidents." in found["incidents"]
    assert "No run has ended within 24 hours." in found["health"]
    assert "No worker lives" in found["attention"]
    assert "nobody is told anything" in found["attention"]


def test_the_first_steps_go_once_something_has_arrived(database: Database, person: Console) -> None:
    with database.write() as session:
        add_delivery(session)

    assert "beginning" not in panels(person)


def test_active_incidents_are_shown_the_gravest_first_with_who_works_on_them(
    database: Database, person: Console
) -> None:
    with database.write() as session:
        add_incident(session, title="Slow", severity=Severity.WARNING)
        burning = add_incident(session, title="Fire", severity=Severity.CRITICAL)
        add_incident(session, title="Smoke", severity=Severity.CRITICAL)
        ended = add_incident(session, title="Ash", severity=Severity.CRITICAL)
        transitions.acknowledge(session, burning.id, author="mira")
        transitions.resolve(session, ended.id, author="mira")

    shown = panels(person)["incidents"]

    assert re.search(r"3 2 critical 1 warning 1 acknowledged", shown)
    assert re.search(r"Smoke.*Fire .*acknowledged by mira.*Slow", shown)
    assert "Ash" not in shown


def test_the_health_of_pipelines_is_that_of_the_report(database: Database, person: Console) -> None:
    add_console_rows(database)

    shown = panels(person)["health"]

    with database.read() as session:
        runs = figures(session, since=utc_now() - timedelta(hours=23))["runs"]
    assert f"{runs['success_percent']:g} % 2 of 3 runs that ended went well" in shown
    assert f"Failed {runs['failed']} Retrying 1 In flight {runs['in_flight'] - 1}" in shown


def test_failed_pipelines_and_checks_and_trends_are_shown(database: Database, person: Console) -> None:
    add_console_rows(database)

    found = panels(person)

    assert "PoolTimeout" in found["failed"]
    assert "critical disk on db-03.example.net" in found["checks"]
    assert found["checkers"].endswith("disk 5 5 5")
    assert found["errors"].endswith("PoolTimeout 1")
    assert found["providers"].endswith("openai 5 5,075")


def test_the_charts_have_their_figures_as_a_table(database: Database, person: Console) -> None:
    with database.write() as session:
        add_delivery(session, source="grafana", received_at=utc_now() - timedelta(hours=30))
        add_delivery(session, source="grafana", received_at=utc_now())

    day, week = panels(person)["deliveries-chart"], panels(person, "?period=7d")["deliveries-chart"]

    assert "24 hours: 1 received." in day
    assert "168 hours: 2 received." in week
    assert f"{utc_now():%d %b %H:00} 1" in day
    assert "grafana 2" in week


def test_what_is_not_counted_yet_is_said_and_not_shown_as_nothing(app: Flask, person: Console) -> None:
    with app.app_context():
        dashboard.keeper()._rests_until = float("inf")

    page = text_of(person.get("/admin/").text)

    # Just after the full hour, the one before is not over for us either.
    assert re.search(r"Counting… 2[23] of 24 hours are not in yet\.", page)
    assert re.search(r"Counting… 16[67] of 168 hours are not in yet\.", page)
    assert "No run failed." not in page


def test_what_needs_somebody_is_said_first(database: Database, person: Console) -> None:
    add_worker(database, has_prefect=False)
    with database.write() as session:
        add_delivery(session, status=DeliveryStatus.WAITING, received_at=utc_now() - timedelta(minutes=10))
        add_delivery(session, status=DeliveryStatus.QUARANTINED)
        add_notification(session)

    attention = panels(person)["attention"]

    assert "does not reach Prefect's server" in attention
    assert "The oldest delivery waits for 10 min." in attention
    assert "1 dead letter: a message did not arrive." in attention
    assert "In quarantine, because nothing could be made of them: 1." in attention


def test_nothing_that_needs_somebody_is_said_as_such(database: Database, person: Console) -> None:
    add_worker(database)
    with database.write() as session:
        channels.add_channel(session, name="ops", driver="generic", config={"endpoint": "https://example.org/x"})

    assert panels(person)["attention"] == "Needs attention Watchkeeper itself is well."


def test_workers_are_shown_with_their_slots_and_when_they_were_seen(database: Database, person: Console) -> None:
    add_worker(database)
    add_worker(database, owner="other", hostname="watch-2")
    with database.write() as session:
        session.execute(
            update(Worker).where(Worker.owner == "other").values(seen_at=utc_now() - timedelta(minutes=9))
        )

    inside = panels(person)["inside"]

    assert "alive watch-1 (pid 7) 1 of 4 slots in use, reaches Prefect" in inside
    assert "gone watch-2 (pid 7) seen 9 min ago" in inside


def test_a_schedule_that_does_not_run_is_late(database: Database, person: Console) -> None:
    add_worker(database)
    with database.write() as session:
        save_presets(session)
        definitions.set_schedule(session, "local-monitor", {"every_seconds": 300})
        long_ago = utc_now() - timedelta(hours=2)
        session.add(
            PipelineRun(
                trace_id="t",
                run_id="r",
                definition_name="local-monitor",
                status=RunStatus.NOTIFIED,
                created_at=long_ago,
                completed_at=long_ago,
            )
        )

    found = panels(person)

    assert "local-monitor last ran 2 h ago, though it is due every 5 min." in found["attention"]
    assert "late local-monitor every 5 min last run 2 h ago" in found["inside"]


def test_all_links_lead_somewhere(database: Database, person: Console) -> None:
    add_console_rows(database)
    page = person.get("/admin/").text

    links = {unescape(link) for link in HREF.findall(page) if "/static/" not in link}

    assert len(links) > 30
    assert [link for link in links if person.get(link).status_code != 200] == []


def test_the_number_of_statements_does_not_depend_on_what_there_is(database: Database, person: Console) -> None:
    panels(person)
    when_empty = statements(database, person)

    for _ in range(2):
        add_rows(database)
    when_full = statements(database, person)

    assert len(when_empty) == len(when_full) < 30


def add_rows(database: Database) -> None:
    with database.write() as session:
        for severity in Severity:
            for _ in range(10):
                transitions.acknowledge(session, add_incident(session, severity=severity).id, author="mira")
        for status in DeliveryStatus:
            add_delivery(session, status=status)
        add_notification(session)


def test_what_strangers_wrote_is_shown_as_text(database: Database, person: Console) -> None:
    with database.write() as session:
        add_incident(session, title="<script>alert(1)</script> token=abcdefgh12345678")

    page = person.get("/admin/").text

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "abcdefgh12345678" not in page


@pytest.mark.parametrize(("query", "said"), [("period=1y", "period: one of 24h, 7d"), ("part=x", "part: panels")])
def test_wrong_parameters_are_named(person: Console, query: str, said: str) -> None:
    response = person.get(f"/admin/?{query}")

    assert response.status_code == 400
    assert said in response.text


def test_the_panels_alone_are_given_for_refreshing(person: Console) -> None:
    response = person.get("/admin/?part=panels")

    assert 'id="incidents"' in response.text
    assert "<html" not in response.text
