"""The search of the console: one word finds all rows of a trace, a run, a fingerprint or a host."""

from pathlib import Path

import pytest
from console_client import Console, console
from rows import add_alert, add_delivery, add_incident, add_notification
from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import runs
from storage.database import Database
from storage.settings import Settings
from storage.tables import AnalysisRun, CheckRun, Delivery, PipelineRun, RunDelivery, StageExecution
from storage.vocabulary import AnalysisStatus, CheckStatus, Stage, StageStatus
from webhook_app.app import create_app

EVERYTHING = (
    "Incidents", "Alerts", "Alert history", "Deliveries", "Runs", "Stages", "Checks", "Analyses", "Notifications",
)  # fmt: skip


@pytest.fixture
def person(database: Database, tmp_path: Path) -> Console:
    """Somebody at this machine."""
    return console(create_app(Settings(home=tmp_path), database))


def add_way(session: Session, trace_id: str, host: str) -> dict[str, str]:
    """An alert from its webhook to the message about it; the words that find all of it."""
    incident = add_incident(session)
    alert = add_alert(session, trace_id=trace_id, hostname=host, incident_id=incident.id)
    delivery_id = add_delivery(session, trace_id=trace_id)
    run_id = runs.create_run(session, definition_name="full", definition_version=1, trace_id=trace_id).run_id
    run = session.scalars(select(PipelineRun).where(PipelineRun.run_id == run_id)).one()
    run.flow_run_id = f"flow-{trace_id}"
    run.incident_id = incident.id
    delivery = session.scalars(select(Delivery.id).where(Delivery.delivery_id == delivery_id)).one()
    check = CheckRun(
        checker_name="disk", hostname=host, status=CheckStatus.OK, trace_id=trace_id, alert_id=alert.id
    )
    analysis = AnalysisRun(
        provider="local", status=AnalysisStatus.SUCCEEDED, incident_id=incident.id, pipeline_run_id=run_id
    )
    stage = StageExecution(
        pipeline_run_id=run.id, stage=Stage.INGEST, node_id="ingest", status=StageStatus.SUCCEEDED, attempt=1,
        idempotency_key=f"{run_id}:ingest:1",
    )  # fmt: skip
    session.add_all([check, analysis, stage, RunDelivery(run_id=run.id, delivery_id=delivery)])
    add_notification(session, incident_id=incident.id, run_id=run_id, trace_id=trace_id)
    return {
        "trace_id": trace_id,
        "run_id": run_id,
        "flow_run_id": f"flow-{trace_id}",
        "delivery_id": delivery_id,
        "fingerprint": alert.fingerprint,
        "host": host,
        "url of the host": f"https://{host.upper()}:9100/metrics",
        "alert": f"alert:{alert.id}",
        "incident": f"incident:{incident.id}",
        "beginning of the run's id": run_id[:8],
        "beginning of the trace": trace_id[:10],
    }


def test_every_word_of_an_alert_finds_all_of_its_rows_and_none_of_another(
    person: Console, database: Database
) -> None:
    with database.write() as session:
        words = add_way(session, "aaaa1111-trace", "db-1.example.org")
        add_way(session, "bbbb2222-trace", "db-2.example.org")

    pages = {kind: person.get("/admin/search/", query_string={"q": word}).text for kind, word in words.items()}

    for kind, page in pages.items():
        for name in EVERYTHING:
            assert f'<h2>{name} <span class="soft">1</span></h2>' in page, (kind, name)


def test_a_list_finds_by_the_same_word(person: Console, database: Database) -> None:
    with database.write() as session:
        words = add_way(session, "aaaa1111-trace", "db-1")
        add_way(session, "bbbb2222-trace", "db-2")

    for word in words.values():
        for path in ("incidents", "alerts", "alert-history", "deliveries", "runs", "stages", "checks", "analyses",
                     "notifications"):  # fmt: skip
            page = person.get(f"/admin/{path}/", query_string={"search": word}).text
            assert page.count('<tr role="row">') == 2, (path, word)  # the head, and one row


def test_what_is_found_once_is_led_to(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id

    response = person.get("/admin/search/", query_string={"q": f"incident:{pk}"})

    assert response.status_code == 302
    assert response.location == f"/admin/incidents/details/?id={pk}"


@pytest.mark.parametrize("word", ["%", "x", "x" * 2000, "'; DROP TABLE alerts; --", "alert:99999999999999999999",
                                  "\x00\x00", "%%%%%%%%%%", "\U0010ffff" * 8])  # fmt: skip
def test_nonsense_is_answered_with_a_sentence(person: Console, database: Database, word: str) -> None:
    with database.write() as session:
        add_way(session, "aaaa1111-trace", "db-1")

    response = person.get("/admin/search/", query_string={"q": word})

    assert response.status_code in {200, 400}
    assert "q: " in response.text or "Nothing is found by that" in response.text


def test_every_page_has_the_box_and_an_empty_search_says_what_it_finds(person: Console) -> None:
    dashboard, search = person.get("/admin/").text, person.get("/admin/search/").text

    assert 'action="/admin/search/"' in dashboard
    assert "Words within titles and messages are not searched." in search


def test_a_fingerprint_does_not_find_the_other_alerts_of_its_webhook_but_the_trace_does(
    person: Console, database: Database
) -> None:
    with database.write() as session:
        alerts = [add_alert(session, trace_id="one-webhook", hostname=f"db-{n}") for n in range(150)]
        fingerprint = alerts[0].fingerprint

    one = person.get("/admin/alerts/", query_string={"search": fingerprint}).text
    all_of_them = person.get("/admin/search/", query_string={"q": "one-webhook"}).text

    assert one.count('<tr role="row">') == 2
    assert '<h2>Alerts <span class="soft">150</span></h2>' in all_of_them
