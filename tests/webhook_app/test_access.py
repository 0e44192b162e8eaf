"""Who may post and read, asked through the app as a sender elsewhere and on this machine."""

import base64
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from databases import fresh_sqlite
from flask.testing import FlaskClient

from storage import settings
from storage.database import Database
from storage.settings import SettingsError
from tasks.definition.library import save_presets
from webhook_app import access, keyring
from webhook_app.app import create_app
from webhook_app.console.paths import is_page

VECTORS = json.loads((Path(__file__).parents[1] / "payloads/auth_vectors.json").read_text("utf-8"))
ELSEWHERE = "192.0.2.7"
TOKEN_SOURCES = ["datadog", "newrelic", "opsgenie", "zabbix", "generic"]
BODY = b'{"name": "disk full"}\n'

Receiver = Callable[..., FlaskClient]


@pytest.fixture(scope="module")
def inbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fresh_sqlite(tmp_path_factory.mktemp("inbox")) as url:
        database = Database(url)
        with database.write() as session:
            save_presets(session)
        database.dispose()
        yield url


@pytest.fixture
def receiver(inbox_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver with these secrets, and a client of it at this address."""
    with ExitStack() as stack:

        def start(auth: Any = None, *, token: str = "", api_token: str = "", at: str = ELSEWHERE) -> FlaskClient:
            monkeypatch.setenv("WATCHKEEPER_WEBHOOK_TOKEN", token)
            monkeypatch.setenv("WATCHKEEPER_API_TOKEN", api_token)
            monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", "" if auth is None else json.dumps(auth))
            database = Database(inbox_url)
            stack.callback(database.dispose)
            app = create_app(settings.load(), database)
            stack.callback(app.extensions["watchkeeper"].acceptor.close)
            client = app.test_client()
            client.environ_base["REMOTE_ADDR"] = at
            return client

        yield start


def post(
    client: FlaskClient, source: str = "generic", headers: dict[str, str] | None = None, body: bytes = BODY
) -> int:
    url = f"/alerts/webhook/{source}/" if source else "/alerts/webhook/"
    return client.post(url, data=body, headers=headers or {}).status_code


def post_answer(client: FlaskClient, headers: dict[str, str]) -> Any:
    return client.post("/alerts/webhook/generic/", data=BODY, headers=headers).json


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def hex_of(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, "sha256").hexdigest()


def expected_status(vector: dict[str, Any]) -> int:
    """What a vector asks for; where it leaves hex in capital letters to us, we accept them."""
    return 202 if "accept" in vector["expect"] or "2xx" in vector["expect"] else 401


# The vectors.


@pytest.mark.parametrize("vector", VECTORS["grafana"], ids=lambda vector: vector["expect"])
def test_grafana_vector(
    receiver: Receiver, payloads: Path, monkeypatch: pytest.MonkeyPatch, vector: dict[str, Any]
) -> None:
    entry = {"secrets": [vector["secret"]]}
    timestamp_header = "X-Grafana-Alerting-Signature-Timestamp"
    if timestamp_header in vector["headers"]:
        entry["timestamp_header"] = timestamp_header
        monkeypatch.setattr(access, "clock", lambda: 1789944070 + 299)
    client = receiver({"grafana": entry})

    status = post(client, "grafana", vector["headers"], (payloads / vector["file"]).read_bytes())

    assert status == expected_status(vector)


@pytest.mark.parametrize("away_seconds", [-301, 301, 86_400])
def test_grafana_vector_outside_the_window_is_a_replay(
    receiver: Receiver, payloads: Path, monkeypatch: pytest.MonkeyPatch, away_seconds: int
) -> None:
    vector = VECTORS["grafana"][1]
    entry = {"secrets": [vector["secret"]], "timestamp_header": "X-Grafana-Alerting-Signature-Timestamp"}
    monkeypatch.setattr(access, "clock", lambda: 1789944070 + away_seconds)
    client = receiver({"grafana": entry})

    status = post(client, "grafana", vector["headers"], (payloads / vector["file"]).read_bytes())

    assert status == 401


@pytest.mark.parametrize("vector", VECTORS["pagerduty"], ids=lambda vector: vector["expect"])
def test_pagerduty_vector(receiver: Receiver, payloads: Path, vector: dict[str, Any]) -> None:
    client = receiver({"pagerduty": {"secrets": [vector["secret"]]}})

    status = post(client, "pagerduty", vector["headers"], (payloads / vector["file"]).read_bytes())

    assert status == expected_status(vector)


def test_pagerduty_repeat_with_the_same_id_is_a_duplicate(receiver: Receiver, payloads: Path) -> None:
    vector = VECTORS["pagerduty"][3]
    client = receiver({"pagerduty": {"secrets": [vector["secret"]]}})
    body = (payloads / vector["file"]).read_bytes()
    headers = vector["headers"] | {"X-Webhook-Id": "repeat-of-the-vector"}

    answers = [client.post("/alerts/webhook/pagerduty/", data=body, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[1].json["status"] == "duplicate"
    assert answers[0].json["delivery_id"] == answers[1].json["delivery_id"]


@pytest.mark.parametrize("vector", VECTORS["alertmanager"], ids=lambda vector: str(vector["headers"]))
def test_alertmanager_vector(receiver: Receiver, payloads: Path, vector: dict[str, Any]) -> None:
    client = receiver({"alertmanager": {"tokens": ["am-token"], "basic": ["pipeline:s3cr3t"]}})
    body = (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()

    assert post(client, "alertmanager", vector["headers"], body) == expected_status(vector)


@pytest.mark.parametrize("source", TOKEN_SOURCES)
def test_token_vectors(receiver: Receiver, source: str) -> None:
    in_header, in_url = VECTORS["datadog/newrelic/opsgenie/zabbix/generic"]
    client = receiver({source: {"tokens": ["per-source-token"]}})

    accepted = post(client, source, in_header["headers"])
    refused = client.post(f"/alerts/webhook/{source}/{in_url['query']}", data=BODY)

    assert (accepted, refused.status_code) == (202, 401)
    assert "URL" in refused.json["error"]
    assert b"per-source-token" not in refused.data


# Tokens.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (bearer("s3cret"), 202),
        ({"Authorization": "bearer   s3cret "}, 202),
        (basic("anybody", "s3cret"), 202),
        (basic("", "s3cret"), 202),
        ({"X-Webhook-Token": "s3cret"}, 202),
        ({}, 401),
        (bearer(""), 401),
        (bearer("s3cre"), 401),
        (bearer("s3crets"), 401),
        (bearer("S3CRET"), 401),
        (bearer("s3cret, Bearer s3cret"), 401),
        ({"Authorization": "s3cret"}, 401),
        ({"Authorization": "Token s3cret"}, 401),
        (basic("s3cret", ""), 401),
        (basic("s3cret", "wrong"), 401),
        ({"Authorization": "Basic s3cret"}, 401),
        ({"Authorization": "Basic"}, 401),
        ({"Authorization": "Basic " + base64.b64encode(b"s3cret").decode()}, 401),
        ({"Authorization": "Basic \xff\xfe"}, 401),
        ({"Authorization": "Bearer \xff\xfe"}, 401),
        ({"Authorization": "Bearer \N{SNOWMAN}"}, 401),
        ({"X-Webhook-Token": ""}, 401),
        ({"X-Webhook-Token": "s3cret, s3cret"}, 401),
        ({"X-Webhook-Token": "\x80s3cret"}, 401),
        ({"Cookie": "token=s3cret"}, 401),
    ],
)
def test_token_for_all_sources(receiver: Receiver, headers: dict[str, str], status: int) -> None:
    client = receiver(token="s3cret")

    assert post(client, "generic", headers) == status
    assert post(client, "", headers) == status


def test_headers_that_come_twice_do_not_pass_as_one(receiver: Receiver) -> None:
    client = receiver(token="s3cret")

    for name, value in (("X-Webhook-Token", "s3cret"), ("Authorization", "Bearer s3cret")):
        response = client.post("/alerts/webhook/generic/", data=BODY, headers=[(name, value), (name, value)])
        assert response.status_code == 401, name


def test_token_need_not_be_ascii(receiver: Receiver) -> None:
    client = receiver(token="geheimnißvoll")

    as_utf8 = "geheimnißvoll".encode().decode("latin-1")

    assert post(client, "generic", bearer(as_utf8)) == 202
    assert post(client, "generic", basic("x", "geheimnißvoll")) == 202
    assert post(client, "generic", bearer("geheimnissvoll")) == 401


def test_token_header_of_its_own_replaces_the_usual_one(receiver: Receiver) -> None:
    client = receiver({"generic": {"tokens": ["s3cret", "next-s3cret"], "header": "X-Zabbix-Token"}})

    assert post(client, "generic", {"X-Zabbix-Token": "s3cret"}) == 202
    assert post(client, "generic", {"X-Zabbix-Token": "next-s3cret"}) == 202
    assert post(client, "generic", {"X-Webhook-Token": "s3cret"}) == 401


def test_basic_user_and_password_belong_together(receiver: Receiver) -> None:
    client = receiver({"generic": {"basic": ["ann:pass:word", "bob:hunter2"]}})

    assert post(client, "generic", basic("ann", "pass:word")) == 202
    assert post(client, "generic", basic("bob", "hunter2")) == 202
    assert post(client, "generic", basic("ann", "hunter2")) == 401
    assert post(client, "generic", basic("ann", "")) == 401
    assert post(client, "generic", bearer("hunter2")) == 401


def test_a_token_in_the_url_is_never_read_and_never_repeated(receiver: Receiver) -> None:
    client = receiver(token="hunter2")

    for name in ("token", "access_token", "api_key", "Token"):
        response = client.post(f"/alerts/webhook/generic/?{name}=hunter2", data=BODY)
        assert response.status_code == 401
        assert "URL" in response.json["error"]
        assert b"hunter2" not in response.data


# Signatures, as the app reads them.


def test_two_live_secrets_let_a_sender_change_from_one_to_the_other(receiver: Receiver) -> None:
    client = receiver({"grafana": {"secrets": ["old", "new"]}, "pagerduty": {"secrets": ["old", "new"]}})

    for secret, status in (("old", 202), ("new", 202), ("older", 401)):
        signature = hex_of(secret, BODY)
        assert post(client, "grafana", {"X-Grafana-Alerting-Signature": signature}) == status
        assert post(client, "pagerduty", {"X-PagerDuty-Signature": f"v1={signature}"}) == status


def test_one_changed_byte_is_refused(receiver: Receiver) -> None:
    client = receiver({"grafana": {"secrets": ["s3cret"]}})
    headers = {"X-Grafana-Alerting-Signature": hex_of("s3cret", BODY)}

    assert post(client, "grafana", headers, BODY) == 202
    assert post(client, "grafana", headers, BODY.strip()) == 401
    assert post(client, "grafana", headers, BODY.replace(b": ", b":")) == 401


def test_grafana_with_a_timestamp_header_refuses_what_has_no_signed_time(receiver: Receiver) -> None:
    client = receiver({"grafana": {"secrets": ["s3cret"], "timestamp_header": "X-Signed-At"}})
    now = str(int(time.time()))
    signed, plain = hex_of("s3cret", f"{now}:".encode() + BODY), hex_of("s3cret", BODY)
    name = "X-Grafana-Alerting-Signature"

    assert post(client, "grafana", {name: signed, "X-Signed-At": now}) == 202
    assert post(client, "grafana", {name: plain}) == 401
    assert post(client, "grafana", {name: plain, "X-Signed-At": now}) == 401
    assert post(client, "grafana", {name: plain, "X-Signed-At": ""}) == 401
    assert post(client, "grafana", {name: signed}) == 401
    assert post(client, "grafana", {name: signed, "X-Signed-At": str(int(now) + 1)}) == 401
    assert post(client, "grafana", {name: signed, "X-Signed-At": f"{now}, {now}"}) == 401
    assert post(client, "grafana", {name: hex_of("s3cret", b"soon:" + BODY), "X-Signed-At": "soon"}) == 401


@pytest.mark.parametrize("secret", ["whsec_c2VjcmV0", "c2VjcmV0", "secret"])
def test_generic_signs_as_standard_webhooks(receiver: Receiver, secret: str) -> None:
    client = receiver({"generic": {"secrets": [secret]}})

    def sign(at: int, message_id: str) -> dict[str, str]:
        digest = hmac.digest(b"secret", f"{message_id}.{at}.".encode() + BODY, "sha256")
        signature = "v1," + base64.b64encode(digest).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,AAAA {signature}",
        }

    now = int(time.time())
    headers = sign(now, f"msg-{secret}")

    assert post(client, "generic", headers) == 202
    assert post_answer(client, headers)["status"] == "duplicate"
    assert post_answer(client, headers | {"X-Webhook-Id": "another"})["status"] == "duplicate"
    assert post(client, "generic", sign(now - 400, "old")) == 401
    assert post(client, "generic", sign(now + 400, "early")) == 401
    assert post(client, "generic", headers | {"webhook-id": "other"}) == 401
    assert post(client, "generic", {k: v for k, v in headers.items() if k != "webhook-timestamp"}) == 401
    assert post(client, "generic", headers, BODY + b" ") == 401


def test_generic_signs_a_plain_hmac_where_its_header_is_named(receiver: Receiver) -> None:
    client = receiver({"generic": {"secrets": ["s3cret"], "signature_header": "X-Hub-Signature-256"}})

    assert post(client, "generic", {"X-Hub-Signature-256": "sha256=" + hex_of("s3cret", BODY)}) == 202
    assert post(client, "generic", {"X-Hub-Signature-256": hex_of("s3cret", BODY)}) == 202
    assert post(client, "generic", {"X-Hub-Signature-256": hex_of("s3cret", BODY + b" ")}) == 401
    assert post(client, "generic", {"X-Hub-Signature-256": "\xff\xfe"}) == 401
    assert post(client, "generic") == 401


# Which credentials are good for which source.


def test_an_entry_takes_the_place_of_the_token_for_all(receiver: Receiver) -> None:
    client = receiver({"generic": {"tokens": ["own"]}}, token="for-all")

    refused = client.post("/alerts/webhook/generic/", data=BODY, headers=bearer("for-all"))

    assert refused.status_code == 401
    assert "not WATCHKEEPER_WEBHOOK_TOKEN" in refused.json["error"]
    assert post(client, "generic", bearer("own")) == 202
    assert post(client, "alertmanager", bearer("for-all")) == 202
    assert post(client, "alertmanager", bearer("own")) == 401


def test_unnamed_url_takes_what_the_credential_is_good_for(receiver: Receiver, payloads: Path) -> None:
    client = receiver({"generic": {"tokens": ["own"]}, "alertmanager": {"tokens": ["am"]}})
    alertmanager = (payloads / "alertmanager/01_firing_two_hosts.json").read_bytes()

    assert post(client, "", bearer("own"), BODY) == 202
    assert post(client, "", bearer("am"), alertmanager) == 202
    assert post(client, "", bearer("own"), alertmanager) == 401
    assert post(client, "", bearer("am"), BODY) == 401


def test_unnamed_url_refuses_a_stranger_before_the_body_is_parsed(receiver: Receiver) -> None:
    client = receiver({"generic": {"tokens": ["own"]}}, token="for-all")

    assert post(client, "", {}, b"no JSON") == 401
    assert post(client, "", bearer("for-all"), b"no JSON") == 400
    assert post(client, "", bearer("own"), b"no JSON") == 400


def test_what_nobody_recognises_is_kept_for_whoever_has_any_credential(receiver: Receiver) -> None:
    client = receiver({"generic": {"tokens": ["own"]}})

    response = client.post("/alerts/webhook/", data=b"[]", headers=bearer("own"))

    assert (response.status_code, response.json["status"]) == (202, "quarantined")


def test_unknown_source_is_named_only_to_senders(receiver: Receiver) -> None:
    client = receiver({"generic": {"tokens": ["own"]}})

    assert post(client, "nagios", bearer("own")) == 404
    assert post(client, "nagios") == 401


def test_a_source_without_entry_and_token_is_open_to_this_machine_only(receiver: Receiver) -> None:
    auth = {"generic": {"tokens": ["own"]}}

    assert post(receiver(auth), "alertmanager") == 401
    assert post(receiver(auth), "alertmanager", bearer("own")) == 401
    assert post(receiver(auth, at="127.0.0.1"), "alertmanager") == 202
    assert post(receiver(auth, at="127.0.0.1"), "generic") == 401
    assert post(receiver(auth, at="127.0.0.1"), "", {}, BODY) == 401


# This machine.


@pytest.mark.parametrize(
    ("at", "headers", "is_local"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.9.10", {}, True),
        ("::1", {}, True),
        ("192.0.2.7", {}, False),
        ("0.0.0.0", {}, False),
        ("", {}, False),
        ("::ffff:192.0.2.7", {}, False),
        ("127.0.0.1", {"Host": "127.0.0.1:8420"}, True),
        ("127.0.0.1", {"Host": "LOCALHOST:8420"}, True),
        ("::1", {"Host": "[::1]:8420"}, True),
        ("127.0.0.1", {"Host": "rebound.example"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1.rebound.example:8420"}, False),
        ("127.0.0.1", {"Host": "0.0.0.0:8420"}, False),
        ("127.0.0.1", {"Host": "[::1"}, False),
        ("127.0.0.1", {"Host": ""}, False),
        ("127.0.0.1", {"Host": "\xff"}, False),
        ("127.0.0.1", {"Origin": "http://localhost:3000"}, True),
        ("127.0.0.1", {"Origin": "http://127.0.0.1:8420"}, True),
        ("127.0.0.1", {"Origin": "https://news.example"}, False),
        ("127.0.0.1", {"Origin": "https://localhost.news.example"}, False),
        ("127.0.0.1", {"Origin": "null"}, False),
        ("127.0.0.1", {"Origin": ""}, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}, False),
        ("127.0.0.1", {"X-Forwarded-Host": "watchkeeper.example"}, False),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, False),
        ("192.0.2.7", {"X-Forwarded-For": "127.0.0.1", "Host": "localhost"}, False),
    ],
)
def test_without_any_secret_only_this_machine_itself_may_post_and_read(
    receiver: Receiver, at: str, headers: dict[str, str], is_local: bool
) -> None:
    client = receiver(at=at)

    posted = client.post("/alerts/webhook/generic/", data=BODY, headers=headers)
    read = client.get("/orchestration/pipelines/", headers=headers)

    assert (posted.status_code, read.status_code) == ((202, 200) if is_local else (401, 401))
    if not is_local:
        assert "WATCHKEEPER_WEBHOOK_TOKEN" in posted.json["error"]
        assert "WATCHKEEPER_API_TOKEN" in read.json["error"]


def test_with_a_credential_neither_proxy_nor_origin_matters(receiver: Receiver) -> None:
    client = receiver(token="s3cret")
    headers = {"X-Forwarded-For": "192.0.2.9", "Origin": "https://a.example", "Host": "watchkeeper.example"}

    assert post(client, "generic", headers | bearer("s3cret")) == 202


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (bearer("read-me"), 200),
        (bearer("post-me"), 401),
        ({}, 401),
        (bearer("\xff"), 401),
        (basic("x", "read-me"), 401),
        ({"X-Webhook-Token": "read-me"}, 401),
        ({"Authorization": "read-me"}, 401),
    ],
)
def test_readers_send_the_api_token_as_bearer(receiver: Receiver, headers: dict[str, str], status: int) -> None:
    client = receiver(token="post-me", api_token="read-me")

    response = client.get("/orchestration/pipelines/", headers=headers)

    assert response.status_code == status
    assert post(client, "generic", bearer("read-me")) == 401
    assert client.get("/orchestration/pipelines/?token=read-me").status_code == 401


def test_every_endpoint_but_the_health_check_and_the_document_is_closed_to_strangers(receiver: Receiver) -> None:
    client = receiver()
    requests = [
        (method, re.sub("<[^>]*>", "1", rule.rule))
        for rule in client.application.url_map.iter_rules()
        if not is_page(rule.rule) and rule.rule != "/"  # the console: tests/webhook_app/console/test_access.py
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]

    is_open = [
        (method, url) for method, url in requests if client.open(url, method=method, json={}).status_code != 401
    ]

    assert sorted(is_open) == [("GET", "/alerts/webhook/"), ("GET", "/openapi.json")]


# The configuration.


def test_every_value_may_be_a_reference(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "from-the-environment")
    (tmp_path / "secret").write_text("from-a-file\n")
    entry = {
        "tokens": [{"env": "MY_TOKEN"}],
        "secrets": [{"file": str(tmp_path / "secret")}],
        "signature_header": "X-Signature",
    }
    client = receiver({"generic": entry})

    assert post(client, "generic", bearer("from-the-environment")) == 202
    assert post(client, "generic", {"X-Signature": hex_of("from-a-file", BODY)}) == 202
    assert post(client, "generic", {"X-Signature": hex_of("from-a-file\n", BODY)}) == 401


def test_entries_may_stand_in_a_file(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"generic": {"tokens": ["filed"]}}))
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH_FILE", str(file))
    client = receiver()

    assert post(client, "generic", bearer("filed")) == 202
    assert post(client, "generic") == 401
    with pytest.raises(SettingsError, match="only one"):
        receiver({"generic": {"tokens": ["x"]}})


def test_file_of_entries_that_is_not_there_is_refused(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH_FILE", str(tmp_path / "nowhere.json"))

    with pytest.raises(SettingsError, match="WATCHKEEPER_WEBHOOK_AUTH_FILE: cannot be read"):
        receiver()


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ([], "must be an object"),
        ("hunter2", "must be an object"),
        ({"nagios": {"tokens": ["hunter2"]}}, "unknown source 'nagios'"),
        ({"generic": "hunter2"}, "generic: "),
        ({"generic": {}}, "generic: .*at least one"),
        ({"generic": {"tokens": []}}, "generic: .*at least one"),
        ({"generic": {"token": ["hunter2"]}}, r"generic\.token: Extra"),
        ({"generic": {"tokens": "hunter2"}}, r"generic\.tokens: "),
        ({"generic": {"tokens": [""]}}, r"generic\.tokens\[0\]: .*empty"),
        ({"generic": {"tokens": ["hunter2", "  "]}}, r"generic\.tokens\[1\]: .*empty"),
        ({"generic": {"tokens": ["hunter2\n"]}}, r"generic\.tokens\[0\]: .*line break"),
        ({"generic": {"tokens": ["hunter2\ud800"]}}, r"generic\.tokens\[0\]: .*UTF-8"),
        ({"generic": {"tokens": [7]}}, r"generic\.tokens\[0\]: .*text"),
        ({"generic": {"tokens": [None]}}, r"generic\.tokens\[0\]: .*text"),
        ({"generic": {"basic": ["hunter2"]}}, r"generic\.basic\[0\]: .*user:password"),
        ({"generic": {"basic": ["hunter2:"]}}, r"generic\.basic\[0\]: .*user:password"),
        ({"generic": {"secrets": [""]}}, r"generic\.secrets\[0\]: .*empty"),
        ({"generic": {"secrets": ["whsec_"]}}, "generic: .*base64"),
        ({"generic": {"secrets": ["whsec_hunter2!"]}}, "generic: .*base64"),
        ({"generic": {"tokens": ["hunter2"], "header": "X_Token"}}, r"generic\.header: "),
        ({"generic": {"tokens": ["hunter2"], "header": ""}}, r"generic\.header: "),
        ({"generic": {"secrets": ["hunter2"], "tolerance_seconds": 0}}, r"generic\.tolerance_seconds: "),
        ({"generic": {"secrets": ["hunter2"], "timestamp_header": "X"}}, r"generic\.timestamp_header: Extra"),
        ({"pagerduty": {"secrets": ["hunter2"], "tolerance_seconds": 9}}, r"pagerduty\.tolerance_seconds: Extra"),
        ({"generic": {"tokens": [{"env": "NOT_SET_ANYWHERE"}]}}, r"generic\.tokens\[0\]: .*NOT_SET_ANYWHERE"),
        ({"generic": {"tokens": [{"file": "/nowhere/x"}]}}, r"generic\.tokens\[0\]: .*not there"),
        ({"generic": {"tokens": [{"prefect": "block"}]}}, r"generic\.tokens\[0\]: a Prefect block"),
        ({"generic": {"tokens": [{"vault": "x"}]}}, r"generic\.tokens\[0\]: .*text"),
        ({"generic": {"env": "NOT_SET_ANYWHERE"}}, "generic: .*NOT_SET_ANYWHERE"),
    ],
)
def test_unusable_entry_is_refused_by_name_and_its_values_are_not_repeated(
    receiver: Receiver, auth: Any, said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        receiver(auth)

    message = str(refused.value)
    assert message.startswith("WATCHKEEPER_WEBHOOK_AUTH: ")
    assert "hunter2" not in message
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_entries_that_are_no_json_are_refused_and_not_repeated(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver()
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", '{"generic": {"tokens": ["hunter2"]')

    with pytest.raises(SettingsError, match="no JSON") as refused:
        keyring.load(settings.load())

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("variable", ["WATCHKEEPER_WEBHOOK_TOKEN", "WATCHKEEPER_API_TOKEN"])
@pytest.mark.parametrize("value", [" ", "\t\n", " hunter2", "hunter2\n", "hunter2\udcff"])
def test_a_token_that_no_header_can_carry_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=variable) as refused:
        settings.load()

    assert "hunter2" not in str(refused.value)


# What is said.


def test_secrets_are_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"tokens": ["hunter2"], "basic": ["ann:hunter2"], "secrets": ["hunter2"]}
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_TOKEN", "hunter2")
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", json.dumps({"generic": entry}))
    current = settings.load()
    ring = keyring.load(current)

    shown = f"{ring!r} {ring.all!r} {ring.token!r} {ring.token} {ring.entries['generic'].model_dump()} {current!r}"

    assert "hunter2" not in shown


def test_a_refusal_says_what_is_accepted(receiver: Receiver) -> None:
    client = receiver({"generic": {"tokens": ["hunter2"], "basic": ["ann:hunter2"], "secrets": ["hunter2"]}})

    response = client.post("/alerts/webhook/generic/", data=BODY, headers=bearer("guess"))

    assert response.status_code == 401
    assert "Bearer" in response.headers["WWW-Authenticate"]
    for way in ("Bearer", "Basic", "X-Webhook-Token", "webhook-signature"):
        assert way in response.json["error"]
    assert b"hunter2" not in response.data
    assert b"guess" not in response.data


def test_refusals_are_logged_without_secrets_and_not_each_time(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    client = receiver({"generic": {"tokens": ["hunter2"]}})
    caplog.clear()

    for _ in range(50):
        post(client, "generic", bearer("guess"))
    client.post("/alerts/webhook/anything-at-all/?token=guess", data=BODY)

    lines = [str(vars(record)) for record in caplog.records if record.name == "watchkeeper.receiver"]
    assert len(lines) == 2
    assert "generic" in lines[0]
    assert not any(word in line for line in lines for word in ("hunter2", "guess", "anything-at-all"))


@pytest.mark.parametrize(
    ("auth", "token", "said"),
    [
        (None, "", ["no webhook secret is configured"]),
        (None, "s3cret", []),
        ({"generic": {"tokens": ["s3cret"]}}, "s3cret", []),
        ({"generic": {"tokens": ["s3cret"]}}, "", ["no entry in WATCHKEEPER_WEBHOOK_AUTH"]),
    ],
)
def test_receiver_says_at_its_start_what_only_this_machine_may(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, auth: Any, token: str, said: list[str]
) -> None:
    with caplog.at_level(logging.WARNING, "watchkeeper.receiver"):
        receiver(auth, token=token)

    lines = [record.getMessage() for record in caplog.records if record.name == "watchkeeper.receiver"]
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))
