"""One body of five thousand alerts, from the door to the message."""

import asyncio
import json
import time
from pathlib import Path

from sinks import HttpSink
from sqlalchemy import func, select

from flows.direct import run_directly
from flows.execution import Outcome
from storage import channels, inbox, runs, settings
from storage.database import Database
from storage.tables import Alert, Incident
from storage.vocabulary import RunStatus
from tasks.definition.library import save_presets
from webhook_app.app import create_app


def run(database: Database) -> Outcome:
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=10)
        made = runs.create_run(session, definition_name="direct", definition_version=0, deliveries=claimed)
    return asyncio.run(run_directly(made.run_id))


def test_five_thousand_alerts_are_one_incident_and_one_message_that_sums_up(
    database: Database, http_sink: HttpSink, payloads: Path
) -> None:
    with database.write() as session:
        save_presets(session)
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    client = create_app(settings.load(), database).test_client()
    body = (payloads / "nasty/05_group_of_5000_alerts.json").read_bytes()
    began_at = time.monotonic()

    answer = client.post("/alerts/webhook/?pipeline=direct", data=body)
    answered_seconds = time.monotonic() - began_at
    outcome = run(database)
    ingested_seconds = time.monotonic() - began_at

    assert (answer.status_code, outcome.status) == (202, RunStatus.NOTIFIED)
    assert answered_seconds < 1
    assert ingested_seconds < 30
    with database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Alert, Incident)]
    assert counts == [5000, 1]
    [message] = http_sink.requests
    said = json.loads(message.body)
    assert "Alerts: 5,000 (1,667 critical, 1,667 warning, 1,666 info), 5,000 firing" in said["message"]
    assert "… and 4,990 more" in said["message"]
    assert len(message.body) < 100_000

    client.post("/alerts/webhook/?pipeline=direct", data=body)
    run(database)

    assert len(http_sink.requests) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alert)) == 5000
