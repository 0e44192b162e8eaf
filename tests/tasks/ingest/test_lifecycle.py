"""What senders' people do about alerts: acknowledge, take back, comment; and events that come out of order."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from storage.database import Database
from storage.records import IngestResult, ParsedAlert, ParsedPayload
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus, Lifecycle, Severity
from tasks.ingest.apply import Arrival, apply

START = datetime(2026, 9, 18, 7, 44, tzinfo=UTC)


def alert(minutes: int = 0, **fields: Any) -> ParsedAlert:
    """One event of one alert, so many minutes after its start."""
    given = {
        "fingerprint": "Q2KX9",
        "name": "Mail queue",
        "status": AlertStatus.FIRING,
        "severity": Severity.CRITICAL,
        "started_at": START,
        "occurred_at": START + timedelta(minutes=minutes),
        "group_key": "Q2KX9",
        "vendor_id": "id-1",
    }
    return ParsedAlert.model_validate(given | fields)


def partial(minutes: int, **fields: Any) -> ParsedAlert:
    """An event that only names the alert."""
    return ParsedAlert(
        fingerprint="",
        name="",
        status=AlertStatus.FIRING,
        started_at=None,
        occurred_at=START + timedelta(minutes=minutes),
        is_partial=True,
        **({"vendor_id": "id-1"} | fields),
    )


def ingest(database: Database, *alerts: ParsedAlert, group_by: Sequence[str] = ()) -> IngestResult:
    arrivals = [
        Arrival(
            payload=ParsedPayload(source="pagerduty", alerts=[parsed]),
            trace_id="trace-1",
            environment="test",
            received_at=START + timedelta(hours=1),
        )
        for parsed in alerts
    ]
    with database.write() as session:
        result, _ = apply(session, arrivals, reopen_window=timedelta(minutes=10), group_by=group_by)
    return result


def only_incident(database: Database) -> Incident:
    with database.read() as session:
        return session.scalars(select(Incident)).one()


def only_alert(database: Database) -> Alert:
    with database.read() as session:
        return session.scalars(select(Alert)).one()


def events(database: Database) -> list[AlertEvent]:
    with database.read() as session:
        return list(session.scalars(select(AlertHistory.event).order_by(AlertHistory.id)))


def test_acknowledgement_acknowledges_the_incident_and_tells_nobody(database: Database) -> None:
    ingest(database, alert())

    result = ingest(database, alert(5, lifecycle=Lifecycle.ACKNOWLEDGED, severity=None))

    incident = only_incident(database)
    assert (incident.status, incident.severity) == (IncidentStatus.ACKNOWLEDGED, Severity.CRITICAL)
    assert (result.changes, result.alerts_created, only_alert(database).status) == ([], 0, AlertStatus.FIRING)
    assert events(database) == [AlertEvent.CREATED, AlertEvent.ACKNOWLEDGED]


def test_acknowledgement_taken_back_opens_the_incident_again(database: Database) -> None:
    ingest(database, alert(), alert(5, lifecycle=Lifecycle.ACKNOWLEDGED))

    ingest(database, alert(7, lifecycle=Lifecycle.UNACKNOWLEDGED))

    incident = only_incident(database)
    assert (incident.status, incident.acknowledged_at) == (IncidentStatus.OPEN, None)
    assert events(database)[-1] is AlertEvent.UNACKNOWLEDGED


def test_late_acknowledgement_does_not_undo_what_came_after_it(database: Database) -> None:
    ingest(database, alert(), alert(7, lifecycle=Lifecycle.UNACKNOWLEDGED))

    ingest(database, alert(5, lifecycle=Lifecycle.ACKNOWLEDGED))

    assert only_incident(database).status is IncidentStatus.OPEN
    assert events(database)[-1] is AlertEvent.STALE


def test_late_event_of_the_same_episode_does_not_bring_back_its_severity(database: Database) -> None:
    ingest(database, alert(9, severity=Severity.CRITICAL))

    ingest(database, alert(2, severity=Severity.WARNING))

    assert only_alert(database).severity is Severity.CRITICAL


def test_acknowledgement_of_an_ended_episode_changes_nothing(database: Database) -> None:
    ended_at = START + timedelta(minutes=9)
    ingest(database, alert(), alert(9, status=AlertStatus.RESOLVED, ended_at=ended_at))

    result = ingest(database, alert(5, lifecycle=Lifecycle.ACKNOWLEDGED, started_at=None))

    assert (result.changes, only_incident(database).status) == ([], IncidentStatus.RESOLVED)
    assert only_alert(database).status is AlertStatus.RESOLVED


def test_late_end_of_an_older_episode_that_names_no_start_ends_nothing(database: Database) -> None:
    ingest(database, alert(started_at=START + timedelta(minutes=20), occurred_at=None))
    ended_at = START + timedelta(minutes=10)

    ingest(database, alert(status=AlertStatus.RESOLVED, started_at=None, ended_at=ended_at, occurred_at=None))

    assert only_alert(database).status is AlertStatus.FIRING
    assert events(database)[-1] is AlertEvent.STALE


def test_acknowledgement_of_an_unknown_alert_makes_it_known_as_a_warning(database: Database) -> None:
    ingest(database, alert(5, lifecycle=Lifecycle.ACKNOWLEDGED, severity=None))

    assert only_alert(database).severity is Severity.WARNING
    assert only_incident(database).status is IncidentStatus.ACKNOWLEDGED


def test_severity_that_is_not_said_leaves_the_known_one(database: Database) -> None:
    ingest(database, alert(severity=Severity.INFO))

    ingest(database, alert(5, severity=None))

    assert only_alert(database).severity is Severity.INFO


def test_acknowledgement_and_end_that_say_less_take_no_label_away(database: Database) -> None:
    ingest(database, alert(labels={"host": "mx-1"}, annotations={"runbook": "a page"}))

    ingest(database, alert(5, lifecycle=Lifecycle.ACKNOWLEDGED, labels={"who": "Ida"}))
    ingest(database, alert(9, status=AlertStatus.RESOLVED, ended_at=START + timedelta(minutes=9)))

    found = only_alert(database)
    assert (found.labels, found.annotations) == ({"host": "mx-1", "who": "Ida"}, {"runbook": "a page"})


def test_partial_event_finds_its_alert_by_the_vendors_id(database: Database) -> None:
    ingest(database, alert())

    result = ingest(database, partial(5, lifecycle=Lifecycle.ESCALATED))

    with database.read() as session:
        last = session.scalars(select(AlertHistory).order_by(AlertHistory.id.desc())).first()
    assert last is not None
    assert (last.event, last.details["lifecycle"]) == (AlertEvent.REFRESHED, "escalated")
    assert (result.alerts_created, result.changes, only_alert(database).name) == (0, [], "Mail queue")


def test_partial_event_behind_its_alert_in_one_run_finds_it(database: Database) -> None:
    result = ingest(database, alert(), partial(5, lifecycle=Lifecycle.ACKNOWLEDGED))

    assert only_incident(database).status is IncidentStatus.ACKNOWLEDGED
    assert result.errors == []


def test_partial_event_about_an_unknown_alert_invents_none_and_is_recorded(database: Database) -> None:
    result = ingest(database, partial(5, lifecycle=Lifecycle.ESCALATED, vendor_id="unknown"))

    with database.read() as session:
        assert session.scalars(select(Alert)).all() == []
    assert result.errors == ["alerts[0]: about an alert that is not known here (pagerduty)"]


def test_note_reaches_the_incident_once_however_often_it_is_delivered(database: Database) -> None:
    ingest(database, alert())
    note = partial(5, lifecycle=Lifecycle.NOTE, note="Ida: disk \x00 replaced")

    ingest(database, note)
    ingest(database, note)

    notes = only_incident(database).details["notes"]
    assert [(entry["author"], entry["text"]) for entry in notes] == [("pagerduty", "Ida: disk \ufffd replaced")]


def test_start_that_the_sender_does_not_name_is_marked_in_the_history(database: Database) -> None:
    ingest(database, alert(started_at=None))

    with database.read() as session:
        details = session.scalars(select(AlertHistory)).one().details
    assert details["started_at"] == "time of receipt"


def test_group_by_labels_puts_alerts_of_different_hosts_into_one_incident(database: Database) -> None:
    shop = {"service": "shop"}
    one = alert(fingerprint="a", group_key=None, labels=shop | {"host": "web-1"})
    other = alert(fingerprint="b", group_key="their own", labels=shop | {"host": "web-2"})
    unlabelled = alert(fingerprint="c", group_key=None, labels={"host": "web-3"})

    result = ingest(database, one, other, unlabelled, group_by=["service"])

    assert result.incidents_created == 2
    with database.read() as session:
        joined = {row.fingerprint: row.incident_id for row in session.scalars(select(Alert))}
    assert joined["a"] == joined["b"] != joined["c"]


def test_two_hosts_with_one_alert_name_never_share_an_incident(database: Database) -> None:
    hosts = [alert(fingerprint=h, name="Disk full", group_key=None, labels={"hostname": h}) for h in ("a", "b")]

    result = ingest(database, *hosts)

    assert result.incidents_created == 2
