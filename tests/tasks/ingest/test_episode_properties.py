"""Any order and repetition of an alert's true history ends in the same state, with at most one incident open."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from storage.database import Database
from storage.records import ParsedAlert, ParsedPayload
from storage.tables import Alert, Incident
from storage.vocabulary import LIVE_INCIDENT, AlertStatus, Severity
from tasks.ingest.apply import Arrival, apply

BEGIN = datetime(2026, 9, 14, 3, 0, tzinfo=UTC)
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Episode:
    """One true stretch: minutes until it begins and until it ends (None: it still fires), and its refreshes."""

    gap: int
    length: int
    has_ended: bool
    severities: tuple[Severity, ...]


EPISODES = st.builds(
    Episode,
    gap=st.integers(1, 40),
    length=st.integers(1, 40),
    has_ended=st.booleans(),
    severities=st.lists(st.sampled_from(Severity), min_size=1, max_size=3).map(tuple),
)


def history_of(episodes: list[Episode], *, fingerprint: str, form: str) -> list[ParsedAlert]:
    """The events of these episodes in their true order, as vendors of this form tell them.

    `start`: every event names the episode's start (Alertmanager). `key`: events name the vendor's id of the
    episode and their own time, and the end does not name the start (Datadog).
    """
    events: list[ParsedAlert] = []
    clock = BEGIN
    for number, episode in enumerate(episodes):
        started_at = clock + timedelta(minutes=episode.gap)
        key = {"episode": f"cycle-{number}"} if form == "key" else {}
        for index, severity in enumerate(episode.severities):
            at = started_at + timedelta(seconds=index)
            start = at if form == "key" else started_at
            events.append(
                event(fingerprint, AlertStatus.FIRING, start, at=at, severity=severity, **key),
            )
        clock = started_at + timedelta(minutes=episode.length)
        is_last = number == len(episodes) - 1
        if episode.has_ended or not is_last:
            start_told = None if form == "key" else started_at
            events.append(
                event(fingerprint, AlertStatus.RESOLVED, start_told, at=clock, ended_at=clock, **key),
            )
    return events


def event(
    fingerprint: str, status: AlertStatus, started_at: datetime | None, *, at: datetime, **fields: Any
) -> ParsedAlert:
    return ParsedAlert(
        fingerprint=fingerprint,
        name="Disk full",
        status=status,
        started_at=started_at,
        occurred_at=at,
        group_key=fingerprint,
        **fields,
    )


def deliver(database: Database, parsed: ParsedAlert) -> None:
    arrival = Arrival(
        payload=ParsedPayload(source="test", alerts=[parsed]),
        trace_id="trace-1",
        environment="test",
        received_at=BEGIN + timedelta(days=1),
    )
    with database.write() as session:
        apply(session, [arrival], reopen_window=timedelta(minutes=10))


def final_state(database: Database, fingerprint: str) -> tuple[Any, ...]:
    """What the operator sees of the alert in the end; only a firing one's severity is news."""
    with database.read() as session:
        alert = session.scalars(select(Alert).where(Alert.fingerprint == fingerprint)).one()
    is_firing = alert.status is AlertStatus.FIRING
    return (
        alert.status,
        alert.ended_at,
        alert.started_at if is_firing else None,
        alert.severity if is_firing else None,
    )


def live_incidents(database: Database, fingerprint: str) -> int:
    with database.read() as session:
        return (
            session.scalar(
                select(func.count())
                .select_from(Incident)
                .where(Incident.group_label.contains(fingerprint), Incident.status.in_(LIVE_INCIDENT))
            )
            or 0
        )


@pytest.mark.parametrize("form", ["start", "key"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(episodes=st.lists(EPISODES, min_size=1, max_size=3), data=st.data())
def test_any_order_and_repetition_ends_in_the_true_state(
    database: Database, form: str, episodes: list[Episode], data: st.DataObject
) -> None:
    number = next(NUMBERS)
    true, mixed = f"true-{number}-", f"mixed-{number}-"
    history = history_of(episodes, fingerprint=mixed, form=form)
    repeated = data.draw(st.lists(st.sampled_from(history), max_size=4), label="repeated")
    order = data.draw(st.permutations([*history, *repeated]), label="order")

    for parsed in history_of(episodes, fingerprint=true, form=form):
        deliver(database, parsed)
    for parsed in order:
        deliver(database, parsed)
        assert live_incidents(database, mixed) <= 1

    assert final_state(database, mixed) == final_state(database, true)
    expected_live = 1 if final_state(database, true)[0] is AlertStatus.FIRING else 0
    assert live_incidents(database, mixed) == expected_live
