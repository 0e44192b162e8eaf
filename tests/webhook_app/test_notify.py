"""`/notify/`: one-off messages by HTTP, what of them is refused, and the drivers that carry them."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from one_offs import BATCH, MESSAGE, SEND, bodies, save
from sinks import HttpSink, SmtpSink

from storage import settings
from storage.database import Database
from tasks.notify.channels import CHANNELS
from webhook_app.app import create_app

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class TestSending:
    def test_message_goes_to_the_first_active_channel_in_the_seeds_form(
        self, client: FlaskClient, database: Database, http_sink: HttpSink
    ) -> None:
        save(database, "off", {"endpoint": f"{http_sink.url}/off"}, is_active=False)
        save(database, "ops", {"endpoint": f"{http_sink.url}/ops"})
        tags, context = {"team": "db"}, {"rows": 5, "api_key": "hunter2", "note": "password=hunter2"}

        response = client.post(SEND, json={**MESSAGE, "severity": "WARN", "tags": tags, "context": context})

        [request] = http_sink.requests
        [body] = bodies(http_sink)
        form = response.json
        metadata = form.pop("metadata") | {"duration_ms": 0}
        assert response.status_code == 200
        assert form == {"success": True, "message_id": body["idempotency_key"], "error": ""}
        assert metadata == {
            "channel": "ops",
            "driver": "generic",
            "severity": "warning",
            "detail": "127.0.0.1 answered 200",
            "duration_ms": 0,
        }
        assert request.path == "/ops"
        assert (body["reason"], body["thread"], body["channel"]) == ("message", "", "ops")
        assert (body["title"], body["message"], body["severity"]) == (*MESSAGE.values(), "warning")
        assert (body["tags"], body["context"]) == (tags, {"rows": 5, "api_key": "***", "note": "password=***"})

    @on_one_database
    @pytest.mark.parametrize(
        ("url", "body", "path"),
        [
            (SEND, {"provider": "spare"}, "/spare"),
            (f"{SEND}spare/", {}, "/spare"),
            (f"{SEND}spare/", {"provider": "spare"}, "/spare"),
            (SEND, {"channel": "spare"}, "/spare"),
            (SEND, {"channel": "#elsewhere"}, "/ops"),
            (f"{SEND}generic/", {}, "/named-like-a-driver"),
            (f"{SEND}email/", {"config": {"smtp_port": 0}}, None),
        ],
    )
    def test_destination_is_chosen_in_the_seeds_order(
        self,
        client: FlaskClient,
        database: Database,
        http_sink: HttpSink,
        *,
        url: str,
        body: dict[str, Any],
        path: str | None,
    ) -> None:
        for name in ("ops", "spare"):
            save(database, name, {"endpoint": f"{http_sink.url}/{name}"})
        save(database, "generic", {"endpoint": f"{http_sink.url}/named-like-a-driver"})

        response = client.post(url, json={**MESSAGE, **body})

        assert response.status_code == (200 if path else 400)
        assert [request.path for request in http_sink.requests] == ([path] if path else [])

    @on_one_database
    def test_driver_takes_the_config_of_the_body(
        self, client: FlaskClient, http_sink: HttpSink, smtp_sink: SmtpSink
    ) -> None:
        mail = {
            "smtp_host": "127.0.0.1",
            "smtp_port": smtp_sink.port,
            "use_tls": False,
            "from_address": "wk@a.example",
            "to_addresses": ["ann@a.example"],
        }

        by_http = client.post(f"{SEND}generic/", json={**MESSAGE, "config": {"endpoint": http_sink.url}})
        by_mail = client.post(SEND, json={**MESSAGE, "provider": "email", "config": mail, "channel": "night"})

        assert (by_http.json["success"], by_mail.json["success"]) == (True, True)
        assert bodies(http_sink)[0]["channel"] == "default"
        [received] = smtp_sink.wait_for(1)
        assert received.message["Subject"] == MESSAGE["title"]
        assert by_mail.json["message_id"] == received.message["Message-ID"]
        assert by_mail.json["metadata"]["channel"] == ""

    @pytest.mark.parametrize(
        ("word", "severity"),
        [
            ("critical", "critical"),
            ("ERROR", "critical"),
            ("warn", "warning"),
            (" Info ", "info"),
            ("ok", "success"),
            ("resolved", "success"),
        ],
    )
    @on_one_database
    def test_severity_is_normalised(
        self, client: FlaskClient, http_sink: HttpSink, word: str, severity: str
    ) -> None:
        client.post(f"{SEND}generic/", json={**MESSAGE, "severity": word, "config": {"endpoint": http_sink.url}})

        assert bodies(http_sink)[0]["severity"] == severity

    @on_one_database
    def test_nasty_text_is_bounded_and_cleaned(self, client: FlaskClient, http_sink: HttpSink) -> None:
        nasty = "a\r\nBcc: x\u202e\x00"
        wish = {
            "title": nasty + "t" * 500,
            "message": nasty + "m" * 50_000,
            "channel": nasty,
            "tags": {nasty: nasty},
            "context": {nasty: [nasty]},
        }

        response = client.post(f"{SEND}generic/", json={**wish, "config": {"endpoint": http_sink.url}})

        [body] = bodies(http_sink)
        assert response.status_code == 200
        assert not set(http_sink.requests[0].body.decode()) & {"\r", "\u202e", "\x00"}
        assert "\\r" not in http_sink.requests[0].body.decode()
        assert len(body["title"]) <= 200
        assert len(body["message"]) <= 12_000
        assert body["message"].endswith(" characters]")
        assert not any("\n" in text for text in (body["title"], body["channel"], *body["tags"].values()))


class TestRefusing:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({}, "title: Field required; message: Field required"),
            ({"title": "x"}, "message: Field required"),
            ({"title": " "}, "title: says nothing"),
            ({"title": 5}, "title: "),
            ({"severity": "critcal"}, "severity: one of critical, warning, info, success"),
            ({"tags": {"a": 5}}, "tags.a: "),
            ({"tags": {str(n): "" for n in range(51)}}, "tags: "),
            ({"context": []}, "context: "),
            ({"context": {"x": "x" * 70_000}}, "context: more than 65,536 bytes"),
            ({"config": "x"}, "config: "),
            (
                {"drivr": "slack"},
                "drivr: unknown; known: title, message, severity, channel, tags, context, provider",
            ),
        ],
    )
    def test_wrong_field_is_named_in_the_seeds_form(
        self, door: FlaskClient, body: dict[str, Any], words: str
    ) -> None:
        response = door.post(SEND, json=body if len(body) != 1 or "title" in body else {**MESSAGE, **body})

        assert response.status_code == 400
        assert words in response.json["error"]
        assert (response.json["success"], response.json["message_id"]) == (False, None)

    @pytest.mark.parametrize(
        ("data", "status"),
        [(b"[" * 100_000, 400), (b"{", 400), (b"[]", 400), (b'{"title": NaN}', 400), (b"\xff", 400)],
        ids=["deep", "cut", "list", "nan", "bytes"],
    )
    def test_body_that_is_no_object_is_refused(self, door: FlaskClient, data: bytes, status: int) -> None:
        response = door.post(SEND, data=data, content_type="application/json")

        assert (response.status_code, response.json["success"]) == (status, False)

    @on_one_database
    def test_nothing_in_a_config_of_the_body_is_resolved(
        self, client: FlaskClient, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("HUNTER", "hunter2")
        (tmp_path / "secret").write_text("hunter2")
        references = [{"env": "HUNTER"}, {"file": str(tmp_path / "secret")}, {"prefect": "hunter"}]
        configs: list[dict[str, Any]] = [{"endpoint": reference} for reference in references]
        configs += [{"endpoint": http_sink.url, "headers": {"X-A": reference}} for reference in references]
        as_header = {"endpoint": http_sink.url, "headers": {"env": "HUNTER"}}

        refused = [client.post(f"{SEND}generic/", json={**MESSAGE, "config": config}) for config in configs]
        taken = client.post(f"{SEND}generic/", json={**MESSAGE, "config": as_header})

        assert {response.status_code for response in refused} == {400}
        assert refused[0].json["error"].startswith("config: endpoint: references to secrets work in saved")
        assert refused[5].json["error"].startswith("config: headers.X-A: references to secrets")
        assert taken.status_code == 200
        [request] = http_sink.requests
        assert request.headers["env"] == "HUNTER"

    @on_one_database
    @pytest.mark.parametrize(
        ("url", "body", "status", "words"),
        [
            (SEND, {}, 404, "no active channel"),
            (f"{SEND}nobody/", {}, 404, "'nobody' is neither an active channel nor a driver; drivers: email, "),
            (f"{SEND}off/", {}, 409, "'off' is not active"),
            (f"{SEND}generic/", {}, 400, "config: exactly one of endpoint and webhook_url"),
            (f"{SEND}generic/", {"config": {"endpoint": "hunter2"}}, 400, "config: endpoint: not an http"),
            (f"{SEND}generic/", {"config": {"endpont": "hunter2"}}, 400, "config: endpont: Extra inputs"),
            (SEND, {"config": {"endpoint": "http://x/"}}, 400, "config: name the driver that it is for"),
            (f"{SEND}generic/", {"provider": "email"}, 400, "provider: is another than the URL's"),
        ],
    )
    def test_destination_that_cannot_be_is_told(
        self, client: FlaskClient, database: Database, *, url: str, body: dict[str, Any], status: int, words: str
    ) -> None:
        save(database, "off", {"endpoint": "http://127.0.0.1:9/"}, is_active=False)

        response = client.post(url, json={**MESSAGE, **body})

        assert response.status_code == status
        assert words in response.json["error"]
        assert "hunter2" not in response.text

    @on_one_database
    def test_config_beside_a_saved_channel_is_refused(self, client: FlaskClient, database: Database) -> None:
        save(database, "ops", {"endpoint": "http://127.0.0.1:9/"})

        response = client.post(f"{SEND}ops/", json={**MESSAGE, "config": {}})

        assert (response.status_code, response.json["error"]) == (400, "config: channel 'ops' has its own")

    @on_one_database
    def test_metadata_address_in_a_config_of_the_body_is_not_connected_to(self, client: FlaskClient) -> None:
        by_number = {"endpoint": "http://169.254.169.254/latest/meta-data/", "timeout": 2}
        by_name = {"endpoint": "http://metadata.google.internal/", "timeout": 2}

        answers = [
            client.post(f"{SEND}generic/", json={**MESSAGE, "config": config}) for config in (by_number, by_name)
        ]

        assert {answer.status_code for answer in answers} <= {400, 502}
        assert all("metadata" in answer.json["error"] for answer in answers), [a.json for a in answers]

    def test_web_page_elsewhere_cannot_send(self, door: FlaskClient) -> None:
        as_form = door.post(SEND, data="{}", content_type="text/plain")
        as_page = door.post(SEND, json=MESSAGE, headers={"Origin": "https://example.org"})
        as_port = door.post(SEND, json=MESSAGE, headers={"Sec-Fetch-Site": "same-site"})

        assert [response.status_code for response in (as_form, as_page, as_port)] == [415, 401, 401]

    def test_everything_needs_the_api_token(self, tmp_path: Path) -> None:
        current = settings.load().model_copy(update={"api_token": "t0ken"})
        client = create_app(current, Database(f"sqlite:///{tmp_path / 'x.db'}")).test_client()

        answers = [client.post(url, json=MESSAGE) for url in (SEND, f"{SEND}generic/", BATCH)]
        answers += [client.get(url) for url in ("/notify/drivers/", "/notify/drivers/email/")]

        assert {answer.status_code for answer in answers} == {401}


class TestDrivers:
    def test_drivers_are_listed_with_the_keys_of_their_configs(self, door: FlaskClient) -> None:
        listed = door.get("/notify/drivers/").json
        email = door.get("/notify/drivers/email/").json

        assert [driver["driver"] for driver in listed["drivers"]] == list(CHANNELS)
        assert email in listed["drivers"]
        keys = {key["name"]: key for key in email["config"]}
        assert keys["smtp_host"] == {"name": "smtp_host", "is_required": True, "is_secret": False, "default": None}
        assert (keys["smtp_port"]["default"], keys["password"]["is_secret"]) == (587, True)

    @pytest.mark.parametrize("kind", CHANNELS)
    def test_each_driver_says_what_it_is(self, door: FlaskClient, kind: str) -> None:
        form = door.get(f"/notify/drivers/{kind}/").json

        assert form["description"].endswith((".", ":"))
        assert form["config"]

    def test_unknown_driver_is_404_and_names_the_others(self, door: FlaskClient) -> None:
        response = door.get("/notify/drivers/pigeon/")

        assert (response.status_code, "one of email, " in response.json["error"]) == (404, True)
