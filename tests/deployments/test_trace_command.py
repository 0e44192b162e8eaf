"""`watchkeeper trace` and `watchkeeper report` after real runs, on both databases."""

import json
from datetime import timedelta
from typing import Any

import pytest
from analyzing import add_run, alert, execute_to_the_end, rows, save_pipeline
from commands import watchkeeper
from rows import add_alert, add_delivery, add_incident
from sinks import HttpSink

from storage import channels, figures
from storage.database import Database
from storage.records import ChannelPolicy
from storage.tables import Alert, Delivery
from storage.tables.base import utc_now
from storage.vocabulary import IncidentStatus, Severity


@pytest.fixture
def told(database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> tuple[Database, str]:
    """An alert that came, was analysed, and was told to one channel, and not to another. With its run."""
    monkeypatch.setenv("COLUMNS", "80")
    save_pipeline(database, http_sink.url)
    with database.write() as session:
        policy = ChannelPolicy(min_severity=Severity.CRITICAL)
        config = {"endpoint": http_sink.url, "headers": {"X-Api-Key": "hunter2"}}
        channels.add_channel(session, name="pager", driver="generic", config=config, policy=policy)
    run_id = add_run(database, alert("db-1", severity="warning"))
    execute_to_the_end(run_id)
    return database, run_id


def test_whole_way_of_an_alert_is_told_in_the_order_of_time(told: tuple[Database, str]) -> None:
    database, run_id = told
    [stored] = rows(database, Alert)

    said = watchkeeper("trace", str(stored.id))

    assert said.code == 0, said.stderr
    steps = [
        "received ",
        "1 created, new to firing",
        "1 opened: Disk full on db-1",
        f"alert {stored.id} joined incident 1: its group is ",
        f"began {run_id}: analyzed version 1",
        "INGEST SUCCEEDED in ",
        "ANALYZE SUCCEEDED in ",
        "local SUCCEEDED",
        "NOTIFY SUCCEEDED in ",
        "people (generic) sent: [FIRING]",
        "not told     pager of incident 1 firing: ",
        f"ended {run_id} NOTIFIED in ",
    ]
    assert [step for step in steps if step not in said.text] == []
    places = [said.text.index(step) for step in (steps[0], steps[4], steps[6], steps[9], steps[11])]
    assert places == sorted(places)
    assert "hunter2" not in said.text


def test_every_id_leads_to_the_same_way(told: tuple[Database, str]) -> None:
    database, run_id = told
    [stored], [delivery] = rows(database, Alert), rows(database, Delivery)
    names = [f"alert:{stored.id}", stored.fingerprint, stored.fingerprint[:10], run_id, run_id[:8], "trace-1"]
    names += [delivery.delivery_id, delivery.delivery_id[:8]]

    for name in names:
        said = watchkeeper("trace", name, "--json")
        assert said.code == 0, (name, said.stderr)
        way = json.loads(said.stdout)
        assert [run["run_id"] for run in way["runs"]] == [run_id]
        assert [each["id"] for each in way["alerts"]] == [stored.id]
        assert [each["status"] for each in way["notifications"]] == ["sent"]
        assert [each["channel"] for each in way["passed_over"]] == ["pager"]
        assert way["timeline"][0]["text"].startswith("received")


def test_several_that_fit_are_listed_and_none_is_said_so(database: Database) -> None:
    with database.write() as session:
        for source in ("grafana", "zabbix"):
            add_alert(session, source=source, fingerprint="0123456789abc", name="Disk \x1b[2J full")
        add_delivery(session, delivery_id="0123456789-delivery")

    several, none, short = (watchkeeper("trace", text) for text in ("0123456789", "nosuch-thing", "0123456"))

    assert several.code == 1
    assert [line.split()[0] for line in several.text.splitlines()] == ["alert:2", "alert:1", "0123456789-delivery"]
    assert "\x1b" not in several.text
    for said in (none, short):
        assert said.code == 1
        assert "there is no alert, trace, run or delivery" in said.stderr
        assert "Traceback" not in said.stderr


def test_report_counts_what_happened(told: tuple[Database, str]) -> None:
    database, _ = told
    with database.write() as session:
        add_delivery(session, source="zabbix")
        add_delivery(session, received_at=utc_now() - timedelta(days=3))
        add_delivery(session, received_at=utc_now() - timedelta(days=8))

    report = json.loads(watchkeeper("report", "--json").stdout)
    day: dict[str, Any] = report["last_24_hours"]

    assert report["now"] == {
        "deliveries_waiting": 3,
        "runs_in_flight": 0,
        "dead_letters": 0,
        "messages_waiting": 0,
    }
    assert day["deliveries"] == {
        "total": 2,
        "by_status": {"done": 1, "waiting": 1},
        "by_source": {"generic": 1, "zabbix": 1},
    }
    assert report["last_7_days"]["deliveries"]["total"] == 3
    assert day["alerts"] == {"new": 1, "fired_again": 0, "resolved": 0}
    assert day["incidents"]["opened_by_severity"] == {"warning": 1}
    assert (day["runs"]["by_status"], day["runs"]["success_percent"]) == ({"NOTIFIED": 1}, 100)
    assert {each["stage"] for each in day["stages"]} == {"INGEST", "ANALYZE", "NOTIFY"}
    assert day["analyses"]["by_provider"] == [{"provider": "local", "count": 1, "total_tokens": 0}]
    assert day["notifications"]["by_channel"] == [{"channel": "people", "by_status": {"sent": 1}}]
    words = watchkeeper("report").text
    for said in ("runs           1 (NOTIFIED 1)", "people       sent 1", "last 7 days"):
        assert said in words


@pytest.mark.parametrize(("minutes", "median"), [([10], 600), ([10, 30], 1200), ([50, 10, 20], 1200)], ids=str)
def test_time_to_resolve_is_the_median(database: Database, minutes: list[int], median: float) -> None:
    now = utc_now()
    with database.write() as session:
        for each in minutes:
            given = {"status": IncidentStatus.RESOLVED, "severity": Severity.CRITICAL, "resolved_at": now}
            add_incident(session, started_at=now - timedelta(minutes=each), **given)
        add_incident(session)

    with database.read() as session:
        found = figures.figures(session, since=now - timedelta(days=1))["incidents"]

    assert (found["opened"], found["resolved"]) == (len(minutes) + 1, len(minutes))
    assert found["median_seconds_to_resolve"] == pytest.approx(median, abs=0.5)
