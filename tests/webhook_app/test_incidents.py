"""`/incidents/`: what people see of incidents, and what they do to them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from rows import add_alert, add_incident
from sqlalchemy import insert

from storage import notifications, runs, settings
from storage.alerts import add_history
from storage.analyses import AnalysisOrder, add_failed, add_succeeded, begin
from storage.database import Database
from storage.incidents import NOTE_MAX_CHARS
from storage.notifications import NewNotification
from storage.records import Analysis, IncidentChange
from storage.tables import Alert
from storage.tables.base import utc_now
from storage.vocabulary import AlertEvent, AlertStatus, FailureKind, IncidentStatus, NotificationReason, Severity
from webhook_app.app import create_app

OPEN, ACKNOWLEDGED = IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED
RESOLVED, CLOSED = IncidentStatus.RESOLVED, IncidentStatus.CLOSED
NOW = utc_now()
ACTIONS = ("acknowledge", "resolve", "close", "note")


def titles(client: FlaskClient, url: str) -> list[str]:
    response = client.get(url)
    assert response.status_code == 200, response.json
    return [incident["title"] for incident in response.json["incidents"]]


def make_incident(database: Database, **given: Any) -> int:
    with database.write() as session:
        return add_incident(session, **given).id


@pytest.fixture
def door(tmp_path: Path) -> FlaskClient:
    """An app without its database: what is refused is refused before that is asked."""
    return create_app(settings.load(), Database(f"sqlite:///{tmp_path / 'no-such-folder' / 'x.db'}")).test_client()


@pytest.fixture
def four(database: Database) -> None:
    """Incidents from one to four days old, all but the last with alerts."""
    rows: Iterable[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({"title": "one"}, [{"source": "zabbix", "name": "Disk full", "trace_id": "a"}, {"name": "CPU"}]),
        ({"title": "two", "status": ACKNOWLEDGED, "severity": Severity.CRITICAL}, [{"source": "zabbix"}]),
        ({"title": "three", "status": RESOLVED}, [{"source": "grafana", "name": "CPU load", "trace_id": "a"}]),
        ({"title": "four", "status": CLOSED, "severity": Severity.INFO}, []),
    ]
    with database.write() as session:
        for days, (given, alerts) in enumerate(rows, start=1):
            incident = add_incident(session, created_at=NOW - timedelta(days=days), **given)
            for alert in alerts:
                add_alert(session, incident_id=incident.id, **alert)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["one", "two", "three", "four"]),
        ("limit=1", ["one"]),
        ("status=open", ["one"]),
        ("status=open,acknowledged", ["one", "two"]),
        ("status=open,acknowledged,resolved,closed", ["one", "two", "three", "four"]),
        ("status=resolved&severity=critical", []),
        ("severity=critical,info", ["two", "four"]),
        ("source=zabbix", ["one", "two"]),
        ("source=zabbix&status=acknowledged", ["two"]),
        ("name=cpu", ["one", "three"]),
        ("name=%25", []),
        ("name=cpu&source=zabbix", []),
        ("trace_id=a", ["one", "three"]),
        ("trace_id=a&source=grafana", ["three"]),
        ("trace_id=a&status=open,closed", ["one"]),
        ("since=60h", ["one", "two"]),
        ("since=60h&source=zabbix&status=acknowledged", ["two"]),
    ],
)
def test_list_holds_what_is_asked_for_newest_first(client: FlaskClient, query: str, expected: list[str]) -> None:
    assert titles(client, f"/incidents/?{query}") == expected


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("incident=1", "unknown parameter incident; known: status"),
        ("status=firing", "status: one of open, acknowledged, resolved, closed"),
        ("since=soon", "since: a time such as"),
        ("cursor=x", "cursor: not one"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(door: FlaskClient, query: str, words: str) -> None:
    response = door.get(f"/incidents/?{query}")

    assert response.status_code == 400
    assert words in response.json["error"]


def test_pages_hold_every_incident_once_while_new_ones_open(client: FlaskClient, database: Database) -> None:
    for number in range(7):
        make_incident(database, title=str(number), created_at=NOW)
    seen: list[str] = []
    url = "/incidents/?limit=3&status=open,resolved"

    while url:
        page = client.get(url).json
        seen += [incident["title"] for incident in page["incidents"]]
        url = page["next_url"]
        make_incident(database, title="new", created_at=NOW + timedelta(hours=1))

    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_list_counts_the_alerts_of_each_incident(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        first, second = add_incident(session), add_incident(session)
        for status in (AlertStatus.FIRING, AlertStatus.RESOLVED, AlertStatus.RESOLVED):
            add_alert(session, incident_id=first.id, status=status)

    listed = client.get("/incidents/").json["incidents"]

    counts = {entry["id"]: (entry["alert_count"], entry["firing_alert_count"]) for entry in listed}
    assert counts == {first.id: (3, 1), second.id: (0, 0)}


def test_detail_shows_alerts_by_concern_with_counts_and_their_history(
    client: FlaskClient, database: Database
) -> None:
    with database.write() as session:
        incident = add_incident(session)
        over = add_alert(session, name="over", status=AlertStatus.RESOLVED, incident_id=incident.id)
        mild = add_alert(session, name="mild", incident_id=incident.id)
        grave = add_alert(session, name="grave", severity=Severity.CRITICAL, incident_id=incident.id)
        other = add_alert(session)
        add_history(
            session, [{"alert_id": alert.id, "event": AlertEvent.CREATED} for alert in (over, other, grave, mild)]
        )

    shown = client.get(f"/incidents/{incident.id}/").json

    assert [alert["name"] for alert in shown["alerts"]] == ["grave", "mild", "over"]
    assert (shown["alert_count"], shown["firing_alert_count"]) == (3, 2)
    assert shown["status_counts"] == {"firing": 2, "resolved": 1}
    assert shown["severity_counts"] == {"critical": 1, "warning": 2, "info": 0}
    assert [entry["alert_id"] for entry in shown["history"]] == [over.id, grave.id, mild.id]
    assert [a["name"] for a in client.get(shown["alerts_url"]).json["alerts"]] == ["grave", "mild", "over"]


def test_detail_shows_the_runs_and_messages_of_an_incident(client: FlaskClient, database: Database) -> None:
    def start(session: Any, **given: Any) -> Any:
        return runs.create_run(session, definition_name="full", definition_version=1, **given)

    with database.write() as session:
        incident, other = add_incident(session), add_incident(session)
        add_alert(session, incident_id=incident.id, trace_id="trace-9")
        named, told, analysed, traced, strange = (
            start(session),
            start(session),
            start(session),
            start(session, trace_id="trace-9"),
            start(session),
        )
        named.incident_id, strange.incident_id = incident.id, other.id
        for run, about in ((told, incident), (strange, other)):
            change = IncidentChange(incident_id=about.id, episode=1, reason=NotificationReason.FIRING)
            wanted = NewNotification(channel="mail", driver="email", change=change)
            notifications.reserve(session, [wanted], run_id=run.run_id, trace_id="t")
        order = AnalysisOrder("local", {}, incident.id, analysed.run_id, "t", NOW)
        add_succeeded(session, order, Analysis(summary="full"), completed_at=NOW)

    shown = client.get(f"/incidents/{incident.id}/").json

    expected = [run.run_id for run in (traced, analysed, told, named)]
    assert [run["run_id"] for run in shown["runs"]] == expected
    assert [(told["channel"], told["incident_id"]) for told in shown["notifications"]] == [("mail", incident.id)]
    assert client.get(shown["runs"][0]["url"]).status_code == 200


def test_detail_and_run_show_why_an_analysis_failed_and_who_stood_in(
    client: FlaskClient, database: Database
) -> None:
    with database.write() as session:
        incident = add_incident(session)
        run_id = runs.create_run(session, definition_name="full", definition_version=1).run_id
        asked, ruled = (
            AnalysisOrder(kind, {}, incident.id, run_id, "t", NOW, model_name="m") for kind in ("openai", "local")
        )
        kind, answer = FailureKind.KEY_REFUSED, Analysis(summary="full", probable_cause="logs", confidence=0.5)
        add_failed(session, asked, "PermanentError: answered 401: api_key=hunter2", kind=kind)
        add_succeeded(session, ruled, answer, completed_at=NOW, fallback_used=True, kind=kind)
        begin(session, replace(asked, run_id="another"), most_tokens=5, daily_tokens=0)

    of_incident = client.get(f"/incidents/{incident.id}/").json["analyses"]
    of_run = client.get(f"/orchestration/pipeline/{run_id}/").json["analyses"]

    assert (of_incident[1:], of_incident[0]["total_tokens"]) == (of_run, 5)
    stood_in, failed = of_run
    assert failed["error"] == "PermanentError: answered 401: api_key=***"
    told = ("provider", "model", "status", "fallback_used", "run_id", "failure_kind", "started_at")
    began = failed["started_at"]
    assert [failed[name] for name in told] == ["openai", "m", "FAILED", False, run_id, kind, began]
    assert failed["completed_at"] >= began
    assert (stood_in["provider"], stood_in["fallback_used"], stood_in["error"]) == ("local", True, "")
    assert [stood_in[name] for name in ("summary", "probable_cause", "confidence")] == ["full", "logs", 0.5]
    assert (stood_in["recommendations_count"], stood_in["cached_from"]) == (0, None)


def test_only_the_newest_twenty_analyses_are_shown(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session)
        run_id = runs.create_run(session, definition_name="full", definition_version=1).run_id
        order = AnalysisOrder("openai", {}, incident.id, run_id, "t", NOW)
        ids = [add_failed(session, order, "no").id for _ in range(21)]

    shown = [
        client.get(url).json["analyses"]
        for url in (f"/incidents/{incident.id}/", f"/orchestration/pipeline/{run_id}/")
    ]

    assert [[analysis["id"] for analysis in analyses] for analyses in shown] == [ids[:0:-1]] * 2


def test_incident_of_five_thousand_alerts_is_shown_in_part_and_at_once(
    client: FlaskClient, database: Database
) -> None:
    incident_id = make_incident(database)
    alert = {"source": "x", "name": "n", "severity": "warning", "status": "firing", "incident_id": incident_id}
    rows = [{**alert, "fingerprint": str(number), "started_at": NOW} for number in range(5000)]
    rows = [{**row, "raw_payload": {"long": "x" * 1000}} for row in rows]
    with database.write() as session:
        ids = list(session.scalars(insert(Alert).returning(Alert.id), rows))
        history = [{"alert_id": pk, "event": AlertEvent.REFRESHED} for _ in range(5) for pk in ids]
        add_history(session, history)
    client.get(f"/incidents/{incident_id}/")
    began = monotonic()

    response = client.get(f"/incidents/{incident_id}/")

    took = monotonic() - began
    assert (response.json["alert_count"], len(response.json["alerts"])) == (5000, 50)
    assert len(response.json["history"]) == 50
    assert len(response.data) < 100_000
    assert took < 1


@pytest.mark.parametrize("incident_id", ["4711", "abc", "-1", "9223372036854775808", "9" * 5000])
def test_unknown_incident_is_answered_404_to_readers_and_actors(client: FlaskClient, incident_id: str) -> None:
    assert client.get(f"/incidents/{incident_id}/").status_code == 404
    for action in ACTIONS:
        body = {"text": "x"} if action == "note" else {}
        response = client.post(f"/incidents/{incident_id}/{action}/", json=body)
        assert (response.status_code, response.json["error"]) == (404, "unknown incident")


def test_life_of_an_incident_is_told_step_by_step(client: FlaskClient, database: Database) -> None:
    incident_id = make_incident(database)

    acknowledged = client.post(f"/incidents/{incident_id}/acknowledge/", json={"author": "ada"})
    noted = client.post(f"/incidents/{incident_id}/note/", json={"author": "ada", "text": "It is the log."})
    resolved = client.post(f"/incidents/{incident_id}/resolve/", json={"author": "bob", "summary": "Rotated."})
    closed = client.post(f"/incidents/{incident_id}/close/")

    answers = (acknowledged, noted, resolved, closed)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.json["status"] for answer in answers] == ["acknowledged", "acknowledged", "resolved", "closed"]
    assert [answer.json["allowed"] for answer in answers] == [
        ["resolve", "close", "note"],
        ["resolve", "close", "note"],
        ["close", "note"],
        ["note"],
    ]
    shown = client.get(f"/incidents/{incident_id}/").json
    assert [(move["author"], move["from"], move["to"]) for move in shown["transitions"]] == [
        ("ada", "open", "acknowledged"),
        ("bob", "acknowledged", "resolved"),
        ("api", "resolved", "closed"),
    ]
    assert [(note["author"], note["text"]) for note in shown["notes"]] == [("ada", "It is the log.")]
    assert shown["summary"] == "Rotated."
    assert None not in (shown["acknowledged_at"], shown["resolved_at"], shown["closed_at"])


def test_second_acknowledge_is_no_error_and_says_that_nothing_changed(
    client: FlaskClient, database: Database
) -> None:
    incident_id = make_incident(database)

    first = client.post(f"/incidents/{incident_id}/acknowledge/", json={"author": "ada"})
    second = client.post(f"/incidents/{incident_id}/acknowledge/", json={"author": "bob"})

    assert [(r.status_code, r.json["changed"]) for r in (first, second)] == [(200, True), (200, False)]
    assert second.json["transitions"] == first.json["transitions"]


def test_forbidden_action_is_answered_409_by_name_with_what_is_allowed(
    client: FlaskClient, database: Database
) -> None:
    incident_id = make_incident(database, status=RESOLVED)

    response = client.post(f"/incidents/{incident_id}/acknowledge/")

    assert response.status_code == 409
    assert response.json == {
        "status": "error",
        "error": f"incident {incident_id} is resolved and cannot be acknowledged; allowed: close, note",
        "incident_status": "resolved",
        "allowed": ["close", "note"],
    }
    assert client.get(f"/incidents/{incident_id}/").json["status"] == "resolved"


@pytest.mark.parametrize("action", ["acknowledge", "resolve", "close"])
@pytest.mark.parametrize("body", [b"", b"  \n", b"{}", b'\xef\xbb\xbf{"author": "ada"}'])
def test_body_may_be_empty_where_nothing_must_be_said(
    client: FlaskClient, database: Database, action: str, body: bytes
) -> None:
    incident_id = make_incident(database)

    response = client.post(f"/incidents/{incident_id}/{action}/", data=body, content_type="application/json")

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("action", "body", "words"),
    [
        ("note", b"", "text: Field required"),
        ("note", b'{"text": " "}', "text: says nothing"),
        ("note", b'{"text": 5}', "text: Input should be a valid string"),
        ("note", b'{"text": null}', "text: Input should be a valid string"),
        ("note", json.dumps({"text": "x" * (NOTE_MAX_CHARS + 1)}).encode(), "text: String should have at most"),
        ("acknowledge", b'{"author": ["ada"]}', "author: Input should be a valid string"),
        ("acknowledge", b'{"author": ""}', "author: String should have at least 1"),
        ("acknowledge", json.dumps({"author": "x" * 129}).encode(), "author: String should have at most 128"),
        ("acknowledge", b'{"autor": "hunter2"}', "autor: unknown; known: author"),
        ("acknowledge", b'{"\\ud800\\u0000": 1}', "\ufffd\ufffd: unknown; known: author"),
        ("acknowledge", b'{"summary": "x"}', "summary: unknown; known: author"),
        ("resolve", b'{"summary": {}}', "summary: Input should be a valid string"),
        ("close", b"[]", "the body must be a JSON object"),
        ("close", b"null", "the body must be a JSON object"),
        ("close", b'"x"', "the body must be a JSON object"),
        ("close", b'{"author": "hunter2"', "the body is not JSON"),
        ("close", b"\xff", "the body is not UTF-8 text"),
        ("close", b"[" * 100_000, "nested deeper"),
    ],
)
def test_bad_body_is_refused_by_field_and_not_repeated(
    door: FlaskClient, action: str, body: bytes, words: str
) -> None:
    response = door.post(f"/incidents/1/{action}/", data=body, content_type="application/json")

    assert response.status_code == 400
    assert words in response.json["error"]
    assert b"hunter2" not in response.data


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
def test_body_that_is_not_called_json_is_answered_415(door: FlaskClient, content_type: str | None) -> None:
    response = door.post("/incidents/1/close/", data=b'{"author": "x"}', content_type=content_type)

    assert response.status_code == 415
    assert "application/json" in response.json["error"]


def test_body_over_the_limit_is_answered_413(door: FlaskClient) -> None:
    body = b" " * (5 * 1024 * 1024 + 1)

    response = door.post("/incidents/1/note/", data=body, content_type="application/json")

    assert response.status_code == 413


def test_actions_are_posts_only(door: FlaskClient) -> None:
    assert [door.get(f"/incidents/1/{action}/").status_code for action in ACTIONS] == [405] * 4


def test_nobody_elsewhere_may_act_without_a_token(client: FlaskClient, database: Database) -> None:
    incident_id = make_incident(database)

    response = client.post(f"/incidents/{incident_id}/close/", environ_base={"REMOTE_ADDR": "192.0.2.7"})

    assert response.status_code == 401
    assert client.get(f"/incidents/{incident_id}/").json["status"] == "open"


def test_words_that_no_database_takes_are_kept_visibly(client: FlaskClient, database: Database) -> None:
    incident_id = make_incident(database)
    body = {"text": "a\x00b\ud800c", "author": "ada\x00"}

    response = client.post(f"/incidents/{incident_id}/note/", json=body)

    assert response.status_code == 200
    [note] = response.json["notes"]
    assert (note["text"], note["author"]) == ("a\ufffdb\ufffdc", "ada\ufffd")


def test_no_secret_of_an_incident_is_shown(client: FlaskClient, database: Database) -> None:
    incident_id = make_incident(database, title="login with password=hunter2", description="token=hunter2")
    client.post(f"/incidents/{incident_id}/note/", json={"text": "the dsn is postgres://u:hunter2@db/"})

    resolved = client.post(f"/incidents/{incident_id}/resolve/", json={"summary": "set api_key=hunter2 again"})
    shown = [client.get(url).data for url in ("/incidents/", f"/incidents/{incident_id}/")]

    assert all(b"hunter2" not in data for data in (resolved.data, *shown))


def test_title_in_the_query_is_quoted_in_the_next_url(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        for _ in range(2):
            add_alert(session, incident_id=add_incident(session, title="x").id, name="50% & more")

    page = client.get(f"/incidents/?limit=1&name={quote('50% & m')}").json

    assert titles(client, page["next_url"]) == ["x"]
