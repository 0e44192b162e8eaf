import json
import socket

import pytest
from sinks import Answer, HttpSink

from storage.records import ChannelConfig, Receipt
from tasks.errors import PermanentError, TransientError
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


def channel(**config):
    return build(ChannelConfig(id=1, name="ops", driver="generic", config=config))


def test_every_driver_is_registered_under_its_own_kind():
    assert all(driver.kind == kind for kind, driver in CHANNELS.items())


def test_an_unknown_driver_is_refused_by_name():
    with pytest.raises(PermanentError, match=r"^channel 'ops': driver: 'pigeon' is none of email, generic$"):
        build(ChannelConfig(id=1, name="ops", driver="pigeon", config={}))


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


def test_headers_are_sent_and_may_be_references(http_sink, monkeypatch):
    monkeypatch.setenv("WK_TOKEN", "Bearer abc")
    headers = {"Authorization": {"env": "WK_TOKEN"}, "env": "production", "content-type": "application/x-incident"}

    channel(endpoint=http_sink.url, headers=headers).deliver(NOTIFICATION)

    received = http_sink.requests[0].headers
    assert (received["Authorization"], received["Env"]) == ("Bearer abc", "production")
    assert received.get_all("Content-Type") == ["application/x-incident"]


def test_a_disabled_channel_sends_nothing_and_says_so(http_sink):
    receipt = channel(endpoint=http_sink.url, disabled=True).deliver(NOTIFICATION)

    assert receipt == Receipt(detail="disabled")
    assert http_sink.requests == []


def test_a_repeat_carries_the_same_key(http_sink):
    http_sink.answer_with(503)
    generic = channel(endpoint=http_sink.url)

    with pytest.raises(TransientError):
        generic.deliver(NOTIFICATION)
    generic.deliver(NOTIFICATION)

    assert [request.headers["Idempotency-Key"] for request in http_sink.requests] == ["9f1c", "9f1c"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, TransientError),
        (503, TransientError),
        (302, PermanentError),
        (404, PermanentError),
        (410, PermanentError),
    ],
)
def test_the_answer_is_judged_and_no_secret_is_in_the_error(http_sink, status, error):
    http_sink.answer_with(Answer(status=status, headers={"Retry-After": "9"}, body=b"hunter2"))
    generic = channel(endpoint=f"{http_sink.url}/hunter2?k=hunter2", headers={"X-Token": "hunter2"})

    with pytest.raises(error, match=f"answered {status}") as caught:
        generic.deliver(NOTIFICATION)

    assert "hunter2" not in str(caught.value)
    assert getattr(caught.value, "retry_after_seconds", 9) == 9


def test_the_timeout_is_the_channels_own():
    with HttpSink([Answer(delay_seconds=2)]) as sink, pytest.raises(TransientError, match=r"within 0\.1 s"):
        channel(endpoint=sink.url, timeout=0.1).deliver(NOTIFICATION)


def test_an_endpoint_that_is_down_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(TransientError, match="Connection refused"):
        channel(endpoint=f"http://127.0.0.1:{port}/").deliver(NOTIFICATION)


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
    generic = channel(endpoint="https://a.example/hunter2", headers={"X-Token": "hunter2"})

    assert "hunter2" not in repr(generic.config) + repr(generic.build_request(NOTIFICATION))
