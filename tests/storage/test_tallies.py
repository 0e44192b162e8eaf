"""Totals that only rise, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rows import add_incident
from sqlalchemy import event
from sqlalchemy.orm import Session

from storage import tallies
from storage.database import Database
from storage.tables import Incident
from storage.vocabulary import DeliveryStatus


def counted(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {total.outcome: total.count for total in tallies.read(session)}


def test_totals_are_the_last_that_is_written_before_a_commit(database: Database) -> None:
    """Their rows are everybody's: whoever waited for another lock while holding one could wait for ever."""
    with database.write() as session:
        incident_id = add_incident(session).id
    written: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        written.append(statement.split()[2 if statement.startswith("INSERT") else 1])

    with database.write() as session:
        tallies.add(session, tallies.RUNS, what="direct", outcome="notified")
        session.get_one(Incident, incident_id).title = "still in the session alone"

    assert written[-2:] == ["incidents", "tallies"]


def test_what_several_count_at_once_adds_up_and_what_is_rolled_back_does_not(database: Database) -> None:
    def count(number: int) -> None:
        with database.write() as session:
            for outcome in ("notified", "failed") if number % 2 else ("failed", "notified"):
                tallies.add(session, tallies.RUNS, what="direct", outcome=outcome, seconds=number)

    def break_off() -> None:
        with database.write() as session:
            tallies.add(session, tallies.RUNS, what="direct", outcome="failed")
            raise ConnectionError

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(20)))
    with pytest.raises(ConnectionError):
        break_off()

    assert counted(database) == {"failed": 20, "notified": 20}


def test_session_that_is_committed_twice_counts_once(database: Database) -> None:
    with Session(database.engine) as session:
        tallies.add(session, tallies.DELIVERIES, what="", outcome=DeliveryStatus.DONE, count=3)
        session.commit()
        add_incident(session)
        session.commit()

    assert counted(database) == {"done": 3}
