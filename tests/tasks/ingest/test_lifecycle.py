"""What senders' people do about alerts: acknowledge, take back, comment; and events that come out of order."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from storage import incidents, transitions
from storage.database import Database
from storage.records import IngestResult, ParsedAlert, ParsedPayload
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus, Lifecycle, NotificationReason, Severity
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
    given = {
        "fingerprint": "",
        "name": "",
        "status": AlertStatus.FIRING,
        "started_at": None,
        "occurred_at": START + timedelta(minutes=minutes),
        "is_partial": True,
        "vendor_id": "id-1",
    }
    return ParsedAlert.model_validate(given | fields)


def ingest(
    database: Database, *alerts: ParsedAlert, group_by: Sequence[str] = (), received_minutes: int = 60
) -> IngestResult:
    arrivals = [
        Arrival(
            payload=ParsedPayload(source="pagerduty", alerts=[parsed]),
            trace_id="trace-1",
            environment="test",
            received_at=START + timedelta(minutes=received_minutes),
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


def test_acknowledgement_acknowledges_the_incident_and_says_so_once(database: Database) -> None:
    ingest(database, alert())

    result = ingest(database, alert(5, lifecycle=Lifecycle.ACKNOWLEDGED, severity=None))
    again = ingest(database, alert(6, lifecycle=Lifecycle.ACKNOWLEDGED, severity=None))

    incident = only_incident(database)
    assert (incident.status, incident.severity) == (IncidentStatus.ACKNOWLEDGED, Severity.CRITICAL)
    assert [change.reason for change in result.changes] == [NotificationReason.ACKNOWLEDGED]
    assert (again.changes, result.alerts_created, only_alert(database).status) == ([], 0, AlertStatus.FIRING)
    assert events(database) == [AlertEvent.CREATED, AlertEvent.ACKNOWLEDGED, AlertEvent.ACKNOWLEDGED]


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


def test_partial_event_finds_its_alert_by_the_id_of_the_episode_that_began_in_the_same_run(
    database: Database,
) -> None:
    ingest(database, alert(), alert(9, status=AlertStatus.RESOLVED, ended_at=START + timedelta(minutes=9)))
    again = alert(20, started_at=START + timedelta(minutes=20), vendor_id="id-2")

    result = ingest(database, again, partial(21, vendor_id="id-2", lifecycle=Lifecycle.ACKNOWLEDGED))

    assert result.errors == []
    assert events(database)[-2:] == [AlertEvent.REFIRED, AlertEvent.ACKNOWLEDGED]


def test_late_partial_acknowledgement_does_not_undo_what_came_after_it(database: Database) -> None:
    ingest(database, alert(), alert(7, lifecycle=Lifecycle.UNACKNOWLEDGED))

    ingest(database, partial(5, lifecycle=Lifecycle.ACKNOWLEDGED))

    assert only_incident(database).status is IncidentStatus.OPEN
    assert events(database)[-1] is AlertEvent.STALE


def test_partial_acknowledgement_of_an_older_episode_does_not_reach_the_present_one(database: Database) -> None:
    ingest(database, alert(20, started_at=START + timedelta(minutes=20), episode="two"))

    ingest(database, partial(30, fingerprint="Q2KX9", episode="one", lifecycle=Lifecycle.ACKNOWLEDGED))

    assert only_incident(database).status is IncidentStatus.OPEN


def test_end_that_names_a_start_a_moment_earlier_ends_what_fires(database: Database) -> None:
    ingest(database, alert(occurred_at=None))
    earlier, ended_at = START - timedelta(seconds=7), START + timedelta(minutes=9)

    result = ingest(
        database, alert(started_at=earlier, ended_at=ended_at, status=AlertStatus.RESOLVED, occurred_at=None)
    )

    found = only_alert(database)
    assert (found.status, found.ended_at) == (AlertStatus.RESOLVED, ended_at)
    assert [change.reason for change in result.changes] == [NotificationReason.RESOLVED]
    assert ingest(database, alert(occurred_at=None)).changes == []


def test_deliveries_without_any_time_count_in_the_order_of_receipt(database: Database) -> None:
    fires = alert(started_at=None, occurred_at=None)
    ends = alert(started_at=None, occurred_at=None, status=AlertStatus.RESOLVED)

    ingest(database, ends, received_minutes=61)
    swapped = ingest(database, fires, received_minutes=60)

    assert (swapped.changes, only_alert(database).status) == ([], AlertStatus.RESOLVED)
    assert events(database) == [AlertEvent.CREATED, AlertEvent.STALE]


def test_replay_of_a_delivery_without_any_time_brings_nothing_back(database: Database) -> None:
    fires = alert(started_at=None, occurred_at=None)
    ends = alert(started_at=None, occurred_at=None, status=AlertStatus.RESOLVED)
    ingest(database, fires, received_minutes=60)
    ingest(database, ends, received_minutes=70)

    replayed = ingest(database, fires, received_minutes=60)

    assert (replayed.changes, only_incident(database).status) == ([], IncidentStatus.RESOLVED)
    assert ingest(database, fires, received_minutes=75).changes[0].episode == 2


def test_late_end_without_any_time_does_not_end_what_fires_again(database: Database) -> None:
    fires = alert(started_at=None, occurred_at=None)
    ends = alert(started_at=None, occurred_at=None, status=AlertStatus.RESOLVED)
    ingest(database, fires, received_minutes=60)
    ingest(database, fires, received_minutes=62)

    ingest(database, ends, received_minutes=61)

    assert only_alert(database).status is AlertStatus.FIRING


def test_alert_that_comes_back_in_another_group_leaves_no_incident_open_without_alerts(database: Database) -> None:
    ingest(database, alert(group_key="one route"))

    result = ingest(database, alert(started_at=START + timedelta(minutes=5), group_key="another route"))

    with database.read() as session:
        statuses = session.scalars(select(Incident.status).order_by(Incident.id)).all()
    assert statuses == [IncidentStatus.RESOLVED, IncidentStatus.OPEN]
    assert {change.reason for change in result.changes} == {
        NotificationReason.FIRING,
        NotificationReason.RESOLVED,
    }


def test_end_of_an_alert_of_a_closed_incident_does_not_hide_the_end_of_the_live_one(database: Database) -> None:
    def both(**fields: Any) -> ParsedPayload:
        alerts = [alert(fingerprint=name, vendor_id=name, **fields) for name in ("new", "old")]
        return ParsedPayload(source="pagerduty", alerts=alerts)

    ingest(database, alert(fingerprint="old", vendor_id="old"))
    with database.write() as session:
        transitions.close(session, 1, author="Ida")
    ingest(database, alert(fingerprint="new", vendor_id="new"))
    ended = both(status=AlertStatus.RESOLVED, ended_at=START + timedelta(minutes=9))

    with database.write() as session:
        arrival = Arrival(ended, "trace-1", "test", START + timedelta(hours=1))
        result, _ = apply(session, [arrival], reopen_window=timedelta(minutes=10))

    with database.read() as session:
        statuses = session.scalars(select(Incident.status).order_by(Incident.id)).all()
    assert statuses == [IncidentStatus.CLOSED, IncidentStatus.RESOLVED]
    assert {change.incident_id: change.reason for change in result.changes} == {
        1: NotificationReason.RESOLVED,
        2: NotificationReason.RESOLVED,
    }


def test_severities_of_more_incidents_than_a_statement_takes_are_found(database: Database) -> None:
    ingest(database, alert())

    with database.read() as session:
        found = incidents.firing_severities(session, range(1, 70_000))

    assert found == {only_incident(database).id: Severity.CRITICAL}


def test_end_of_the_alerts_of_an_incident_that_somebody_resolved_is_told_once(database: Database) -> None:
    names = ("one", "other")
    ingest(database, *(alert(fingerprint=name, vendor_id=name) for name in names))
    with database.write() as session:
        transitions.resolve(session, 1, author="Ida")
    by_hand = only_incident(database).resolved_at
    one, other = (
        alert(9, fingerprint=name, status=AlertStatus.RESOLVED, ended_at=START + timedelta(minutes=9))
        for name in names
    )

    told = [ingest(database, event).changes for event in (one, other, other)]

    assert [[(change.incident_id, change.reason) for change in changes] for changes in told] == [
        [],
        [(1, NotificationReason.RESOLVED)],
        [],
    ]
    assert only_incident(database).resolved_at == by_hand


def test_new_episode_forgets_how_many_alerts_the_sender_left_out_of_the_last_one(database: Database) -> None:
    def deliver(parsed: ParsedAlert, truncated: int) -> None:
        payload = ParsedPayload(source="pagerduty", alerts=[parsed], truncated_alerts=truncated)
        with database.write() as session:
            arrival = Arrival(payload, "trace-1", "test", START + timedelta(hours=1))
            apply(session, [arrival], reopen_window=timedelta(minutes=10))

    deliver(alert(), 12)
    deliver(alert(9, status=AlertStatus.RESOLVED, ended_at=START + timedelta(minutes=9)), 12)

    deliver(alert(12, started_at=START + timedelta(minutes=12)), 0)

    assert (only_incident(database).episode, only_incident(database).truncated_alerts) == (2, 0)


def test_firing_of_an_ended_episode_stays_stale_however_late_it_comes(database: Database) -> None:
    ended_at = START + timedelta(minutes=9)
    ingest(database, alert(status=AlertStatus.RESOLVED, ended_at=ended_at, occurred_at=None))

    ingest(database, alert(occurred_at=None), received_minutes=600)

    assert events(database) == [AlertEvent.CREATED, AlertEvent.STALE]
