"""`/alerts/` as people and programs read it."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from rows import add_alert, add_incident
from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import inbox, runs, settings
from storage.alerts import add_history
from storage.database import Database
from storage.inbox import NewDelivery
from storage.tables import Alert, Delivery
from storage.tables.base import utc_now
from storage.vocabulary import AlertEvent, AlertStatus, Severity
from webhook_app.app import create_app

RESOLVED, FIRING = AlertStatus.RESOLVED, AlertStatus.FIRING
NOW = utc_now()
IN_BETWEEN = (NOW - timedelta(days=2, hours=1)).isoformat()


def names(client: FlaskClient, url: str) -> list[str]:
    response = client.get(url)
    assert response.status_code == 200, response.json
    return [alert["name"] for alert in response.json["alerts"]]


@pytest.fixture
def five(database: Database) -> None:
    """Alerts from one to five days old."""
    rows: list[dict[str, Any]] = [
        {"name": "Disk full", "source": "alertmanager", "severity": Severity.CRITICAL, "trace_id": "trace-a"},
        {"name": "disk 100% full", "source": "zabbix", "status": RESOLVED},
        {"name": "CPU_load", "source": "zabbix", "severity": Severity.INFO},
        {"name": "CPU load", "severity": Severity.CRITICAL, "status": RESOLVED},
        {"name": "Backup failed", "trace_id": "trace-b"},
    ]
    with database.write() as session:
        incident = add_incident(session)
        for days, row in enumerate(rows, start=1):
            incident_id = incident.id if row["name"] == "CPU_load" else None
            add_alert(session, received_at=NOW - timedelta(days=days), incident_id=incident_id, **row)


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Disk full", "disk 100% full", "CPU_load", "CPU load", "Backup failed"]),
        ("limit=2", ["Disk full", "disk 100% full"]),
        ("status=resolved", ["disk 100% full", "CPU load"]),
        ("status=firing,resolved", ["Disk full", "disk 100% full", "CPU_load", "CPU load", "Backup failed"]),
        ("severity=critical", ["Disk full", "CPU load"]),
        pytest.param("status=" + "resolved," * 600 + "resolved", ["disk 100% full", "CPU load"], id="repeated"),
        ("severity=Critical,info", ["Disk full", "CPU_load", "CPU load"]),
        ("severity=critical&severity=info", ["Disk full", "CPU_load", "CPU load"]),
        ("status=firing&severity=critical,warning", ["Disk full", "Backup failed"]),
        ("source=zabbix", ["disk 100% full", "CPU_load"]),
        ("source=zabb", []),
        ("name=DISK", ["Disk full", "disk 100% full"]),
        ("name=%25", ["disk 100% full"]),
        ("name=cpu_", ["CPU_load"]),
        ("name=cpu&status=resolved", ["CPU load"]),
        ("name=cpu%00", []),
        ("trace_id=trace-a", ["Disk full"]),
        ("trace_id=trace-b&status=resolved", []),
        ("trace_id=trace-b&source=generic&severity=warning", ["Backup failed"]),
        ("incident=1", ["CPU_load"]),
        ("incident=1&status=firing&name=load", ["CPU_load"]),
        ("incident=1&severity=critical", []),
        ("since=36h", ["Disk full"]),
        ("since=3600m", ["Disk full", "disk 100% full"]),
        ("since=1w&source=zabbix", ["disk 100% full", "CPU_load"]),
        ("since=0s", []),
        pytest.param(f"since={quote(IN_BETWEEN)}", ["Disk full", "disk 100% full"], id="since=a quoted time"),
        pytest.param(f"since={IN_BETWEEN}", ["Disk full", "disk 100% full"], id="since=a time"),
        ("since=0002-01-01T00:00:00Z&name=backup", ["Backup failed"]),
    ],
)
def test_list_holds_what_is_asked_for_newest_first(client: FlaskClient, query: str, expected: list[str]) -> None:
    assert names(client, f"/alerts/?{query}") == expected


@pytest.fixture
def door(tmp_path: Path) -> FlaskClient:
    """An app without its database: what is refused is refused before that is asked."""
    return create_app(settings.load(), Database(f"sqlite:///{tmp_path / 'no-such-folder' / 'x.db'}")).test_client()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("stauts=firing", "unknown parameter stauts; known: status, severity"),
        ("status=open", "status: one of firing, resolved"),
        ("status=", "status: one of firing, resolved"),
        ("severity=critical,high", "severity: one of critical, warning, info"),
        ("name=", "name: text of 1 to 200 characters"),
        (f"name={'x' * 201}", "name: text of 1 to 200 characters"),
        ("source=a&source=b", "source: given more than once"),
        ("incident=abc", "incident: a whole number"),
        ("incident=9223372036854775808", "incident: a whole number"),
        ("limit=0", "limit: a whole number from 1 to 200"),
        ("limit=201", "limit: a whole number from 1 to 200"),
        ("limit=-1", "limit: a whole number from 1 to 200"),
        ("limit=1e2", "limit: a whole number from 1 to 200"),
        ("since=yesterday", "since: a time such as"),
        ("since=2", "since: a time such as"),
        ("since=2026-01-31T12:00:00", "since: a time such as"),
        ("since=2026-13-31T12:00:00Z", "since: a time such as"),
        ("since=0001-01-01T00:00:00%2B14:00", "since: a time such as"),
        ("since=999999999w", "since: too long ago"),
        ("since=2h&since=3h", "since: given more than once"),
        ("cursor=abc", "cursor: not one that an answer gave"),
        ("cursor=", "cursor: not one that an answer gave"),
        ("cursor=%F0%9F%98%80", "cursor: not one that an answer gave"),
        # 2026-01-01T00:00:00+00:00~99999999999999999999, and a time before year 1.
        ("cursor=MjAyNi0wMS0wMVQwMDowMDowMCswMDowMH45OTk5OTk5OTk5OTk5OTk5OTk5OQ", "cursor: not one that"),
        ("cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMH4x", "cursor: not one that an answer gave"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(door: FlaskClient, query: str, words: str) -> None:
    response = door.get(f"/alerts/?{query}")

    assert response.status_code == 400
    assert words in response.json["error"]


@pytest.mark.parametrize("query", ["limit=3", "limit=3&status=firing,resolved", "limit=3&name=disk"])
def test_pages_hold_every_alert_once_while_new_ones_arrive(
    client: FlaskClient, database: Database, query: str
) -> None:
    with database.write() as session:
        for number in range(10):  # pairs of one and the same time
            add_alert(session, fingerprint=str(number), received_at=NOW + timedelta(seconds=number // 2))
    seen: list[str] = []
    url = f"/alerts/?{query}"

    while url:
        page = client.get(url).json
        seen += [alert["fingerprint"] for alert in page["alerts"]]
        assert page["count"] == len(page["alerts"])
        url = page["next_url"]
        with database.write() as session:
            add_alert(session, received_at=NOW + timedelta(hours=len(seen)))

    assert seen == [str(number) for number in reversed(range(10))]
    assert page["next"] is None


def test_cursor_alone_goes_on_where_the_page_ended(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        for name in ("one", "two", "three"):
            add_alert(session, name=name)
    first = client.get("/alerts/?limit=1").json

    assert names(client, f"/alerts/?limit=1&cursor={first['next']}") == ["two"]


def test_last_page_that_is_just_full_has_no_next(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        add_alert(session)

    page = client.get("/alerts/?limit=1").json

    assert (page["count"], page["next"], page["next_url"]) == (1, None, None)


def test_list_tells_the_alerts_apart_and_leaves_their_long_fields_out(
    client: FlaskClient, database: Database
) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
        alert_id = add_alert(
            session, labels={"host": "db-1"}, raw_payload={"long": "x"}, incident_id=incident_id
        ).id

    [alert] = client.get("/alerts/").json["alerts"]

    assert (alert["id"], alert["url"]) == (alert_id, f"/alerts/{alert_id}/")
    assert (alert["labels"], alert["incident_id"]) == ({"host": "db-1"}, incident_id)
    assert (alert["status"], alert["severity"], alert["ended_at"]) == ("firing", "warning", None)
    assert datetime.fromisoformat(alert["started_at"]).tzinfo is not None
    assert "raw_payload" not in alert


def test_detail_shows_every_field_of_the_alert(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        alert_id = add_alert(session, description="It is full.", occurred_at=NOW, vendor_id="v-1").id

    shown = client.get(f"/alerts/{alert_id}/").json

    columns = {column.key for column in Alert.__table__.columns}
    assert columns - shown.keys() == set()
    assert (shown["description"], shown["vendor_id"]) == ("It is full.", "v-1")
    assert datetime.fromisoformat(shown["occurred_at"]) == NOW
    assert (shown["incident"], shown["history"], shown["runs"]) == (None, [], [])


def test_no_secret_of_an_alert_is_shown(client: FlaskClient, database: Database) -> None:
    secret = "hunter2"
    texts = {"password": secret, "url": f"https://user:{secret}@db-1/", "note": f"token={secret}"}
    with database.write() as session:
        alert = add_alert(
            session,
            name=f"login with password={secret}",
            labels=texts,
            annotations=texts,
            raw_payload={"deep": [texts]},
            description=f"Authorization: Bearer {secret}",
        )
        add_history(session, [{"alert_id": alert.id, "event": AlertEvent.CREATED, "details": texts}])

    listed, shown = client.get("/alerts/"), client.get(f"/alerts/{alert.id}/")

    assert secret.encode() not in listed.data + shown.data
    assert shown.json["raw_payload"] == {
        "deep": [{"password": "***", "url": "https://***@db-1/", "note": "token=***"}]
    }


def test_history_is_newest_last_and_bounded_with_its_count(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        alert, other = add_alert(session), add_alert(session)
        rows = [
            {"alert_id": alert.id, "event": AlertEvent.REFRESHED, "details": {"n": number}}
            for number in range(103)
        ]
        add_history(session, [*rows, {"alert_id": other.id, "event": AlertEvent.CREATED}])

    shown = client.get(f"/alerts/{alert.id}/").json

    assert shown["history_count"] == 103
    assert [entry["details"]["n"] for entry in shown["history"]] == list(range(3, 103))


def add_deliveries(session: Session, *trace_ids: str) -> list[Delivery]:
    inbox.accept(
        session,
        [
            NewDelivery(
                delivery_id=trace_id.replace("trace", "delivery"),
                trace_id=trace_id,
                source="generic",
                pipeline="full",
                environment="test",
                body=b"{}",
                sha256="0" * 64,
            )
            for trace_id in trace_ids
        ],
    )
    return list(session.scalars(select(Delivery).where(Delivery.trace_id.in_(trace_ids)).order_by(Delivery.id)))


def test_detail_names_the_incident_and_what_brought_the_alert(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session, title="Disk full on db-1")
        alert = add_alert(session, incident_id=incident.id, trace_id="trace-2")
        add_history(session, [{"alert_id": alert.id, "event": AlertEvent.CREATED, "trace_id": "trace-1"}])
        deliveries = add_deliveries(session, "trace-1", "trace-2", "trace-3")
        own = runs.create_run(session, definition_name="full", definition_version=1, trace_id="trace-2")
        joint = runs.create_run(session, definition_name="full", definition_version=1, deliveries=deliveries[:2])
        runs.create_run(session, definition_name="full", definition_version=1, deliveries=deliveries[2:])

    shown = client.get(f"/alerts/{alert.id}/").json

    assert shown["incident"] == {
        "id": incident.id,
        "title": "Disk full on db-1",
        "status": "open",
        "severity": "warning",
        "url": f"/incidents/{incident.id}/",
    }
    assert [delivery["trace_id"] for delivery in shown["deliveries"]] == ["trace-2", "trace-1"]
    assert [run["run_id"] for run in shown["runs"]] == [joint.run_id, own.run_id]
    for entry in [*shown["deliveries"], *shown["runs"], shown["incident"]]:
        assert client.get(entry["url"]).status_code == 200


def test_alert_without_any_trace_is_shown(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        alert_id = add_alert(session, trace_id="").id

    assert client.get(f"/alerts/{alert_id}/").json["deliveries"] == []


@pytest.mark.parametrize("alert_id", ["4711", "0", "-1", "abc", "1.5", "٣", "9223372036854775808", "9" * 5000])
def test_unknown_alert_is_answered_404(client: FlaskClient, alert_id: str) -> None:
    response = client.get(f"/alerts/{quote(alert_id)}/")

    assert response.status_code == 404
    assert response.json["status"] == "error"


def test_answers_are_strict_json_whatever_the_payload_held(client: FlaskClient, database: Database) -> None:
    nested: Any = "bottom"
    for _ in range(250):
        nested = [nested]
    with database.write() as session:
        alert_id = add_alert(session, raw_payload={"nested": nested, "big": 10**400, "small": 1e-300}).id

    response = client.get(f"/alerts/{alert_id}/")

    assert response.status_code == 200
    shown = json.loads(response.data, parse_constant=pytest.fail)
    assert shown["raw_payload"]["big"] == 10**400


@pytest.mark.parametrize("path", ["/alerts/", "/alerts/1/", "/incidents/", "/incidents/1/"])
def test_only_this_machine_may_read_without_a_token(client: FlaskClient, path: str) -> None:
    response = client.get(path, environ_base={"REMOTE_ADDR": "192.0.2.7"})

    assert response.status_code == 401
