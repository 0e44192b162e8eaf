"""An action that goes wrong in a way nobody foresaw: what was done is told, and so is what was not."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from console_client import Console, console
from flask import Flask
from rows import add_incident
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from storage.database import Database
from storage.settings import Settings
from storage.tables import AuditEntry, Incident
from storage.vocabulary import AuditOutcome, IncidentStatus
from webhook_app.app import create_app


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Flask:
    return create_app(Settings(home=tmp_path), database)


@pytest.fixture
def person(app: Flask) -> Console:
    """Somebody at this machine."""
    return console(app)


def add_incidents(database: Database, count: int) -> list[int]:
    with database.write() as session:
        return [add_incident(session).id for _ in range(count)]


def acknowledge(person: Console, pks: Sequence[int]) -> str:
    form = {"action": "acknowledge", "rowid": list(pks)}
    return person.post("/admin/incidents/action/", form, follow_redirects=True).text


def statuses(database: Database) -> list[IncidentStatus]:
    with database.read() as session:
        return list(session.scalars(select(Incident.status).order_by(Incident.id)))


def outcomes(database: Database) -> list[tuple[str, AuditOutcome]]:
    with database.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(row.object_id, row.outcome) for row in rows]


def test_error_nobody_foresaw_is_told_and_kept_and_the_other_rows_are_done(
    person: Console, database: Database
) -> None:
    first, broken, last = add_incidents(database, 3)
    with database.write() as session:
        session.get_one(Incident, broken).details = {"transitions": 7}  # no version wrote that

    page = acknowledge(person, [first, broken, last])

    assert "2 incidents acknowledged" in page
    assert "Acknowledge: failed for 1 incident: TypeError; the log has the details" in page
    assert statuses(database) == ["acknowledged", "open", "acknowledged"]
    assert outcomes(database) == [(str(first), "done"), (str(broken), "failed"), (str(last), "done")]


def test_database_that_goes_away_meanwhile_ends_the_attempt_and_what_was_done_is_told(
    person: Console, database: Database
) -> None:
    pks = add_incidents(database, 4)
    commits = iter([True])  # the first deed is kept

    def lose(_connection: object) -> None:
        if not next(commits, False):
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    event.listen(database.engine, "commit", lose)
    try:
        page = acknowledge(person, pks)
    finally:
        event.remove(database.engine, "commit", lose)

    assert "1 incident acknowledged" in page
    assert "failed for 3 incidents: the database is away" in page
    assert statuses(database) == ["acknowledged", "open", "open", "open"]
    assert outcomes(database) == [(str(pks[0]), "done")]
