"""What people may do to incidents, also at the same moment as ingest, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from rows import add_alert, add_incident
from sqlalchemy import select

from storage import incidents, transitions
from storage.database import Database
from storage.incidents import NOTE_MAX_CHARS, NOTES_KEPT, TRANSITIONS_KEPT
from storage.tables import Alert, Incident
from storage.transitions import ALLOWED, Action, IncidentNotFoundError, TransitionError
from storage.vocabulary import AlertStatus, IncidentStatus
from tasks.ingest import sources
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import read_json

OPEN, ACKNOWLEDGED = IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED
RESOLVED, CLOSED = IncidentStatus.RESOLVED, IncidentStatus.CLOSED
AT = datetime(2026, 9, 14, 6, 0, tzinfo=UTC)


def make_incident(database: Database, status: IncidentStatus = OPEN) -> int:
    with database.write() as session:
        return add_incident(session, status=status).id


def act(database: Database, action: Action, incident_id: int) -> None:
    with database.write() as session:
        if action is Action.ACKNOWLEDGE:
            transitions.acknowledge(session, incident_id, author="ada")
        elif action is Action.RESOLVE:
            transitions.resolve(session, incident_id, author="ada")
        elif action is Action.CLOSE:
            transitions.close(session, incident_id, author="ada")
        else:
            transitions.add_note(session, incident_id, author="ada", text="seen")


def find(database: Database, incident_id: int) -> Incident:
    with database.read() as session:
        return session.get_one(Incident, incident_id)


def moves(incident: Incident) -> list[tuple[str, str, str]]:
    return [(entry["author"], entry["from"], entry["to"]) for entry in incident.details.get("transitions", [])]


def ingest(database: Database, status: str, *, start: str, end: str = "") -> None:
    body = (
        f'{{"name": "Disk full", "status": "{status}", "labels": {{"host": "db-1"}},'
        f' "started_at": "{start}", "ended_at": "{end}"}}'
    )
    payload = sources.parse(read_json(body.encode()), source="generic")
    arrival = Arrival(payload=payload, trace_id="trace-1", environment="test", received_at=datetime.now(UTC))
    with database.write() as session:
        apply(session, [arrival], reopen_window=timedelta(minutes=10))


@pytest.mark.parametrize(
    ("status", "action", "after"),
    [
        (OPEN, Action.ACKNOWLEDGE, ACKNOWLEDGED),
        (OPEN, Action.RESOLVE, RESOLVED),
        (OPEN, Action.CLOSE, CLOSED),
        (ACKNOWLEDGED, Action.RESOLVE, RESOLVED),
        (ACKNOWLEDGED, Action.CLOSE, CLOSED),
        (RESOLVED, Action.CLOSE, CLOSED),
    ],
)
def test_allowed_action_moves_the_incident_and_says_who_did_it(
    database: Database, status: IncidentStatus, action: Action, after: IncidentStatus
) -> None:
    incident_id = make_incident(database, status)

    act(database, action, incident_id)

    incident = find(database, incident_id)
    assert incident.status is after
    assert moves(incident) == [("ada", status.value, after.value)]
    assert getattr(incident, f"{after}_at") is not None


@pytest.mark.parametrize(
    ("status", "action", "words"),
    [
        (RESOLVED, Action.ACKNOWLEDGE, "is resolved and cannot be acknowledged; allowed: close, note"),
        (RESOLVED, Action.RESOLVE, "is resolved and cannot be resolved; allowed: close, note"),
        (CLOSED, Action.ACKNOWLEDGE, "is closed and cannot be acknowledged; allowed: note"),
        (CLOSED, Action.RESOLVE, "is closed and cannot be resolved; allowed: note"),
        (CLOSED, Action.CLOSE, "is closed and cannot be closed; allowed: note"),
    ],
)
def test_forbidden_action_is_refused_by_name_and_changes_nothing(
    database: Database, status: IncidentStatus, action: Action, words: str
) -> None:
    incident_id = make_incident(database, status)

    with pytest.raises(TransitionError, match=f"incident {incident_id} {words}") as caught:
        act(database, action, incident_id)

    incident = find(database, incident_id)
    assert (incident.status, moves(incident)) == (status, [])
    assert (caught.value.status, caught.value.allowed) == (status, ALLOWED[status])


@pytest.mark.parametrize("action", list(Action))
def test_incident_that_is_not_there_is_named(database: Database, action: Action) -> None:
    with pytest.raises(IncidentNotFoundError, match="no incident 4711"):
        act(database, action, 4711)


def test_second_acknowledge_changes_nothing_and_keeps_the_first_ones_name(database: Database) -> None:
    incident_id = make_incident(database)
    act(database, Action.ACKNOWLEDGE, incident_id)
    acknowledged_at = find(database, incident_id).acknowledged_at

    with database.write() as session:
        _, has_changed = transitions.acknowledge(session, incident_id, author="bob")

    incident = find(database, incident_id)
    assert not has_changed
    assert (moves(incident), incident.acknowledged_at) == ([("ada", "open", "acknowledged")], acknowledged_at)


def test_resolve_keeps_the_summary_and_leaves_the_alerts_as_they_are(database: Database) -> None:
    incident_id = make_incident(database)
    with database.write() as session:
        alert_id = add_alert(session, incident_id=incident_id).id

    with database.write() as session:
        transitions.resolve(session, incident_id, author="ada", summary="The log was rotated.")

    with database.read() as session:
        assert session.get_one(Alert, alert_id).status is AlertStatus.FIRING
    assert find(database, incident_id).summary == "The log was rotated."


@pytest.mark.parametrize("status", list(IncidentStatus))
def test_note_is_kept_whatever_the_status(database: Database, status: IncidentStatus) -> None:
    incident_id = make_incident(database, status)

    act(database, Action.NOTE, incident_id)

    incident = find(database, incident_id)
    [note] = incident.details["notes"]
    assert (note["author"], note["text"], incident.status) == ("ada", "seen", status)
    assert datetime.fromisoformat(note["at"]).tzinfo is not None


def test_note_that_is_delivered_again_is_kept_once(database: Database) -> None:
    incident_id = make_incident(database)

    for at in (AT, AT, AT + timedelta(seconds=1)):
        with database.write() as session:
            incident = session.get_one(Incident, incident_id)
            incidents.add_note(incident, text="seen", author="opsgenie", at=at)

    assert len(find(database, incident_id).details["notes"]) == 2


def test_notes_and_transitions_are_bounded_and_say_how_many_are_gone() -> None:
    incident = Incident(status=OPEN, details=None)

    for minute in range(NOTES_KEPT + 3):
        at = AT + timedelta(minutes=minute)
        incidents.add_note(incident, text=f"{minute}:" + "x" * NOTE_MAX_CHARS, author="ada", at=at)
    for _ in range(TRANSITIONS_KEPT):
        incidents.acknowledge(incident)
        incidents.unacknowledge(incident)

    notes, entries = incident.details["notes"], incident.details["transitions"]
    assert (len(notes), incident.details["notes_dropped"]) == (NOTES_KEPT, 3)
    assert notes[-1]["text"].startswith(f"{NOTES_KEPT + 2}:")
    assert notes[-1]["text"].endswith("…")
    assert len(notes[-1]["text"]) == NOTE_MAX_CHARS
    assert (len(entries), incident.details["transitions_dropped"]) == (TRANSITIONS_KEPT, TRANSITIONS_KEPT)


def test_senders_people_may_take_their_acknowledgement_back(database: Database) -> None:
    incident_id = make_incident(database)
    act(database, Action.ACKNOWLEDGE, incident_id)

    with database.write() as session:
        incidents.unacknowledge(session.get_one(Incident, incident_id))

    incident = find(database, incident_id)
    assert (incident.status, incident.acknowledged_at) == (OPEN, None)
    assert moves(incident)[-1] == ("", "acknowledged", "open")


def test_next_episode_reopens_an_incident_resolved_by_hand(database: Database) -> None:
    ingest(database, "firing", start="2026-09-14T03:00:00Z")
    [incident_id] = all_ids(database)
    act(database, Action.RESOLVE, incident_id)
    ingest(database, "resolved", start="2026-09-14T03:00:00Z", end="2026-09-14T03:10:00Z")

    ingest(database, "firing", start="2026-09-14T03:15:00Z")

    incident = find(database, incident_id)
    assert (all_ids(database), incident.status, incident.episode) == ([incident_id], OPEN, 2)
    assert moves(incident) == [("ada", "open", "resolved"), ("", "resolved", "open")]


def test_next_episode_of_a_closed_incident_opens_another(database: Database) -> None:
    ingest(database, "firing", start="2026-09-14T03:00:00Z")
    [incident_id] = all_ids(database)
    act(database, Action.CLOSE, incident_id)
    ingest(database, "resolved", start="2026-09-14T03:00:00Z", end="2026-09-14T03:10:00Z")

    ingest(database, "firing", start="2026-09-14T03:15:00Z")

    assert len(all_ids(database)) == 2
    assert find(database, incident_id).status is CLOSED


def test_of_eight_people_at_once_one_acknowledges(database: Database) -> None:
    incident_id = make_incident(database)
    together = threading.Barrier(8)

    def click(number: int) -> bool:
        together.wait()
        with database.write() as session:
            return transitions.acknowledge(session, incident_id, author=f"person-{number}")[1]

    with ThreadPoolExecutor(8) as people:
        changed = list(people.map(click, range(8)))

    assert sorted(changed) == [False] * 7 + [True]
    assert moves(find(database, incident_id)) == [(f"person-{changed.index(True)}", "open", "acknowledged")]


def test_person_waits_for_an_ingest_that_resolves_the_same_incident(database: Database) -> None:
    incident_id = make_incident(database)
    group_key = find(database, incident_id).group_key
    has_lock, may_end = threading.Event(), threading.Event()

    def resolve_slowly() -> None:
        with database.write() as session:
            incidents.lock_groups(session, [group_key])
            incident = incidents.last_of_groups(session, [group_key])[group_key]
            has_lock.set()
            may_end.wait(10)
            incidents.resolve(incident, resolved_at=None)

    with ThreadPoolExecutor(2) as both:
        ingesting = both.submit(resolve_slowly)
        has_lock.wait(10)
        person = both.submit(act, database, Action.ACKNOWLEDGE, incident_id)
        with pytest.raises(TimeoutError):
            person.result(0.3)
        may_end.set()

        with pytest.raises(TransitionError, match="is resolved and cannot be acknowledged"):
            person.result(20)
    ingesting.result(20)
    assert moves(find(database, incident_id)) == [("", "open", "resolved")]


def all_ids(database: Database) -> list[int]:
    with database.read() as session:
        return list(session.scalars(select(Incident.id).order_by(Incident.id)))
