"""What was before an incident, on both databases: for all incidents of a run in a few looks."""

from collections.abc import Iterator
from contextlib import contextmanager

from rows import add_incident
from sqlalchemy import event

from storage import incidents
from storage.database import Database
from storage.tables import AnalysisRun
from storage.vocabulary import AnalysisStatus, IncidentStatus

OVER = [IncidentStatus.RESOLVED, IncidentStatus.CLOSED]


@contextmanager
def queries(database: Database) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):  # SQLite's BEGIN is one too
            sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


def add_past(database: Database, group: str, count: int) -> int:
    """An open incident, and as many before it in its group as this; its id."""
    with database.write() as session:
        for number in range(count):
            add_incident(
                session,
                group_key=group,
                title=f"{group} {number}",
                status=OVER[number % 2],
                details={"notes": [{"text": f"note {number}"}]} if number else None,
            )
        return add_incident(session, group_key=group, title=f"{group} now").id


def test_each_incident_has_the_newest_before_it_in_its_own_group(database: Database) -> None:
    long, short, none = (add_past(database, group, count) for group, count in (("a", 7), ("b", 2), ("c", 0)))
    with database.write() as session:
        add_incident(session, group_key="a", title="after", status=IncidentStatus.CLOSED)

    with database.read() as session:
        found = incidents.earlier_of_groups(session, [short, none, long], limit=3)
        alone = incidents.earlier_of_group(session, long, limit=2)

    titles = {incident_id: [each.title for each in earlier] for incident_id, earlier in found.items()}
    assert titles == {long: ["a 6", "a 5", "a 4"], short: ["b 1", "b 0"], none: []}
    assert [each.notes for each in found[short]] == [["note 1"], []]
    assert [each.title for each in alone] == ["a 6", "a 5"]


def test_one_that_is_not_over_is_not_the_past(database: Database) -> None:
    first = add_past(database, "a", 1)
    with database.write() as session:
        later = add_incident(session, group_key="a", status=IncidentStatus.CLOSED).id

    with database.read() as session:
        found = incidents.earlier_of_groups(session, [later], limit=5)

    assert first < later
    assert [each.title for each in found[later]] == ["a 0"]


def test_the_newest_cause_that_was_found_is_told(database: Database) -> None:
    now = add_past(database, "a", 2)
    outcomes = [
        ("first", AnalysisStatus.SUCCEEDED),
        ("newest", AnalysisStatus.SUCCEEDED),
        ("", AnalysisStatus.FAILED),
    ]
    with database.write() as session:
        for cause, status in outcomes:
            session.add(AnalysisRun(provider="local", status=status, incident_id=now - 1, probable_cause=cause))
            session.flush()

    with database.read() as session:
        found = incidents.earlier_of_groups(session, [now], limit=5)

    assert [each.probable_cause for each in found[now]] == ["newest", ""]


def test_a_storm_takes_no_more_looks_than_one_incident(database: Database) -> None:
    wanted = [add_past(database, f"group-{number}", 1) for number in range(20)]

    with database.read() as session, queries(database) as sent:
        found = incidents.earlier_of_groups(session, wanted, limit=5)

    assert [len(found[each]) for each in wanted] == [1] * 20
    assert len(sent) == 3
