import base64
import hmac
import json
import socket
import struct
import time

import pytest
from raw_server import raw_server
from sinks import Answer, HttpSink

from storage.records import ChannelConfig, Receipt
from tasks.errors import PermanentError, TransientError
from tasks.http import MAX_RETRY_AFTER_SECONDS
from tasks.notify.channels import CHANNELS, build
from tasks.notify.message import Notification

NOTIFICATION = Notification(
    reason="firing",
    title="[FIRING] critical: DiskFull on db-03",
    message="Firing since 02:13.\nGr\u00fc\u00dfe <b>&",
    severity="critical",
    channel="ops",
    tags={"host": "db-03"},
    context={"incident": {"id": 7, "episode": 1}},
    idempotency_key="9f1c",
)
SECRET = f"whsec_{base64.b64encode(b'k' * 32).decode()}"


def channel(**config):
    return build(ChannelConfig(id=1, name="ops", driver="generic", config=config))


def test_every_driver_is_registered_under_its_own_kind():
    assert all(driver.kind == kind for kind, driver in CHANNELS.items())


def test_an_unknown_driver_is_refused_by_name():
    with pytest.raises(PermanentError) as caught:
        build(ChannelConfig(id=1, name="ops", driver="pigeon", config={}))

    assert str(caught.value) == f"channel 'ops': driver: 'pigeon' is none of {', '.join(CHANNELS)}"


@pytest.mark.parametrize("url_key", ["endpoint", "webhook_url"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_the_message_arrives_as_json_with_its_idempotency_key(http_sink, url_key, method):
    receipt = channel(**{url_key: f"{http_sink.url}/hook?a=b"}, method=method).deliver(NOTIFICATION)

    [request] = http_sink.requests
    assert (request.method, request.path) == (method, "/hook?a=b")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == "9f1c"
    assert json.loads(request.body) == {
        "reason": "firing",
        "title": "[FIRING] critical: DiskFull on db-03",
        "message": "Firing since 02:13.\nGr\u00fc\u00dfe <b>&",
        "severity": "critical",
        "channel": "ops",
        "thread": "",
        "tags": {"host": "db-03"},
        "context": {"incident": {"id": 7, "episode": 1}},
        "idempotency_key": "9f1c",
    }
    assert receipt == Receipt(detail="127.0.0.1 answered 200")


def test_post_is_the_default_method(http_sink):
    channel(endpoint=http_sink.url).deliver(NOTIFICATION)

    assert http_sink.requests[0].method == "POST"


def test_a_get_carries_the_short_fields_in_its_query(http_sink):
    channel(endpoint=f"{http_sink.url}/ping?a=b#c", method="GET").deliver(NOTIFICATION)

    [request] = http_sink.requests
    assert (request.method, request.body) == ("GET", b"")
    assert request.path == (
        "/ping?a=b&reason=firing&title=%5BFIRING%5D+critical%3A+DiskFull+on+db-03"
        "&severity=critical&channel=ops&idempotency_key=9f1c"
    )


def test_a_template_makes_the_message(http_sink):
    channel(endpoint=http_sink.url, template="{{ severity }} on {{ tags.host }}").deliver(NOTIFICATION)

    body = json.loads(http_sink.requests[0].body)
    assert (body["message"], body["title"]) == ("critical on db-03", NOTIFICATION.title)


@pytest.mark.parametrize(
    ("template", "content_type", "body"),
    [
        ('{"text": {{ message|tojson }}}', "application/json", {"text": NOTIFICATION.message}),
        ("[{{ incident.id }}]", "application/json", [7]),
        (
            '{{ (severity ~ ": " ~ message)|tojson }}',
            "text/plain; charset=utf-8",
            f"critical: {NOTIFICATION.message}",
        ),
    ],
    ids=["object", "list", "text"],
)
def test_a_payload_template_makes_the_body(http_sink, template, content_type, body):
    channel(endpoint=http_sink.url, payload_template=template).deliver(NOTIFICATION)

    [request] = http_sink.requests
    sent = request.body.decode()
    assert request.headers["Content-Type"] == content_type
    assert (sent if isinstance(body, str) else json.loads(sent)) == body


def test_a_payload_template_that_makes_no_json_costs_nobody_the_message(http_sink):
    channel(endpoint=http_sink.url, payload_template="{{ message }}").deliver(NOTIFICATION)

    message = json.loads(http_sink.requests[0].body)["message"]
    assert "could not be used" in message
    assert message.endswith(NOTIFICATION.message)


def test_headers_are_sent_and_may_be_references(http_sink, monkeypatch):
    monkeypatch.setenv("WK_TOKEN", "Bearer abc")
    headers = {"Authorization": {"env": "WK_TOKEN"}, "env": "production", "content-type": "application/x-incident"}

    channel(endpoint=http_sink.url, headers=headers).deliver(NOTIFICATION)

    received = http_sink.requests[0].headers
    assert (received["Authorization"], received["Env"]) == ("Bearer abc", "production")
    assert received.get_all("Content-Type") == ["application/x-incident"]


def test_a_disabled_channel_sends_nothing_and_says_so(http_sink):
    receipt = channel(endpoint=http_sink.url, disabled=True).deliver(NOTIFICATION)

    assert receipt == Receipt(detail="not sent: the channel is disabled")
    assert http_sink.requests == []


def test_a_repeat_carries_the_same_key(http_sink):
    http_sink.answer_with(503)
    generic = channel(endpoint=http_sink.url)

    with pytest.raises(TransientError):
        generic.deliver(NOTIFICATION)
    generic.deliver(NOTIFICATION)

    assert [request.headers["Idempotency-Key"] for request in http_sink.requests] == ["9f1c", "9f1c"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207])
def test_a_success_is_a_receipt(http_sink, status):
    http_sink.answer_with(Answer(status=status, body=b""))

    assert channel(endpoint=http_sink.url).deliver(NOTIFICATION) == Receipt(detail=f"127.0.0.1 answered {status}")


# 409 is how a receiver says of a key that the first request with it is still being worked on.
@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 520])
def test_an_answer_that_may_pass_is_transient_and_its_wish_is_kept(http_sink, status):
    caught = deliver_to(http_sink, status, TransientError)

    assert caught.retry_after_seconds == 9
    assert str(caught) == f"127.0.0.1 answered {status}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 415, 422, 451])
def test_any_other_answer_is_permanent(http_sink, status):
    assert str(deliver_to(http_sink, status, PermanentError)) == f"127.0.0.1 answered {status}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_permanent_and_not_followed(http_sink, status):
    said = str(deliver_to(http_sink, status, PermanentError))

    assert said == f"127.0.0.1 answered {status}, a redirect, which is not followed"
    assert len(http_sink.requests) == 1


def test_a_date_to_wait_for_is_read_too(http_sink):
    http_sink.answer_with(Answer(status=429, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}))

    with pytest.raises(TransientError) as caught:
        channel(endpoint=http_sink.url).deliver(NOTIFICATION)

    assert caught.value.retry_after_seconds == MAX_RETRY_AFTER_SECONDS


def deliver_to(sink: HttpSink, status: int, error: type[Exception]) -> Exception:
    """The error that the status becomes; secrets are all over the exchange and in none of it."""
    headers = {"Retry-After": "9", "Location": f"{sink.url}/hunter2"}
    sink.answer_with(Answer(status=status, headers=headers, body=b"hunter2"))
    generic = channel(endpoint=f"{sink.url}/hunter2?k=hunter2", headers={"X-Token": "hunter2"}, secret=SECRET)

    with pytest.raises(error) as caught:
        generic.deliver(NOTIFICATION)

    assert not any(secret in str(caught.value) + repr(caught.value) for secret in ("hunter2", SECRET))
    return caught.value


def test_the_timeout_is_the_channels_own():
    with HttpSink([Answer(delay_seconds=2)]) as sink, pytest.raises(TransientError, match=r"within 0\.1 s"):
        channel(endpoint=sink.url, timeout=0.1).deliver(NOTIFICATION)


def test_an_answer_that_drips_in_ends_at_the_timeout():
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.02)

    with raw_server(drip) as url, pytest.raises(TransientError, match=r"^127.0.0.1 did not answer within 0\.2 s$"):
        channel(endpoint=url, timeout=0.2).deliver(NOTIFICATION)


def test_a_connection_that_is_cut_is_transient():
    with raw_server(lambda _: None) as url, pytest.raises(TransientError, match=r"^127.0.0.1: "):
        channel(endpoint=url).deliver(NOTIFICATION)


def test_a_connection_that_is_reset_is_transient():
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with raw_server(reset) as url, pytest.raises(TransientError, match=r"^127.0.0.1: Connection reset by peer$"):
        channel(endpoint=url).deliver(NOTIFICATION)


def test_an_endpoint_that_is_down_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(TransientError, match="Connection refused"):
        channel(endpoint=f"http://127.0.0.1:{port}/").deliver(NOTIFICATION)


def test_a_name_that_is_not_found_is_transient():
    with pytest.raises(TransientError, match=r"^nowhere.invalid: "):
        channel(endpoint="http://nowhere.invalid/").deliver(NOTIFICATION)


def test_a_certificate_that_nobody_vouches_for_is_permanent():
    with HttpSink(is_tls=True) as sink, pytest.raises(PermanentError, match="TLS certificate refused"):
        channel(endpoint=sink.url).deliver(NOTIFICATION)


@pytest.mark.parametrize("address", ["169.254.169.254", "2852039166", "[fd00:ec2::254]", "0.0.0.0"])
def test_a_metadata_address_is_refused_when_it_is_configured(address):
    with pytest.raises(PermanentError, match=r"^channel 'ops': endpoint: is a link-local or metadata address"):
        channel(endpoint=f"http://{address}/hunter2")


def test_a_name_that_leads_to_a_metadata_address_is_refused_when_it_is_sent_to(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(PermanentError, match=r"^hooks.example leads to a link-local or metadata address"):
        channel(endpoint="http://hooks.example/").deliver(NOTIFICATION)


def test_private_addresses_are_refused_where_the_setting_says_so(http_sink, monkeypatch):
    generic = channel(endpoint=http_sink.url)
    generic.deliver(NOTIFICATION)
    monkeypatch.setenv("WATCHKEEPER_BLOCK_PRIVATE_ADDRESSES", "true")

    with pytest.raises(PermanentError, match="leads to a private address"):
        generic.deliver(NOTIFICATION)

    assert len(http_sink.requests) == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_every_try_is_signed_over_the_bytes_that_arrive(http_sink, method):
    generic = channel(endpoint=http_sink.url, method=method, secret=SECRET)

    generic.deliver(NOTIFICATION)

    [request] = http_sink.requests
    sent = {name: request.headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    content = b".".join([sent["webhook-id"].encode(), sent["webhook-timestamp"].encode(), request.body])
    digest = hmac.digest(b"k" * 32, content, "sha256")
    assert sent["webhook-id"] == request.headers["Idempotency-Key"] == "9f1c"
    assert abs(int(sent["webhook-timestamp"]) - time.time()) < 60
    assert sent["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_without_a_secret_nothing_is_signed(http_sink):
    channel(endpoint=http_sink.url, headers={"Webhook-Id": "mine"}).deliver(NOTIFICATION)

    [request] = http_sink.requests
    assert (request.headers["Webhook-Id"], request.headers["Webhook-Signature"]) == ("mine", None)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "exactly one of endpoint and webhook_url is needed"),
        ({"endpoint": "http://a", "webhook_url": "http://a/hunter2"}, "exactly one of endpoint and webhook_url"),
        ({"endpoint": "ftp://a/hunter2"}, "endpoint: not an http or https URL"),
        ({"endpoint": "//a/hunter2"}, "endpoint: not an http or https URL"),
        ({"webhook_url": "http:///hunter2"}, "webhook_url: a URL without a usable host"),
        ({"webhook_url": "http://a/\nhunter2"}, "webhook_url: not a valid URL"),
        ({"endpoint": ["hunter2"]}, "endpoint: Input should be a valid string"),
        ({"endpoint": {"env": "WK_UNSET"}}, "endpoint: environment variable 'WK_UNSET' is not set"),
        ({"endpoint": "http://a", "method": "DELETE"}, "method: Input should be 'POST', 'PUT', 'PATCH' or 'GET'"),
        ({"endpoint": "http://a", "timeout": 0}, "timeout: Input should be greater than 0"),
        (
            {"endpoint": "http://a", "headers": {"X-A": "hunter2\r\nX-B: c"}},
            "headers.X-A: holds characters that no",
        ),
        ({"endpoint": "http://a", "headers": {"X-A": "hunter2\u00fc"}}, "headers.X-A: holds characters that no"),
        ({"endpoint": "http://a", "headers": {"X A": "hunter2"}}, "headers.X A"),
        ({"endpoint": "http://a", "headers": {"Content-Length": "hunter2"}}, "is set by Watchkeeper"),
        ({"endpoint": "http://a", "headers": {"idempotency-key": "hunter2"}}, "is set by Watchkeeper"),
        (
            {"endpoint": "http://a", "secret": SECRET, "headers": {"Webhook-Id": "hunter2"}},
            "headers.Webhook-Id: is set by Watchkeeper, since there is a secret",
        ),
        ({"endpoint": "http://a", "secret": "hunter2"}, "secret: must be base64"),
        (
            {"endpoint": "http://a", "method": "GET", "payload_template": "hunter2"},
            "payload_template: a GET has no body",
        ),
        ({"endpoint": "http://a", "method": "GET", "template": "hunter2"}, "template: a GET has no body"),
        ({"endpoint": "http://a", "payload_template": "{{ message"}, "payload_template: "),
        ({"endpoint": "http://a", "pasword": "hunter2"}, "pasword: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_config_is_refused_by_channel_and_field_without_its_values(config, said):
    with pytest.raises(PermanentError) as caught:
        channel(**config)

    assert str(caught.value).startswith("channel 'ops': ")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_secrets_are_not_in_the_repr():
    generic = channel(endpoint="https://a.example/hunter2", headers={"X-Token": "hunter2"}, secret=SECRET)

    shown = repr(generic.config) + repr(generic.build_request(NOTIFICATION))
    assert not any(secret in shown for secret in ("hunter2", SECRET))
