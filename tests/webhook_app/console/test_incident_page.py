"""The page of an incident: what happened and why, who was told and who was not, and what people do about it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from console_client import Console, console
from rows import add_alert, add_delivery, add_incident, add_notification
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from storage import runs, stages
from storage.alerts import add_history
from storage.database import Database
from storage.notifications import ClaimedNotification
from storage.settings import Settings
from storage.tables import Alert, AnalysisRun, AuditEntry, CheckRun, Delivery, Incident, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import (
    AlertEvent,
    AlertStatus,
    AnalysisStatus,
    AuditOutcome,
    CheckStatus,
    FailureKind,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
    Severity,
    Stage,
)
from tasks.notify.facts import gather
from webhook_app.app import create_app
from webhook_app.console.timeline import ENTRIES_SHOWN

SECRET = "hunter2-secret"
NASTY = "<script>alert(1)</script>"


@pytest.fixture
def person(database: Database, tmp_path: Path) -> Console:
    """Somebody at this machine."""
    settings = Settings(home=tmp_path, PREFECT_UI_URL="http://prefect.test")
    return console(create_app(settings, database))


def add_run(session: Session, incident: Incident, trace_id: str) -> PipelineRun:
    """A run of the incident that has read an alert and told a channel, and passed one over."""
    run_id = runs.create_run(session, definition_name="full", definition_version=1, trace_id=trace_id).run_id
    run = session.scalars(select(PipelineRun).where(PipelineRun.run_id == run_id)).one()
    run.incident_id = incident.id
    run.flow_run_id = "0d6b6f1e-0000-4000-8000-000000000000"
    passed_over = {"channel": "night", "incident_id": incident.id, "reason": "firing"}
    for stage, output in (
        (Stage.INGEST, {"alerts_seen": 3, "alerts_created": 2}),
        (Stage.NOTIFY, {"passed_over": [{**passed_over, "why": "warning is below its min_severity, critical"}]}),
    ):
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run_id, stage=stage, node_id=stage.lower())
        stages.succeed(row, output)
    session.flush()
    return run


def add_story(session: Session) -> int:
    """An incident with everything that its page tells of. Returns its id."""
    incident = add_incident(session, group_label="alertmanager / production / DiskFull", description="It is full.")
    alert = add_alert(session, name="DiskFull", incident_id=incident.id, hostname="db-1", trace_id="trace-1")
    add_delivery(session, trace_id="trace-1")
    run = add_run(session, incident, "trace-1")
    add_notification(
        session, incident_id=incident.id, channel="ops", run_id=run.run_id, instead_of="pager",
        error_message="503 Service Unavailable", attempts=3,
    )  # fmt: skip
    session.add(
        CheckRun(checker_name="disk", hostname="db-1", status=CheckStatus.CRITICAL, message="97 % used",
                 trace_id="trace-1", alert_id=alert.id)
    )  # fmt: skip
    session.add(
        AnalysisRun(
            provider="local", status=AnalysisStatus.SUCCEEDED, incident_id=incident.id, fallback_used=True,
            failure_kind=FailureKind.OVERLOADED, probable_cause="Logs filled the disk", confidence=0.8,
            pipeline_run_id=run.run_id, completed_at=utc_now(),
            recommendations=[{"title": "Rotate the logs", "priority": "high", "type": "disk",
                              "description": "They grow.", "actions": ["logrotate -f /etc/logrotate.conf"]}],
        )
    )  # fmt: skip
    session.flush()
    return incident.id


def test_the_page_tells_what_happened_and_why(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_story(session)

    page = person.get(f"/admin/incidents/details/?id={pk}").text

    for said in (
        "they share <strong>alertmanager / production / DiskFull</strong>",
        "DiskFull: came in for the first time; it belongs to this incident because its group is",
        "generic, 13 bytes, to direct",
        "3 alerts, 2 new",
        "disk on db-1 critical: 97 % used",
        "Logs filled the disk",
        "in an AI provider's place: it limits the rate of requests, or is overloaded",
        "confidence 80 %",
        "Rotate the logs",
        "logrotate -f /etc/logrotate.conf",
        "instead of pager",
        "503 Service Unavailable",
        "warning is below its min_severity, critical",
        "http://prefect.test/runs/flow-run/0d6b6f1e-0000-4000-8000-000000000000",
    ):
        assert said in page, said


def test_the_timeline_is_newest_first_and_can_be_turned_round(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id

    newest = person.get(f"/admin/incidents/details/?id={pk}").text
    oldest = person.get(f"/admin/incidents/details/?id={pk}&order=oldest").text

    assert "Newest first." in newest
    assert "Oldest first." in oldest
    assert f'id="incident-{pk}"' in newest


def entries_of(page: str) -> list[str]:
    """The anchors of the timeline's entries in their order."""
    return re.findall(r'id="((?:history|delivery|incident)-[0-9-]+)"', page)


def test_what_happened_at_one_time_stands_in_its_order_either_way_round(
    person: Console, database: Database
) -> None:
    at = utc_now()
    with database.write() as session:
        incident = add_incident(session, created_at=at)
        alert = add_alert(session, incident_id=incident.id, trace_id="")
        alert.trace_id = "t"
        add_delivery(session, trace_id="t", received_at=at)
        for told in (AlertEvent.CREATED, AlertEvent.RESOLVED):
            add_history(session, [{"alert_id": alert.id, "event": told, "trace_id": "t", "created_at": at}])
        pk = incident.id

    newest = entries_of(person.get(f"/admin/incidents/details/?id={pk}").text)
    oldest = entries_of(person.get(f"/admin/incidents/details/?id={pk}&order=oldest").text)

    assert [entry.partition("-")[0] for entry in oldest] == ["delivery", "history", "history", "incident"]
    assert [entry for entry in oldest if entry.startswith("history")] == ["history-1", "history-2"]
    assert newest == oldest[::-1]


def test_what_people_ended_by_hand_has_its_own_time_and_author(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id
        for name, author in (("Disk", "ann"), ("Load", "bob")):
            alert = add_alert(session, name=name, incident_id=pk, trace_id="")
            row = {"alert_id": alert.id, "event": AlertEvent.RESOLVED, "details": {"ended_by": author}}
            add_history(session, [row])

    page = person.get(f"/admin/incidents/details/?id={pk}").text

    assert "Disk: ended (ended by ann)" in page
    assert "Load: ended (ended by bob)" in page


def test_an_alert_says_why_it_belongs_to_the_incident_only_where_it_joined(
    person: Console, database: Database
) -> None:
    with database.write() as session:
        pk = add_incident(session, group_label="team / disks").id
        alert = add_alert(session, name="Disk", incident_id=pk, trace_id="of-another-incident")
        add_history(session, [{"alert_id": alert.id, "event": AlertEvent.REFIRED, "trace_id": "of-this"}])

    page = person.get(f"/admin/incidents/details/?id={pk}").text

    assert "Disk: fired anew; it belongs to this incident because its group is team / disks" in page
    assert "Disk: came in for the first time; it belongs" not in page


def test_a_storm_of_alerts_is_one_entry_and_a_fixed_number_of_statements(
    person: Console, database: Database
) -> None:
    with database.write() as session:
        small, storm = add_story(session), add_incident(session, title="Storm")
        alerts = [add_alert(session, name=f"A{n}", incident_id=storm.id, trace_id="") for n in range(300)]
        add_history(
            session,
            [{"alert_id": each.id, "event": AlertEvent.CREATED, "trace_id": "storm"} for each in alerts],
        )
        for each in alerts:
            each.trace_id = "storm"
        big = storm.id

    pages, counts = [], []
    for pk in (small, big):
        with counted(database) as statements:
            pages.append(person.get(f"/admin/incidents/details/?id={pk}").text)
        counts.append(len(statements))

    assert "50 alerts: A" in pages[1]
    assert counts[1] <= counts[0] <= 30


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_long_timeline_ends_with_how_many_older_entries_it_leaves_out(
    person: Console, database: Database
) -> None:
    with database.write() as session:
        incident = add_incident(session)
        alert = add_alert(session, incident_id=incident.id, trace_id="")
        said = {"alert_id": alert.id, "event": AlertEvent.REFRESHED}
        add_history(session, [{**said, "trace_id": f"trace-{n}"} for n in range(ENTRIES_SHOWN + 4)])
        pk = incident.id

    page = person.get(f"/admin/incidents/details/?id={pk}").text

    assert page.count("was said again") == ENTRIES_SHOWN
    assert "and 5 older ones." in page  # with that it was opened


def test_what_strangers_wrote_is_text_and_no_secret_is_shown(person: Console, database: Database) -> None:
    with database.write() as session:
        incident = add_incident(
            session,
            title=NASTY,
            group_label=NASTY,
            summary=f"password={SECRET}",
            details={
                "notes": [{"at": utc_now().isoformat(), "author": NASTY, "text": f"token={SECRET}"}],
                "transitions": [],
            },
        )
        alert = add_alert(
            session,
            name=f"{NASTY} password={SECRET}",
            incident_id=incident.id,
            labels={NASTY: NASTY, "password": SECRET},
            hostname=NASTY,
            trace_id="trace-1",
        )
        pks = incident.id, alert.id

    pages = [
        person.get(path).text
        for path in (
            f"/admin/incidents/details/?id={pks[0]}",
            "/admin/incidents/",
            f"/admin/alerts/details/?id={pks[1]}",
            "/admin/alerts/",
            "/admin/alert-history/",
            f"/admin/search/?q=alert:{pks[1]}",
            f"/admin/search/?q={NASTY}",
        )
    ]

    for page in pages:
        assert NASTY not in page
        assert SECRET not in page
        assert "&lt;script&gt;" in page


def test_people_acknowledge_resolve_note_and_close(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id
        add_notification(session, incident_id=pk, status=NotificationStatus.SENT)

    def act(action: str, **inputs: str) -> None:
        person.post("/admin/incidents/action/", {"action": action, "rowid": str(pk), "confirmed": "1", **inputs})

    act("acknowledge")
    act("note", text="The disk is on order")
    act("resolve", summary="A new disk")
    act("close")
    page = person.get(f"/admin/incidents/details/?id={pk}").text

    with database.read() as session:
        incident = session.get_one(Incident, pk)
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert incident.status is IncidentStatus.CLOSED
    assert incident.summary == "A new disk"
    assert [(entry.action, entry.actor, entry.outcome) for entry in entries] == [
        (name, "local", AuditOutcome.DONE) for name in ("acknowledge", "note", "resolve", "close")
    ]
    assert "The disk is on order" in page
    assert "acknowledged by local" in page


def test_a_wrong_state_is_refused_with_the_reason_and_kept_in_the_audit(
    person: Console, database: Database
) -> None:
    with database.write() as session:
        pks = [add_incident(session, status=status).id for status in (IncidentStatus.CLOSED, IncidentStatus.OPEN)]

    page = person.post(
        "/admin/incidents/action/", {"action": "acknowledge", "rowid": pks}, follow_redirects=True
    ).text

    with database.read() as session:
        statuses = session.scalars(select(Incident.status).order_by(Incident.id)).all()
        outcomes = session.scalars(select(AuditEntry.outcome).order_by(AuditEntry.id)).all()
    assert statuses == [IncidentStatus.CLOSED, IncidentStatus.ACKNOWLEDGED]
    assert outcomes == [AuditOutcome.REFUSED, AuditOutcome.DONE]
    assert f"incident {pks[0]} is closed and cannot be acknowledged" in page


def test_the_list_counts_the_alerts_of_a_page_in_one_statement(person: Console, database: Database) -> None:
    with database.write() as session:
        for _ in range(30):
            incident = add_incident(session)
            add_alert(session, incident_id=incident.id)
            add_alert(session, incident_id=incident.id, status=AlertStatus.RESOLVED)

    with counted(database) as statements:
        page = person.get("/admin/incidents/?status=open,acknowledged").text

    assert page.count("1 / 2") == 30
    assert len(statements) <= 12


def test_an_alert_that_is_resolved_by_hand_resolves_its_incident(person: Console, database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session, severity=Severity.CRITICAL)
        alert = add_alert(session, incident_id=incident.id, started_at=utc_now())
        pk = alert.id

    page = person.post(
        "/admin/alerts/action/", {"action": "resolve", "rowid": str(pk), "confirmed": "1"}, follow_redirects=True
    ).text

    with database.read() as session:
        assert session.scalars(select(Alert.status)).one() is AlertStatus.RESOLVED
        assert session.scalars(select(Incident.status)).one() is IncidentStatus.RESOLVED
    assert "1 alert resolved: incident" in page


def test_the_alert_page_shows_its_history_its_deliveries_and_its_runs(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_story(session)
        alert_id = session.scalars(select(Alert.id).where(Alert.incident_id == pk)).one()
        delivery_id = session.scalars(select(Delivery.delivery_id)).one()
        run_id = session.scalars(select(PipelineRun.run_id)).one()

    page = person.get(f"/admin/alerts/details/?id={alert_id}").text

    assert delivery_id in page
    assert run_id in page
    assert f"{pk}: Disk full on db-1, open" in page
    assert "created" in page


def test_the_links_in_messages_lead_to_pages_of_the_console(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_story(session)
        run_id = session.scalars(select(PipelineRun.run_id)).one()
    claimed = ClaimedNotification(
        pk=1, channel="ops", incident_id=pk, episode=1, reason=NotificationReason.FIRING, sequence=0,
        instead_of="", idempotency_key="key", run_id=run_id, trace_id="trace-1", claim=1, attempts=1,
        send_at=utc_now(),
    )  # fmt: skip

    links = gather([claimed]).message(claimed).context["links"]

    assert (
        person.get(urlsplit(links["incident"]).path + "?" + urlsplit(links["incident"]).query).status_code == 200
    )
    assert person.get(urlsplit(links["run"]).path, follow_redirects=True).status_code == 200


class counted:  # noqa: N801  (used as a word)
    """The statements that a block of code sends."""

    def __init__(self, database: Database) -> None:
        self._engine, self._sent = database.engine, list[str]()

    def __enter__(self) -> list[str]:
        event.listen(self._engine, "before_cursor_execute", self._note)
        return self._sent

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, _c: object, _cursor: object, statement: str, *_: object) -> None:
        self._sent.append(statement)
