"""Lists read through an index that has their order, so that a page of a million alerts costs what one of ten does.

SQLite plans without statistics, so that its plans are the same for an empty table; PostgreSQL's are better.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from storage import alerts, incidents, trail
from storage.database import Database
from storage.pages import Place
from storage.tables import Base
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, IncidentStatus, Severity

SORT = "USE TEMP B-TREE FOR ORDER BY"
PLACE = Place(utc_now(), 7)


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    Base.metadata.create_all(database.engine)
    yield database
    database.dispose()


def plan(database: Database, read: Callable[[Session], object]) -> list[str]:
    """What SQLite does for the statements of a reading."""
    statements: list[tuple[str, object]] = []

    def note(_c: object, _u: object, statement: str, parameters: object, _x: object, _m: object) -> None:
        statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.read() as session:
        read(session)
    event.remove(database.engine, "before_cursor_execute", note)
    with database.engine.connect() as connection:
        rows = [
            row
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    return [row[3] for row in rows]


@pytest.mark.parametrize(
    ("read", "index"),
    [
        (lambda s: alerts.list_alerts(s, limit=20), "ix_alerts_received_at"),
        (lambda s: alerts.list_alerts(s, after=PLACE, limit=20), "ix_alerts_received_at"),
        (lambda s: alerts.list_alerts(s, since=PLACE.at, limit=20), "ix_alerts_received_at"),
        (lambda s: alerts.list_alerts(s, source="x", after=PLACE, limit=20), "ix_alerts_source_received_at"),
        (lambda s: alerts.list_alerts(s, incident_id=1, limit=20), "ix_alerts_incident_id_received_at"),
        (
            lambda s: alerts.list_alerts(s, incident_id=1, statuses=[AlertStatus.FIRING], source="x", limit=20),
            "ix_alerts_incident_id_received_at",
        ),
        (lambda s: incidents.list_incidents(s, after=PLACE, limit=20), "ix_incidents_created_at"),
        (lambda s: trail.history_of_alert(s, 1, limit=20), "ix_alert_history_alert_id_id"),
    ],
)
def test_list_is_read_in_the_order_of_an_index(
    lite: Database, read: Callable[[Session], object], index: str
) -> None:
    [step] = plan(lite, read)

    assert step.startswith(("SEARCH", "SCAN"))
    assert f"INDEX {index}" in step


@pytest.mark.parametrize(
    ("read", "index", "kinds"),
    [
        (
            lambda s: alerts.list_alerts(s, statuses=[AlertStatus.FIRING], after=PLACE, limit=20),
            "ix_alerts_status_severity_received_at",
            3,
        ),
        (
            lambda s: alerts.list_alerts(s, severities=[Severity.INFO, Severity.WARNING], limit=20),
            "ix_alerts_status_severity_received_at",
            4,
        ),
        (
            lambda s: incidents.list_incidents(s, statuses=[IncidentStatus.OPEN], since=PLACE.at, limit=20),
            "ix_incidents_status_severity_created_at",
            3,
        ),
    ],
)
def test_each_kind_is_read_in_order_and_only_what_they_leave_is_sorted(
    lite: Database, read: Callable[[Session], object], index: str, kinds: int
) -> None:
    steps = plan(lite, read)

    assert len([step for step in steps if f"INDEX {index} (status=? AND severity=?" in step]) == kinds
    assert len([step for step in steps if step.startswith("CO-ROUTINE")]) == kinds  # each with a limit of its own
    assert steps.index(SORT) == len(steps) - 1


def test_trace_id_is_looked_up_first_whatever_else_is_asked(lite: Database) -> None:
    def read(session: Session) -> None:
        firing, critical = [AlertStatus.FIRING], [Severity.CRITICAL]
        alerts.list_alerts(session, trace_id="t", statuses=firing, source="x", severities=critical, limit=20)
        incidents.list_incidents(session, trace_id="t", source="x", severities=critical, limit=20)

    steps = plan(lite, read)

    assert len([step for step in steps if "INDEX ix_alert_history_trace_id (trace_id=?)" in step]) == 2
    assert [step for step in steps if step.startswith("SCAN") or "(status=?" in step] == []
