"""Messages to people over HTTP, on both databases."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from rows import add_incident, add_notification

from storage import channels, definitions, runs, settings, stages
from storage.database import Database
from storage.records import NotifyResult, PassedOver
from storage.tables import NotificationChannel
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus, Stage
from tasks.definition.naming import INTERNAL
from tasks.definition.presets import REDELIVERY
from webhook_app.app import create_app

PENDING, SENDING, SENT = NotificationStatus.PENDING, NotificationStatus.SENDING, NotificationStatus.SENT
FAILED, DEAD, DISCARDED = NotificationStatus.FAILED, NotificationStatus.DEAD, NotificationStatus.DISCARDED
Make = Callable[..., int]

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def make(database: Database) -> Make:
    """Makes a dead letter, in whatever is not given. Returns its id."""

    def make_one(**fields: Any) -> int:
        with database.write() as session:
            return add_notification(session, **fields)

    return make_one


def get(client: FlaskClient, path: str = "", **parameters: Any) -> dict[str, Any]:
    response = client.get(f"/notify/notifications/{path}", query_string=parameters)
    assert response.status_code == 200, response.text
    return json.loads(response.data)


def ids(answer: dict[str, Any]) -> list[int]:
    return [row["id"] for row in answer["notifications"]]


def test_list_is_newest_first_with_counts_of_all_and_the_next_try_of_what_waits(
    client: FlaskClient, make: Make
) -> None:
    due_at = utc_now() + timedelta(minutes=9)
    first, second = make(), make(status=FAILED, due_at=due_at, attempts=3, error_message="503")
    make(status=SENT)

    answer = get(client, status="failed,dead")

    assert ids(answer) == [second, first]
    assert answer["counts"] == {"pending": 0, "sending": 0, "failed": 1, "dead": 1, "discarded": 0}
    waiting, dead = answer["notifications"]
    assert (waiting["attempts"], waiting["error_message"]) == (3, "503")
    assert (waiting["next_try_at"], dead["next_try_at"]) == (due_at.isoformat(), None)
    assert not {"message", "idempotency_key"} & waiting.keys()
    assert client.get(waiting["url"]).status_code == 200


def test_pages_follow_one_another_while_new_messages_come_in(client: FlaskClient, make: Make) -> None:
    made = [make() for _ in range(5)]
    seen: list[int] = []

    answer = get(client, limit=2)
    for _ in range(3):
        seen += ids(answer)
        make()
        if answer["next_url"] is None:
            break
        answer = json.loads(client.get(answer["next_url"]).data)

    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("given", "filters"),
    [
        ({"status": FAILED}, {"status": "failed"}),
        ({"status": PENDING}, {"status": "FAILED,pending"}),
        ({"channel": "mail"}, {"channel": "mail"}),
        ({"reason": NotificationReason.ESCALATED}, {"reason": "escalated,reminder"}),
        ({"trace_id": "trace-2"}, {"trace_id": "trace-2"}),
        ({}, {"since": "1h"}),
    ],
    ids=["status", "statuses", "channel", "reason", "trace_id", "since"],
)
def test_each_filter_leaves_only_what_has_that_value(
    client: FlaskClient, make: Make, given: dict[str, Any], filters: dict[str, str]
) -> None:
    make(created_at=utc_now() - timedelta(hours=2))
    wanted = make(**given)

    assert ids(get(client, **filters)) == [wanted]


def test_the_messages_of_one_incident_are_found(client: FlaskClient, make: Make, database: Database) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
    make()
    wanted = make(incident_id=incident_id)

    assert ids(get(client, incident_id=incident_id)) == [wanted]


@on_one_database
@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"status": "lost"}, "discarded"),
        ({"reason": "because"}, "escalated"),
        ({"incident_id": "x"}, "incident_id"),
        ({"incident_id": str(2**63)}, "incident_id"),
        ({"since": "soon"}, "since"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"sauce": "x"}, "sauce"),
    ],
    ids=lambda value: next(iter(value.values()))[:9] if isinstance(value, dict) else value,
)
def test_wrong_parameter_is_refused_by_name(client: FlaskClient, parameters: dict[str, str], word: str) -> None:
    response = client.get("/notify/notifications/", query_string=parameters)

    assert response.status_code == 400
    assert word in response.json["error"]


def test_detail_has_what_was_said_its_runs_and_who_was_told_instead(
    client: FlaskClient, make: Make, database: Database
) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
        channels.add_channel(session, name="ops", driver="generic", config={"endpoint": "http://127.0.0.1:9/"})
        run_id = runs.create_run(session, definition_name="direct", definition_version=1).run_id
    due_at = utc_now() + timedelta(hours=1)
    pk = make(
        incident_id=incident_id,
        status=FAILED,
        attempts=2,
        due_at=due_at,
        run_id=run_id,
        sender_run_id=run_id,
        message="Firing since Monday.\nPassword: hunter2",
        idempotency_key="key-1",
    )
    instead = make(incident_id=incident_id, channel="mail", instead_of="ops", status=SENT)

    detail = get(client, f"{pk}/")

    assert detail["message"].startswith("Firing since Monday.\n")
    assert "hunter2" not in json.dumps(detail)
    assert (detail["idempotency_key"], detail["tries"]) == ("key-1", 9)
    assert [(each["id"], each["channel"], each["status"]) for each in detail["stand_ins"]] == [
        (instead, "mail", "sent")
    ]
    assert [(run["run_id"], run["pipeline"]) for run in detail["runs"]] == [(run_id, "direct")]
    assert detail["next"] == f"try 3 of 9 is due at {due_at:%Y-%m-%d %H:%M:%S}Z, by run {run_id}"
    assert detail["allowed"] == ["discard"]
    assert get(client, f"{instead}/")["instead_of"] == "ops"


@on_one_database
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (SENT, "nothing: it was delivered"),
        (DEAD, "it is a dead letter; retry sends it once more"),
        (DISCARDED, "retry sends it after all"),
        (PENDING, "try 1 of 9 is due now; channel ops is switched off"),
        (SENDING, "its run is over; another sends it again now"),
    ],
    ids=lambda value: value if isinstance(value, NotificationStatus) else "",
)
def test_what_happens_next_is_said_in_plain_words(
    client: FlaskClient, make: Make, database: Database, status: NotificationStatus, words: str
) -> None:
    with database.write() as session:
        session.add(NotificationChannel(name="ops", driver="generic", is_active=False))

    assert words in get(client, f"{make(status=status, attempts=0)}/")["next"]


def test_retry_lets_a_dead_letter_be_sent_now(client: FlaskClient, make: Make) -> None:
    pk = make(due_at=utc_now() - timedelta(hours=1))

    response = client.post(f"/notify/notifications/{pk}/retry/")

    assert response.status_code == 200
    assert (response.json["id"], response.json["status"], response.json["attempts"]) == (pk, "pending", 0)
    assert get(client, f"{pk}/")["next_try_at"] is not None


def test_discard_sets_aside_for_good_with_a_reason(client: FlaskClient, make: Make) -> None:
    pk = make()

    response = client.post(f"/notify/notifications/{pk}/discard/", json={"reason": "a te\x00st"})

    assert response.status_code == 200
    assert (response.json["status"], response.json["error_message"]) == ("discarded", "a te\ufffdst")


@on_one_database
@pytest.mark.parametrize(
    ("status", "action", "allowed"),
    [
        (SENT, "retry", []),
        (SENDING, "retry", []),
        (SENDING, "discard", []),
        (DISCARDED, "discard", ["retry"]),
    ],
    ids=["retry-sent", "retry-sending", "discard-sending", "discard-discarded"],
)
def test_what_the_status_forbids_is_refused_with_what_is_allowed(
    client: FlaskClient, make: Make, status: NotificationStatus, action: str, allowed: list[str]
) -> None:
    pk = make(status=status)

    response = client.post(f"/notify/notifications/{pk}/{action}/")

    assert response.status_code == 409
    assert (response.json["notification_status"], response.json["allowed"]) == (status, allowed)
    assert f"is {status} and cannot be" in response.json["error"]
    assert get(client, f"{pk}/")["status"] == status


@on_one_database
@pytest.mark.parametrize(
    ("action", "body", "word"),
    [
        ("retry", '{"now": true}', "now"),
        ("retry", "{", "not JSON"),
        ("discard", '{"reason": ["x"]}', "reason"),
        ("discard", json.dumps({"reason": "x" * 1001}), "reason"),
        ("discard", '["x"]', "object"),
    ],
    ids=["unknown", "broken", "type", "long", "list"],
)
def test_wrong_wish_is_refused_by_name_and_nothing_changes(
    client: FlaskClient, make: Make, action: str, body: str, word: str
) -> None:
    pk = make()

    response = client.post(f"/notify/notifications/{pk}/{action}/", data=body, content_type="application/json")

    assert response.status_code == 400
    assert word in response.json["error"]
    assert get(client, f"{pk}/")["status"] == "dead"


@pytest.mark.parametrize("name", ["nothing", "%00", "9" * 5000, str(2**63), str(2**63 - 1)])
@pytest.mark.parametrize(("method", "action"), [("GET", ""), ("POST", "retry/"), ("POST", "discard/")])
def test_unknown_notification_is_not_found(client: FlaskClient, method: str, action: str, name: str) -> None:
    response = client.open(f"/notify/notifications/{name}/{action}", method=method)

    assert response.status_code == 404
    assert response.json == {"status": "error", "error": "unknown notification"}


@on_one_database
@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "{}/"), ("POST", "{}/retry/"), ("POST", "{}/discard/")]
)
def test_api_token_is_needed_for_everything(
    database: Database, make: Make, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "letmein")
    client = create_app(settings.load(), database).test_client()
    path = f"/notify/notifications/{path.format(make())}"

    refused = client.open(path, method=method)
    let_in = client.open(path, method=method, headers={"Authorization": "Bearer letmein"})

    assert (refused.status_code, let_in.status_code) == (401, 200)


@on_one_database
def test_run_and_incident_say_who_was_told_and_who_was_not_and_why(
    client: FlaskClient, make: Make, database: Database
) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
        run = runs.create_run(session, definition_name="direct", definition_version=1)
        run.incident_id = incident_id
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=Stage.NOTIFY, node_id="n")
        mine, other = (
            PassedOver(channel="mail", incident_id=pk, reason=NotificationReason.FIRING, why="below critical")
            for pk in (incident_id, incident_id + 1)
        )
        stages.succeed(row, NotifyResult(passed_over=[mine, other]).model_dump(mode="json"))
        run_id = run.run_id
    make(incident_id=incident_id, run_id=run_id, status=FAILED, due_at=utc_now(), error_message="token=hunter2")
    make(incident_id=incident_id, run_id=run_id, channel="sms", instead_of="ops", status=SENT)

    of_run = client.get(f"/orchestration/pipeline/{run_id}/").json
    of_incident = client.get(f"/incidents/{incident_id}/").json

    told = [("ops", "failed", ""), ("sms", "sent", "ops")]
    assert [(each["channel"], each["status"], each["instead_of"]) for each in of_run["notifications"]] == told
    newest_first = of_incident["notifications"][::-1]
    assert [(each["channel"], each["status"], each["instead_of"]) for each in newest_first] == told
    assert newest_first[0]["next_try_at"] is not None
    assert [(each["incident_id"], each["why"]) for each in of_run["passed_over"]] == [
        (incident_id, "below critical"),
        (incident_id + 1, "below critical"),
    ]
    assert of_incident["passed_over"] == of_run["passed_over"][:1]
    assert "hunter2" not in json.dumps([of_run, of_incident])


def test_no_webhook_is_taken_for_redelivery_which_only_the_relay_runs(
    client: FlaskClient, database: Database
) -> None:
    with database.write() as session:
        nodes = [{"id": "ingest", "type": "ingest"}]
        definitions.save(session, name=REDELIVERY, config={"version": "1.0", "nodes": nodes})

    response = client.post(f"/alerts/webhook/generic/?pipeline={REDELIVERY}", json={"name": "x"})

    assert REDELIVERY in INTERNAL
    assert response.status_code == 404
    assert "unknown pipeline" in response.json["error"]
    assert REDELIVERY not in response.json["pipelines"]


@on_one_database
def test_no_webhook_is_taken_for_redelivery_while_the_pipelines_are_not_known(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_PIPELINE", REDELIVERY)
    client = create_app(settings.load(), database).test_client()  # no definition is saved

    assert client.post("/alerts/webhook/generic/", json={"name": "x"}).status_code == 404


@on_one_database
def test_runs_of_redelivery_are_listed_like_any(client: FlaskClient, database: Database) -> None:
    with database.write() as session:
        runs.create_run(session, definition_name=REDELIVERY, definition_version=0)

    assert [run["pipeline"] for run in client.get("/orchestration/pipelines/").json["pipelines"]] == [REDELIVERY]
