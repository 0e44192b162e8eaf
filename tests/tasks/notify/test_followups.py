"""Reminders and updates: who is told again, when, and never twice, on both databases."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import notifying
import pytest
from redelivering import redeliver
from rows import add_alert, add_incident
from sinks import HttpSink
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage import channels
from storage.database import Database
from storage.records import ChannelPolicy
from storage.tables import Incident, Notification
from storage.tables.base import utc_now
from storage.vocabulary import (
    AlertStatus,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
    Severity,
)
from tasks.notify.followups import follow_up

FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED
REMINDER, UPDATED = NotificationReason.REMINDER, NotificationReason.UPDATED
SENT, DEAD = NotificationStatus.SENT, NotificationStatus.DEAD
HOURS = 3600.0

Told = tuple[NotificationReason, int]


def add_channel(session: Session, name: str = "ops", *, is_active: bool = True, **policy: Any) -> None:
    channels.add_channel(
        session, name=name, driver="generic", config={}, policy=ChannelPolicy(**policy), is_active=is_active
    )


def add_message(
    session: Session, incident: Incident, *, minutes_ago: float, channel: str = "ops", **given: Any
) -> Notification:
    """A message of the incident's present episode that was sent so long ago, in whatever is not given."""
    at = utc_now() - timedelta(minutes=minutes_ago)
    fields = {
        "driver": "generic",
        "episode": incident.episode,
        "reason": FIRING,
        "status": SENT,
        "idempotency_key": str(uuid4()),
        "run_id": "run-1",
        "trace_id": "trace-1",
        "created_at": at,
        "updated_at": at,
        "claimed_at": at,
        "sent_at": at,
    }
    row = Notification(channel=channel, incident_id=incident.id, **(fields | given))
    session.add(row)
    session.flush()
    return row


def join(session: Session, incident: Incident, *, minutes_ago: float, **given: Any) -> None:
    """An alert that joined the incident so long ago."""
    joined_at = utc_now() - timedelta(minutes=minutes_ago)
    add_alert(session, incident_id=incident.id, joined_at=joined_at, **given)


def new_messages(database: Database) -> list[Told]:
    """What waits to be sent, in order."""
    with database.read() as session:
        rows = session.scalars(select(Notification).order_by(Notification.id))
        return [(row.reason, row.sequence) for row in rows if row.status is NotificationStatus.PENDING]


def told_again(database: Database) -> list[Told]:
    """What a look finds due."""
    follow_up()
    return new_messages(database)


@pytest.mark.parametrize(
    ("minutes_ago", "policy", "told"),
    [
        pytest.param(239, {}, [], id="not yet after the default of 4 h"),
        pytest.param(241, {}, [(REMINDER, 1)], id="after the default of 4 h"),
        pytest.param(
            61, {"repeat_interval_seconds": HOURS}, [(REMINDER, 1)], id="after the channel's own interval"
        ),
        pytest.param(100_000, {"repeat_interval_seconds": 0}, [], id="never where the channel says 0"),
        pytest.param(241, {"on": ["resolved"]}, [], id="not where firing is not wanted"),
        pytest.param(241, {"min_severity": "critical"}, [], id="not of what is below the least severity"),
        pytest.param(241, {"is_active": False}, [], id="not where the channel is switched off"),
    ],
)
def test_reminder_is_due_when_an_open_incident_was_long_not_spoken_of(
    database: Database, minutes_ago: float, policy: dict[str, Any], told: list[Told]
) -> None:
    with database.write() as session:
        add_channel(session, **policy)
        add_message(session, add_incident(session), minutes_ago=minutes_ago)

    assert told_again(database) == told


@pytest.mark.parametrize(
    ("last_minutes", "joined_minutes", "policy", "told"),
    [
        pytest.param(6, 1, {}, [(UPDATED, 1)], id="after the default of 5 min"),
        pytest.param(4, 1, {}, [], id="not so soon"),
        pytest.param(6, 7, {}, [], id="not for what was told already"),
        pytest.param(6, 1, {"update_interval_seconds": 0}, [], id="never where the channel says 0"),
        pytest.param(241, 1, {}, [(UPDATED, 1)], id="rather than a reminder"),
        pytest.param(
            241, 1, {"update_interval_seconds": 0}, [(REMINDER, 1)], id="which comes where it is not wanted"
        ),
    ],
)
def test_update_is_due_when_alerts_have_joined_since_the_last_message(
    database: Database, last_minutes: float, joined_minutes: float, policy: dict[str, Any], told: list[Told]
) -> None:
    with database.write() as session:
        add_channel(session, **policy)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=last_minutes)
        join(session, incident, minutes_ago=joined_minutes)

    assert told_again(database) == told


def test_alert_that_joined_while_the_last_message_was_on_its_way_is_news(database: Database) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=6, claimed_at=utc_now() - timedelta(minutes=7))
        join(session, incident, minutes_ago=6.5)

    assert told_again(database) == [(UPDATED, 1)]


def test_alert_whose_ingest_is_committed_after_the_message_is_told_of_later_and_once(
    database: Database, http_sink: HttpSink
) -> None:
    if database.is_sqlite:
        pytest.skip("one writer at a time")
    notifying.add_channel(database, "ops", http_sink.url)
    [change] = notifying.add_incidents(database)
    with database.write() as session:
        join(session, session.get_one(Incident, change.incident_id), minutes_ago=0, name="early joiner")
    with database.write() as session:
        join(session, session.get_one(Incident, change.incident_id), minutes_ago=0, name="late joiner")
        notifying.tell(database, change)
    told = []
    for _ in range(2):
        with database.write() as session:
            session.execute(update(Notification).values(sent_at=utc_now() - timedelta(minutes=6)))
        told.append(told_again(database))
        redeliver(database)

    assert told == [[(UPDATED, 1)], []]
    first, second = (request.body for request in http_sink.requests)
    assert b"late joiner" not in first
    assert b": 1 joined:\\n- warning late joiner\\n" in second


def test_alert_that_joined_and_ended_is_no_news(database: Database) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=6)
        join(session, incident, minutes_ago=1, status=AlertStatus.RESOLVED)

    assert told_again(database) == []


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (IncidentStatus.ACKNOWLEDGED, [[], [(UPDATED, 1)]]),
        (IncidentStatus.RESOLVED, [[], []]),
        (IncidentStatus.CLOSED, [[], []]),
    ],
    ids=str,
)
def test_acknowledged_incident_is_not_reminded_of_but_updated_and_one_that_is_over_neither(
    database: Database, status: IncidentStatus, told: list[list[Told]]
) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session, status=status)
        add_message(session, incident, minutes_ago=241)
    before = told_again(database)
    with database.write() as session:
        join(session, incident, minutes_ago=1)

    assert [before, told_again(database)] == told


def test_every_message_of_the_episode_starts_the_clock_anew(database: Database) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=500)
        add_message(session, incident, minutes_ago=230, reason=NotificationReason.ACKNOWLEDGED)

    assert told_again(database) == []


def test_reminder_that_was_given_up_is_not_made_anew_at_once(database: Database) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=500)
        add_message(session, incident, minutes_ago=10, reason=REMINDER, sequence=1, status=DEAD, sent_at=None)

    assert told_again(database) == []


@pytest.mark.parametrize(
    ("minutes", "policy", "told"),
    [
        pytest.param(6, {}, [], id="not after the interval of updates"),
        pytest.param(241, {}, [(UPDATED, 2)], id="but after that of reminders"),
        pytest.param(100_000, {"repeat_interval_seconds": 0}, [], id="never where there are no reminders"),
    ],
)
def test_update_after_one_that_was_given_up_waits_as_long_as_a_reminder(
    database: Database, minutes: float, policy: dict[str, Any], told: list[Told]
) -> None:
    with database.write() as session:
        add_channel(session, **policy)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=minutes + 10)
        add_message(session, incident, minutes_ago=minutes, reason=UPDATED, sequence=1, status=DEAD, sent_at=None)
        join(session, incident, minutes_ago=1)

    assert told_again(database) == told


def test_update_comes_at_its_own_interval_again_once_the_channel_has_taken_a_message(database: Database) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=500)
        add_message(session, incident, minutes_ago=260, reason=UPDATED, sequence=1, status=DEAD, sent_at=None)
        add_message(session, incident, minutes_ago=10, reason=REMINDER, sequence=1)
        join(session, incident, minutes_ago=1)

    assert told_again(database) == [(UPDATED, 2)]


def test_next_reminder_has_the_next_number_and_the_run_of_the_last_message_that_came_from_one(
    database: Database,
) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=900)
        add_message(
            session, incident, minutes_ago=600, reason=REMINDER, sequence=1, run_id="run-2", trace_id="t-2"
        )
        # An acknowledgement by a person, taken back since, has no run.
        add_message(session, incident, minutes_ago=300, reason=NotificationReason.ACKNOWLEDGED, run_id="")

    follow_up()

    with database.read() as session:
        row = session.scalars(select(Notification).where(Notification.status == NotificationStatus.PENDING)).one()
    assert (row.reason, row.sequence, row.run_id, row.trace_id) == (REMINDER, 2, "run-2", "t-2")
    assert (row.sender_run_id, row.channel, row.driver) == (None, "ops", "generic")


@pytest.mark.parametrize(
    "under_way", [{}, {"status": NotificationStatus.SENDING}, {"reason": RESOLVED, "episode": 1}], ids=str
)
def test_nothing_is_added_while_a_message_to_the_channel_about_the_incident_is_under_way(
    database: Database, under_way: dict[str, Any]
) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session, episode=2)
        add_message(session, incident, minutes_ago=500)
        waiting = {"reason": NotificationReason.ESCALATED, "status": NotificationStatus.FAILED, "sent_at": None}
        add_message(session, incident, minutes_ago=400, **(waiting | under_way))

    assert told_again(database) == []


@pytest.mark.parametrize(
    "told", [{"status": DEAD, "sent_at": None}, {"episode": 1}], ids=["dead", "earlier episode"]
)
def test_channel_that_was_never_told_of_the_present_episode_is_not_told_again(
    database: Database, told: dict[str, Any]
) -> None:
    with database.write() as session:
        add_channel(session)
        add_message(session, add_incident(session, episode=2), minutes_ago=500, **told)

    assert told_again(database) == []


def test_what_began_on_a_stand_in_goes_on_there_whatever_it_wants_of_its_own(database: Database) -> None:
    with database.write() as session:
        add_channel(session, on=["resolved"], min_severity="critical")
        add_message(session, add_incident(session), minutes_ago=241, instead_of="pager")

    assert told_again(database) == [(REMINDER, 1)]


def test_each_channel_has_a_clock_of_its_own(database: Database) -> None:
    with database.write() as session:
        add_channel(session, "ops")
        add_channel(session, "often", repeat_interval_seconds=HOURS)
        incident = add_incident(session)
        add_message(session, incident, minutes_ago=90)
        add_message(session, incident, minutes_ago=90, channel="often")

    follow_up()

    with database.read() as session:
        waiting = session.scalars(
            select(Notification.channel).where(Notification.status == NotificationStatus.PENDING)
        )
        assert list(waiting) == ["often"]


def test_looks_at_the_same_time_make_one_message(database: Database) -> None:
    with database.write() as session:
        add_channel(session)
        for _ in range(20):
            incident = add_incident(session)
            add_message(session, incident, minutes_ago=241)
    barrier, counts = threading.Barrier(4), list[int]()

    def look() -> None:
        barrier.wait()
        counts.append(follow_up())

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()

    assert sorted(counts) == [0, 0, 0, 20]
    assert new_messages(database) == [(REMINDER, 1)] * 20


def test_second_look_finds_nothing_new(database: Database) -> None:
    with database.write() as session:
        add_channel(session)
        add_message(session, add_incident(session), minutes_ago=241)

    assert [follow_up(), follow_up()] == [1, 0]


def end(incident: Incident) -> None:
    incident.status = IncidentStatus.RESOLVED


def acknowledge(incident: Incident) -> None:
    incident.status = IncidentStatus.ACKNOWLEDGED


def begin_anew(incident: Incident) -> None:
    incident.episode += 1


@pytest.mark.parametrize(
    ("reason", "event", "is_discarded"),
    [
        (REMINDER, end, True),
        (UPDATED, end, True),
        (REMINDER, begin_anew, True),
        (REMINDER, acknowledge, True),
        (UPDATED, acknowledge, False),
    ],
)
def test_follow_up_that_waits_is_taken_back_when_the_incident_has_moved_on(
    database: Database, reason: NotificationReason, event: Callable[[Incident], None], is_discarded: bool
) -> None:
    with database.write() as session:
        add_channel(session)
        incident = add_incident(session, severity=Severity.CRITICAL)
        add_message(session, incident, minutes_ago=300)
        row = add_message(
            session, incident, minutes_ago=5, reason=reason, status=NotificationStatus.FAILED, sent_at=None
        )
    with database.write() as session:
        event(session.get_one(Incident, incident.id))

    follow_up()

    with database.read() as session:
        found = session.get_one(Notification, row.id)
    assert (found.status is NotificationStatus.DISCARDED) is is_discarded
    assert (found.error_message == "the incident had moved on") is is_discarded
