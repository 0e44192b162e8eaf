"""`/notify/`: one-off messages that fail, that have to wait, and several at once."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from one_offs import BATCH, MESSAGE, SEND, bodies, save
from sinks import Answer, HttpSink
from sqlalchemy.exc import OperationalError

from storage import channels
from storage.database import Database
from storage.tables import ChannelState
from storage.tables.base import utc_now
from tasks.notify import one_off
from tasks.notify.channels import CHANNELS
from webhook_app import notify as notify_module
from webhook_app import places

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def state_of(database: Database, name: str) -> ChannelState:
    with database.read() as session:
        return channels.find_states(session, [name])[name]


class TestFailing:
    @pytest.mark.parametrize(("status", "is_retryable"), [(410, False), (503, True)])
    @on_one_database
    def test_failure_of_the_destination_is_502_without_a_secret_and_counts_if_it_may_pass(
        self, client: FlaskClient, database: Database, http_sink: HttpSink, status: int, is_retryable: bool
    ) -> None:
        http_sink.answer_with(Answer(status, headers={"Retry-After": "7"}))
        save(database, "ops", {"endpoint": f"{http_sink.url}/hunter2"})

        response = client.post(SEND, json=MESSAGE)

        assert response.status_code == 502
        assert response.json == {
            "success": False,
            "message_id": None,
            "error": f"127.0.0.1 answered {status}",
            "metadata": {"channel": "ops", "driver": "generic", "is_retryable": is_retryable},
        }
        assert response.headers.get("Retry-After") == ("7" if is_retryable else None)
        assert state_of(database, "ops").failures == (1 if is_retryable else 0)

    def test_message_that_goes_well_ends_the_failures(
        self, client: FlaskClient, database: Database, http_sink: HttpSink
    ) -> None:
        http_sink.answer_with(500, 200)
        save(database, "ops", {"endpoint": http_sink.url})

        statuses = [client.post(SEND, json=MESSAGE).status_code for _ in range(2)]

        assert statuses == [502, 200]
        assert (state_of(database, "ops").failures, state_of(database, "ops").last_error) == (0, "")

    def test_channel_that_failed_too_often_rests_and_is_not_asked(
        self, client: FlaskClient, database: Database
    ) -> None:
        with HttpSink(default=503) as sink:
            save(database, "ops", {"endpoint": sink.url})

            statuses = [client.post(SEND, json=MESSAGE).status_code for _ in range(6)]
            response = client.post(SEND, json=MESSAGE)

        assert statuses == [502] * 5 + [503]
        assert "rests until" in response.json["error"]
        assert "127.0.0.1 answered 503" in response.json["error"]
        assert 0 < int(response.headers["Retry-After"]) <= 30
        assert len(sink.requests) == 5
        [incident] = client.get("/incidents/").json["incidents"]
        assert (incident["title"], incident["status"]) == ("Notification channel ops fails", "open")

    @on_one_database
    def test_channel_that_wants_to_be_left_alone_is(
        self, client: FlaskClient, database: Database, http_sink: HttpSink
    ) -> None:
        http_sink.answer_with(Answer(429, headers={"Retry-After": "90"}))
        save(database, "ops", {"endpoint": http_sink.url})

        asked, later = (client.post(SEND, json=MESSAGE) for _ in range(2))

        assert (asked.status_code, asked.headers["Retry-After"]) == (502, "90")
        assert later.status_code == 429
        assert "'ops' asked to be left alone; the next may go in " in later.json["error"]
        assert len(http_sink.requests) == 1

    @on_one_database
    def test_driver_that_stumbles_over_a_message_is_told_and_the_channel_is_not_blamed(
        self, client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stumble(*_: object) -> None:
            raise AttributeError("'int' object has no attribute 'get' near password=hunter2")

        monkeypatch.setattr(CHANNELS["generic"], "deliver", stumble)
        save(database, "ops", {"endpoint": "http://127.0.0.1:9/"})

        response = client.post(SEND, json=MESSAGE)

        assert response.status_code == 502
        assert response.json["error"].startswith("the message could not be made or sent: 'int' object has no")
        assert "hunter2" not in response.text
        assert state_of(database, "ops").failures == 0

    @on_one_database
    def test_one_message_shows_whether_a_channel_is_back_after_its_rest(
        self, client: FlaskClient, database: Database, http_sink: HttpSink
    ) -> None:
        save(database, "ops", {"endpoint": http_sink.url})
        with database.write() as session:
            past = utc_now() - timedelta(seconds=1)
            session.add(ChannelState(channel="ops", failures=6, failing_since=past, rests_until=past))

        response = client.post(SEND, json=MESSAGE)

        assert response.status_code == 200
        assert (state_of(database, "ops").failures, state_of(database, "ops").rests_until) == (0, None)

    def test_message_beyond_the_limit_is_refused_and_takes_no_turn(
        self, client: FlaskClient, database: Database, http_sink: HttpSink
    ) -> None:
        save(database, "ops", {"endpoint": http_sink.url}, rate=6)

        first, *others = (client.post(SEND, json=MESSAGE) for _ in range(5))

        refused = [response for response in others if response.status_code == 429]
        assert first.status_code == 200
        assert len(refused) >= 3
        assert "6 messages a minute" in refused[-1].json["error"]
        # Had each refused one taken a turn, the last would be put off for more than the next one's 12 s.
        assert 5 < int(refused[-1].headers["Retry-After"]) <= 13
        assert len(http_sink.requests) == 5 - len(refused)

    @on_one_database
    def test_saved_channel_whose_secret_is_gone_is_the_servers_fault(
        self, client: FlaskClient, database: Database
    ) -> None:
        save(database, "ops", {"endpoint": {"env": "NO_SUCH_HOOK"}})

        response = client.post(SEND, json=MESSAGE)

        assert response.status_code == 502
        assert "endpoint: environment variable 'NO_SUCH_HOOK' is not set" in response.json["error"]

    def test_database_that_is_away_is_503(self, door: FlaskClient) -> None:
        response = door.post(SEND, json=MESSAGE)

        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")

    @on_one_database
    def test_fifth_sender_is_put_off_while_readers_are_served(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, may_end = threading.Semaphore(0), threading.Event()

        def hang(*_: object) -> tuple[int, dict[str, Any], None]:
            begun.release()
            assert may_end.wait(30)
            return 200, {"success": True}, None

        monkeypatch.setattr(notify_module, "_attempt", hang)
        with ThreadPoolExecutor(places.SENDERS) as people:
            make = client.application.test_client
            waiting = [people.submit(make().post, SEND, json=MESSAGE) for _ in range(places.SENDERS)]
            for _ in waiting:
                assert begun.acquire(timeout=30)

            late, reader = client.post(BATCH, json={"notifications": [MESSAGE]}), client.get("/notify/drivers/")
            may_end.set()

        assert (late.status_code, reader.status_code) == (503, 200)
        assert int(late.headers["Retry-After"]) > 0
        assert [each.result().status_code for each in waiting] == [200] * places.SENDERS
        assert client.post(SEND, json=MESSAGE).status_code == 200


class TestBookkeeping:
    """What is written down about a channel after the message; the database may be away by then."""

    @pytest.mark.parametrize(("answered", "status"), [(200, 200), (503, 502)])
    @on_one_database
    def test_answer_is_the_destinations_whatever_becomes_of_the_bookkeeping(
        self, client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch, answered: int, status: int
    ) -> None:
        def go_away(*_: object, **__: object) -> None:
            raise OperationalError("SELECT", {}, Exception("away"))

        for name in ("is_failing", "forget_failures"):
            monkeypatch.setattr(channels, name, go_away)
        monkeypatch.setattr(one_off, "note_failure", go_away)
        with HttpSink(default=answered) as sink:
            save(database, "ops", {"endpoint": sink.url})

            response = client.post(SEND, json=MESSAGE)

        assert (response.status_code, len(sink.requests)) == (status, 1)
        assert response.json["error"] == ("" if status == 200 else "127.0.0.1 answered 503")


class TestBatch:
    @on_one_database
    def test_message_that_the_database_fails_is_a_failed_one_of_the_batch(
        self, client: FlaskClient, database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        choose, asked = notify_module.select, itertools.count()

        def choose_unless_second(*arguments: Any, **more: Any) -> Any:
            if next(asked) == 1:
                raise OperationalError("SELECT", {}, Exception("hunter2"))
            return choose(*arguments, **more)

        monkeypatch.setattr(notify_module, "select", choose_unless_second)
        save(database, "ops", {"endpoint": http_sink.url})

        response = client.post(BATCH, json={"notifications": [MESSAGE] * 3})

        assert (response.status_code, response.json["sent"], len(http_sink.requests)) == (207, 2, 2)
        [failed] = [result for result in response.json["results"] if not result["success"]]
        assert failed["error"] == "the database is away, try again"
        assert failed["metadata"] == {"is_retryable": True}

    def test_results_come_in_the_order_of_the_messages_and_are_summed_up(
        self, client: FlaskClient, database: Database, http_sink: HttpSink
    ) -> None:
        save(database, "ops", {"endpoint": http_sink.url})
        wishes = [{**MESSAGE, "title": "1"}, {**MESSAGE, "provider": "nobody"}, {**MESSAGE, "title": "3"}]

        mixed = client.post(BATCH, json={"notifications": wishes})
        well = client.post(BATCH, json={"notifications": wishes[:1]})
        badly = client.post(BATCH, json={"notifications": wishes[1:2]})

        assert [response.status_code for response in (mixed, well, badly)] == [207, 200, 502]
        form = mixed.json
        assert (form["success"], form["total"], form["sent"], form["failed"]) == (False, 3, 2, 1)
        assert [result["success"] for result in form["results"]] == [True, False, True]
        sent = {body["idempotency_key"]: body["title"] for body in bodies(http_sink)}
        assert [sent[form["results"][index]["message_id"]] for index in (0, 2)] == ["1", "3"]

    def test_messages_go_side_by_side(self, client: FlaskClient, database: Database) -> None:
        with HttpSink(default=Answer(delay_seconds=0.1)) as sink:
            save(database, "ops", {"endpoint": sink.url})
            started = time.monotonic()

            response = client.post(BATCH, json={"notifications": [MESSAGE] * 40})
            lasted = time.monotonic() - started

        assert (response.status_code, len(sink.requests)) == (200, 40)
        assert lasted < 0.1 * 40

    @on_one_database
    @pytest.mark.parametrize(
        ("wishes", "words"),
        [
            ([MESSAGE, {"title": "x"}], "notifications[1].message: Field required"),
            ([MESSAGE] * 101, "notifications: "),
            ([], "notifications: "),
            ([5], "notifications.0: "),
            (None, "notifications: "),
        ],
        ids=["field", "101", "none", "number", "null"],
    )
    def test_message_that_cannot_be_read_refuses_them_all(
        self, client: FlaskClient, database: Database, http_sink: HttpSink, wishes: object, words: str
    ) -> None:
        save(database, "ops", {"endpoint": http_sink.url})

        response = client.post(BATCH, json={"notifications": wishes})

        assert response.status_code == 400
        assert words in response.json["error"]
        assert http_sink.requests == []

    @on_one_database
    def test_messages_whose_time_is_over_are_told_as_not_tried(
        self, client: FlaskClient, database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notify_module, "BATCH_SECONDS", -1.0)
        save(database, "ops", {"endpoint": http_sink.url})

        response = client.post(BATCH, json={"notifications": [MESSAGE]})

        assert response.status_code == 502
        assert response.json["results"][0]["error"].startswith("not tried")
        assert http_sink.requests == []
