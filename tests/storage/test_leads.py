"""A list that is narrowed down in several ways is read along one index, and says how far it looked."""

from datetime import timedelta
from typing import Any

from rows import add_alert
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from storage import leads
from storage.database import Database
from storage.pages import Order, in_order
from storage.tables import Alert
from storage.tables.base import utc_now

NEWEST_FIRST = Order(Alert.received_at, Alert.id)
OLD = "attic"


def test_rows_that_lie_far_down_are_reached_page_by_page_without_one_being_lost(database: Database) -> None:
    with database.write() as session:
        _add(session, 40, source="grafana", environment="production")
        wanted = _add(session, 3, source="grafana", environment=OLD, days_ago=9)

    with database.read() as session:
        found, pages = _read_all(session, [[Alert.source == "grafana"], [Alert.environment == OLD]], walked=10)

    assert sorted(found) == sorted(wanted)
    assert pages > 1


def test_whichever_is_the_rarer_one_leads(database: Database) -> None:
    with database.write() as session:
        _add(session, 40, source="grafana", hostname="db-1")
        (wanted,) = _add(session, 1, source=OLD, hostname="db-1", days_ago=9)

    with database.read() as session:
        found, pages = _read_all(session, [[Alert.hostname == "db-1"], [Alert.source == OLD]], walked=10)

    assert (found, pages) == ([wanted], 1)


def test_a_time_bounds_what_is_looked_at(database: Database) -> None:
    with database.write() as session:
        _add(session, 40, source="grafana", environment="production", days_ago=9)
        (wanted,) = _add(session, 1, source="grafana", environment=OLD)
    young = Alert.received_at >= utc_now() - timedelta(days=1)

    with database.read() as session:
        found, pages = _read_all(session, [[young], [Alert.environment == OLD]], walked=10)

    assert (found, pages) == ([wanted], 1)


def _add(session: Session, count: int, *, days_ago: float = 0, **given: Any) -> list[int]:
    at = utc_now() - timedelta(days=days_ago)
    return [
        add_alert(session, received_at=at - timedelta(seconds=number), trace_id="", **given).id
        for number in range(count)
    ]


def _read_all(
    session: Session, narrowings: list[list[ColumnElement[bool]]], *, walked: int
) -> tuple[list[int], int]:
    """The ids that are found by always looking on, and how often that took."""
    found: list[int] = []
    pages, after = 0, None
    while pages == 0 or after is not None:
        pages += 1
        lead = leads.choose(session, Alert, narrowings, order=NEWEST_FIRST, after=after, walked=walked)
        rows = in_order(
            session,
            Alert,
            order=NEWEST_FIRST,
            conditions=lead.conditions,
            kinds=lead.kinds,
            after=after,
            limit=100,
        )
        found += [row.id for row in rows]
        after = lead.end
    return found, pages
