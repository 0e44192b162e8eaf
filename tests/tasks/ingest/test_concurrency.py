"""Eight writers at once: no alert twice, no update lost, no incident too many."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from storage.database import Database
from storage.records import IngestResult, ParsedAlert, ParsedPayload
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertEvent, AlertStatus, IncidentStatus
from tasks.ingest.apply import Arrival, apply

WRITERS = 8
DELIVERIES = 2_000
IDENTITIES = 200
GROUPS = 50
START = datetime(2026, 9, 14, 3, 0, tzinfo=UTC)


def arrival(number: int) -> Arrival:
    """The n-th delivery: each identity fires nine times and is then resolved, four identities to a group."""
    identity, turn = number % IDENTITIES, number // IDENTITIES
    is_last = turn == DELIVERIES // IDENTITIES - 1
    alert = ParsedAlert(
        fingerprint=f"alert-{identity}",
        name="Disk full",
        status=AlertStatus.RESOLVED if is_last else AlertStatus.FIRING,
        started_at=START,
        ended_at=START + timedelta(minutes=5) if is_last else None,
        labels={"host": f"host-{identity}"},
        group_key=f"group-{identity % GROUPS}",
    )
    return Arrival(
        payload=ParsedPayload(source="test", alerts=[alert]),
        trace_id=f"trace-{number}",
        environment="test",
        received_at=START + timedelta(hours=1),
    )


def test_two_thousand_deliveries_by_eight_writers_are_counted_exactly(database: Database) -> None:
    def deliver(number: int) -> IngestResult:
        with database.write() as session:
            result, _ = apply(session, [arrival(number)], reopen_window=timedelta(minutes=10))
        return result

    numbers = list(range(DELIVERIES))
    random.Random(7).shuffle(numbers)

    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(deliver, numbers))

    with database.read() as session:
        statuses = Counter(session.scalars(select(Alert.status)))
        events = Counter(session.scalars(select(AlertHistory.event)))
        per_alert = (
            session.execute(select(func.count(AlertHistory.id)).group_by(AlertHistory.alert_id)).scalars().all()
        )
        incidents = session.execute(select(Incident.group_key, Incident.status)).all()
    assert statuses == {AlertStatus.RESOLVED: IDENTITIES}
    assert events[AlertEvent.CREATED] == IDENTITIES
    assert sum(events.values()) == DELIVERIES
    assert set(per_alert) == {DELIVERIES // IDENTITIES}
    assert len({key for key, _ in incidents}) == len(incidents) <= GROUPS
    assert {status for _, status in incidents} == {IncidentStatus.RESOLVED}
    assert sum(result.alerts_created for result in results) == IDENTITIES
    assert sum(result.incidents_created for result in results) == len(incidents)


def test_one_alert_in_two_groups_at_once_is_stored_once(database: Database) -> None:
    def deliver(number: int) -> None:
        given = arrival(0)
        alert = given.payload.alerts[0].model_copy(update={"group_key": f"route-{number}"})
        payload = given.payload.model_copy(update={"alerts": [alert]})
        route = Arrival(payload, given.trace_id, given.environment, given.received_at)
        with database.write() as session:
            apply(session, [route], reopen_window=timedelta(minutes=10))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(deliver, range(WRITERS)))

    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alert)) == 1
        assert session.scalar(select(func.count()).select_from(Incident)) == 1
