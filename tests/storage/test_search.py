"""What a word means at one remove is bounded, and then it is the newest of it."""

from rows import add_alert, add_incident

from storage import runs, search
from storage.alerts import add_history
from storage.database import Database
from storage.vocabulary import AlertEvent

MANY = search.MEANT_MAX + 20


def test_newest_webhook_of_an_incident_is_found_whichever_alert_it_was_about(database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id
        quiet, loud = [add_alert(session, incident_id=pk, trace_id="").id for _ in range(2)]
        row = {"alert_id": loud, "event": AlertEvent.REFRESHED}
        add_history(session, [{**row, "trace_id": f"loud-{number}"} for number in range(MANY)])
        add_history(session, [{"alert_id": quiet, "event": AlertEvent.REFIRED, "trace_id": "newest"}])

    with database.read() as session:
        meant = search.resolve(session, f"incident:{pk}")

    assert "newest" in meant.traces
    assert len(meant.traces) == search.MEANT_MAX


def test_newest_runs_of_an_incident_are_found_where_it_has_too_many(database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id
        made = [runs.create_run(session, definition_name="direct", definition_version=1) for _ in range(MANY)]
        for run in made:
            run.incident_id = pk
        session.flush()
        newest = sorted(run.id for run in made)[-search.MEANT_MAX :]

    with database.read() as session:
        meant = search.resolve(session, f"incident:{pk}")

    assert sorted(meant.run_pks) == newest
