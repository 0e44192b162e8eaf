"""What deliveries do to alerts and incidents, on both databases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from storage.database import Database
from storage.records import IngestResult
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus, NotificationReason, Severity
from tasks.ingest import sources
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import read_json

RECEIVED_AT = datetime(2026, 9, 14, 6, 0, tzinfo=UTC)


def arrival(body: bytes, *, received_at: datetime = RECEIVED_AT, source: str = "") -> Arrival:
    payload = sources.parse(read_json(body), source=source)
    return Arrival(payload=payload, trace_id="trace-1", environment="test", received_at=received_at)


def ingest(database: Database, *arrivals: Arrival) -> IngestResult:
    with database.write() as session:
        result, _ = apply(session, arrivals, reopen_window=timedelta(minutes=10))
    return result


def count(database: Database, table: type) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def only_incident(database: Database) -> Incident:
    with database.read() as session:
        return session.scalars(select(Incident)).one()


def events(database: Database) -> list[AlertEvent]:
    with database.read() as session:
        return list(session.scalars(select(AlertHistory.event).order_by(AlertHistory.id)))


def test_two_firing_alerts_of_one_group_open_one_incident(database: Database, payloads: Path) -> None:
    body = (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()

    result = ingest(database, arrival(body))

    incident = only_incident(database)
    assert (result.alerts_created, result.incidents_created) == (2, 1)
    assert (incident.status, incident.severity) == (IncidentStatus.OPEN, Severity.CRITICAL)
    assert [change.reason for change in result.changes] == [NotificationReason.FIRING]


def test_the_same_body_twice_creates_and_tells_nothing_new(database: Database, payloads: Path) -> None:
    body = (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()
    ingest(database, arrival(body))

    again = ingest(database, arrival(body))

    assert (again.alerts_created, again.changes) == (0, [])
    assert count(database, Alert) == 2
    assert events(database) == [AlertEvent.CREATED] * 2 + [AlertEvent.REFRESHED] * 2


def test_incident_resolves_when_its_last_alert_resolves(database: Database, payloads: Path) -> None:
    ingest(database, arrival((payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()))

    result = ingest(database, arrival((payloads / "alertmanager/03_all_resolved.json").read_bytes()))

    incident = only_incident(database)
    assert incident.status is IncidentStatus.RESOLVED
    assert incident.resolved_at == datetime(2026, 9, 14, 5, 31, 45, 118000, tzinfo=UTC)
    assert [change.reason for change in result.changes] == [NotificationReason.RESOLVED]
    assert incident.severity is Severity.CRITICAL


def test_incident_that_fires_and_ends_within_one_run_is_told_as_both(database: Database, payloads: Path) -> None:
    firing = arrival((payloads / "alertmanager/01_firing_two_hosts.json").read_bytes())
    resolved = arrival((payloads / "alertmanager/03_all_resolved.json").read_bytes())

    result = ingest(database, firing, resolved)

    assert [change.reason for change in result.changes] == [NotificationReason.FIRING, NotificationReason.RESOLVED]


def test_out_of_order_history_ends_in_the_true_state(database: Database, payloads: Path) -> None:
    resolve_first = arrival((payloads / "nasty/10a_out_of_order_resolve_first.json").read_bytes())
    stale = arrival((payloads / "nasty/10b_out_of_order_stale_firing_second.json").read_bytes())
    refire = arrival((payloads / "nasty/10c_genuine_refire_third.json").read_bytes())

    first = ingest(database, resolve_first)
    second = ingest(database, stale)
    third = ingest(database, refire)

    assert (first.changes, second.changes) == ([], [])
    assert [change.reason for change in third.changes] == [NotificationReason.FIRING]
    assert events(database) == [AlertEvent.CREATED, AlertEvent.STALE, AlertEvent.REFIRED]
    with database.read() as session:
        alert = session.scalars(select(Alert)).one()
    assert (alert.status, alert.ended_at) == (AlertStatus.FIRING, None)


def test_new_episode_soon_after_the_end_reopens_the_incident(database: Database) -> None:
    def body(status: str, start: str, end: str = "") -> bytes:
        return (
            f'{{"name": "Disk full", "status": "{status}", "labels": {{"host": "db-1"}},'
            f' "started_at": "{start}", "ended_at": "{end}"}}'
        ).encode()

    ingest(database, arrival(body("firing", "2026-09-14T03:00:00Z")))
    ingest(database, arrival(body("resolved", "2026-09-14T03:00:00Z", "2026-09-14T03:10:00Z")))

    result = ingest(database, arrival(body("firing", "2026-09-14T03:15:00Z")))

    incident = only_incident(database)
    assert (incident.status, incident.episode, incident.resolved_at) == (IncidentStatus.OPEN, 2, None)
    assert result.changes[0].episode == 2

    ingest(database, arrival(body("resolved", "2026-09-14T03:15:00Z", "2026-09-14T03:20:00Z")))
    later = ingest(database, arrival(body("firing", "2026-09-14T05:00:00Z")))
    assert later.incidents_created == 1


def test_alert_that_its_sender_calls_firing_long_after_its_end_fires_again(database: Database) -> None:
    def body(status: str, end: str) -> bytes:
        return (
            '{"version": "4", "groupKey": "g", "receiver": "r", "status": "firing", "alerts": ['
            f'{{"status": "{status}", "labels": {{"alertname": "Disk full"}}, "fingerprint": "f1",'
            f' "startsAt": "2026-09-14T03:00:00Z", "endsAt": "{end}"}}]}}'
        ).encode()

    firing, ended = body("firing", "0001-01-01T00:00:00Z"), body("resolved", "2026-09-14T03:30:00Z")
    ended_at = datetime(2026, 9, 14, 3, 30, tzinfo=UTC)
    ingest(database, arrival(firing, received_at=ended_at - timedelta(minutes=20)))
    ingest(database, arrival(ended, received_at=ended_at))

    late = ingest(database, arrival(firing, received_at=ended_at + timedelta(minutes=1)))
    again = ingest(database, arrival(firing, received_at=ended_at + timedelta(minutes=5)))

    assert (late.changes, [change.reason for change in again.changes]) == ([], [NotificationReason.FIRING])
    assert events(database)[-2:] == [AlertEvent.STALE, AlertEvent.REFIRED]
    assert (only_incident(database).status, only_incident(database).episode) == (IncidentStatus.OPEN, 2)


def test_same_name_on_two_hosts_never_shares_an_incident(database: Database) -> None:
    result = ingest(
        database,
        arrival(b'{"name": "Disk full", "labels": {"host": "db-1"}}'),
        arrival(b'{"name": "Disk full", "labels": {"host": "db-2"}}'),
    )

    assert result.incidents_created == 2


def test_five_thousand_alerts_make_one_incident_in_bounded_time(database: Database, payloads: Path) -> None:
    body = (payloads / "nasty/05_group_of_5000_alerts.json").read_bytes()

    result = ingest(database, arrival(body))

    assert (result.alerts_created, result.incidents_created, len(result.changes)) == (5000, 1, 1)


def test_nul_and_bidi_characters_are_stored_visibly(database: Database, payloads: Path) -> None:
    body = (payloads / "nasty/04_unicode_bidi_nul.json").read_bytes()

    ingest(database, arrival(body))

    with database.read() as session:
        alert = session.scalars(select(Alert)).one()
    assert alert.name == "Диск полон 💾🔥"
    assert "\x00" not in str(alert.raw_payload) + alert.description
