"""What a vendor's bodies become: the alert that is read from one, and the one that is stored of several."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from storage.database import Database
from storage.records import ParsedAlert
from storage.tables import Alert
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.sources import parse


def only_alert_of(source: str, payload: Any) -> ParsedAlert:
    """The alert of a body that is recognised as this source's and holds one alert and no fault."""
    parsed = parse(payload)
    assert (parsed.source, parsed.faults) == (source, [])
    [alert] = parsed.alerts
    return alert


def ingest_at(received_at: datetime, database: Database, *payloads: Any) -> None:
    """Store what these bodies say, each in a transaction of its own."""
    for payload in payloads:
        arrival = Arrival(parse(payload), trace_id="trace-1", environment="test", received_at=received_at)
        with database.write() as session:
            apply(session, [arrival], reopen_window=timedelta(minutes=10))


def the_alert(database: Database) -> Alert:
    """The one alert that is stored."""
    with database.read() as session:
        return session.scalars(select(Alert)).one()
