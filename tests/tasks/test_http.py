import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from httpcore._sync import connection, http11, http_proxy
from raw_server import raw_server
from sinks import Answer, HttpSink

from tasks.errors import PermanentError, TransientError
from tasks.http import LOGGERS, MAX_BODY_BYTES, OutboundRequest, OutboundResponse, judge, parse_retry_after, send

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def drip(prefix: bytes) -> Callable[[socket.socket], None]:
    def speak(connection: socket.socket) -> None:
        connection.sendall(prefix)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    return speak


def test_a_request_arrives_as_it_was_given_and_the_answer_comes_back(http_sink):
    http_sink.answer_with(Answer(status=201, headers={"X-Request-Id": "r1"}, body="grün".encode()))
    request = OutboundRequest(
        method="PUT", url=f"{http_sink.url}/a/b?c=d", headers={"X-Team": "ops"}, body=b"\x00\xff"
    )

    response = send(request)

    [received] = http_sink.requests
    assert (received.method, received.path, received.body) == ("PUT", "/a/b?c=d", b"\x00\xff")
    assert received.headers["X-Team"] == "ops"
    assert (response.host, response.status, response.body) == ("127.0.0.1", 201, "grün")
    assert response.headers["x-request-id"] == "r1"
    assert response.is_complete


def test_connections_are_reused_and_cookies_are_not_kept(http_sink):
    http_sink.answer_with(Answer(headers={"Set-Cookie": "session=1; Path=/"}))

    for _ in range(3):
        send(OutboundRequest(method="POST", url=http_sink.url, body=b"{}"))

    assert http_sink.connection_count == 1
    assert not any(request.headers["Cookie"] for request in http_sink.requests)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_2xx_passes(http_sink, status):
    http_sink.answer_with(Answer(status=status, body=b""))

    judge(send(OutboundRequest(method="POST", url=http_sink.url)))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 599])
def test_an_answer_that_may_pass_is_transient(http_sink, status):
    http_sink.answer_with(Answer(status=status, headers={"Retry-After": "7"}))

    with pytest.raises(TransientError, match=f"^127.0.0.1 answered {status}$") as caught:
        judge(send(OutboundRequest(method="POST", url=http_sink.url)))

    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize("status", [304, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 418, 422, 451])
def test_any_other_answer_is_permanent(http_sink, status):
    http_sink.answer_with(Answer(status=status, body=b""))

    with pytest.raises(PermanentError, match=f"^127.0.0.1 answered {status}$"):
        judge(send(OutboundRequest(method="POST", url=http_sink.url)))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_permanent_and_not_followed(http_sink, status):
    http_sink.answer_with(Answer(status=status, headers={"Location": f"{http_sink.url}/hunter2"}))

    with pytest.raises(PermanentError, match=f"^127.0.0.1 answered {status}, a redirect") as caught:
        send(OutboundRequest(method="POST", url=http_sink.url))

    assert len(http_sink.requests) == 1
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 01 Mar 2026 12:02:00 -0000", 120),
        ("99999999999999999999", 86_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("nan", None),
        ("soon", None),
        ("²", None),
        ("Sun, 99 Mar 2026 12:02:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(text, seconds):
    assert parse_retry_after(text, now=NOW) == seconds


def test_a_refused_connection_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(TransientError, match=r"^127.0.0.1: Connection refused$"):
        send(OutboundRequest(method="POST", url=f"http://127.0.0.1:{port}"))


def test_an_unknown_host_is_transient():
    with pytest.raises(TransientError, match=r"^nowhere.invalid: "):
        send(OutboundRequest(method="POST", url="http://nowhere.invalid/"))


def test_a_connection_closed_without_an_answer_is_transient():
    with raw_server(lambda _: None) as url, pytest.raises(TransientError, match=r"^127.0.0.1: "):
        send(OutboundRequest(method="POST", url=url))


def test_an_answer_that_is_not_http_is_transient():
    with raw_server(lambda s: s.sendall(b"SSH-2.0-x\r\n\r\n")) as url, pytest.raises(TransientError):
        send(OutboundRequest(method="POST", url=url))


def test_a_late_answer_is_transient():
    with (
        HttpSink([Answer(delay_seconds=2)]) as sink,
        pytest.raises(TransientError, match=r"^127.0.0.1 did not answer within 0.2 s$"),
    ):
        send(OutboundRequest(method="POST", url=sink.url, timeout_seconds=0.2))


def test_headers_that_drip_in_end_at_the_deadline():
    began = time.monotonic()

    with raw_server(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as url:
        with pytest.raises(TransientError, match=r"did not answer within 0.4 s"):
            send(OutboundRequest(method="POST", url=url, timeout_seconds=0.4))
        took = time.monotonic() - began

    assert took < 1


@pytest.mark.parametrize("length", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_a_body_that_drips_in_ends_at_the_deadline_but_its_status_stands(length):
    began = time.monotonic()

    with raw_server(drip(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n1\r\nx\r\n")) as url:
        response = send(OutboundRequest(method="POST", url=url, timeout_seconds=0.4))
        took = time.monotonic() - began

    assert took < 1
    assert (response.status, response.is_complete) == (200, False)


def test_a_body_is_read_to_the_cap_and_says_so(http_sink):
    http_sink.answer_with(Answer(body=b"a" * (MAX_BODY_BYTES + 1)), Answer(body=b"a" * MAX_BODY_BYTES))

    longer, whole = (send(OutboundRequest(method="GET", url=http_sink.url)) for _ in range(2))

    assert (len(longer.body), longer.is_complete) == (MAX_BODY_BYTES, False)
    assert (len(whole.body), whole.is_complete) == (MAX_BODY_BYTES, True)


def test_an_endless_body_is_not_read_to_its_end():
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Oh\r\n\r\n")
        while True:
            connection.sendall(b"a" * 65536)

    with raw_server(speak) as url:
        response = send(OutboundRequest(method="POST", url=url, timeout_seconds=5))

    assert (response.status, len(response.body), response.is_complete) == (500, MAX_BODY_BYTES, False)


def test_a_certificate_that_nobody_vouches_for_is_permanent():
    with HttpSink(is_tls=True) as sink:
        with pytest.raises(PermanentError, match=r"^127.0.0.1: TLS certificate refused: "):
            send(OutboundRequest(method="POST", url=f"{sink.url}/hunter2"))

        assert sink.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "ftp://hunter2.example",
        "file:///etc/hunter2",
        "http://",
        "http:///hunter2",
        "http://a:hunter2",
        "http://[hunter2",
        "http://[fe80::1%25eth0]/hunter2",
        "http://a.example/\x00hunter2",
        "http://127.0.0.1:99999/hunter2",
        f"http://{'a' * 70}.example/hunter2",
    ],
)
def test_an_unusable_url_is_permanent_and_stays_out_of_the_error(url):
    with pytest.raises(PermanentError) as caught:
        send(OutboundRequest(method="POST", url=url))

    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"X-A": "b\r\nX-Injected: hunter2"}),
        ("POST", {"X-A: b\r\nX-Injected": "hunter2"}),
        ("POST", {"X-A": "hunter2 \u2028"}),
        ("PO ST", {"X-A": "hunter2"}),
    ],
)
def test_a_header_or_method_that_breaks_the_request_is_permanent_and_not_sent(http_sink, method, headers):
    with pytest.raises(PermanentError) as caught:
        send(OutboundRequest(method=method, url=http_sink.url, headers=headers))

    assert "hunter2" not in str(caught.value)
    assert http_sink.requests == []


def test_secrets_are_in_no_error_log_or_repr(http_sink, caplog):
    caplog.set_level(logging.DEBUG)
    url = http_sink.url.replace("//", "//ann:hunter2@") + "/hunter2?x=hunter2#hunter2"
    request = OutboundRequest(method="POST", url=url, headers={"Authorization": "Bearer hunter2"}, body=b"hunter2")
    http_sink.answer_with(
        Answer(status=500, body=b"hunter2", headers={"X-Echo": "hunter2"}),
        404,
        Answer(status=302, delay_seconds=0),
    )
    shown = [repr(request)]

    for _ in range(3):
        try:
            response = send(request)
            shown.append(repr(response))
            judge(response)
        except (TransientError, PermanentError) as error:
            shown.append(str(error))

    assert len(shown) == 6
    assert "hunter2" not in "".join(shown) + caplog.text


@pytest.mark.parametrize("logger", ["httpx", "httpcore.http11"])
def test_the_log_of_other_users_of_httpx_is_left_alone(http_sink, caplog, logger):
    send(OutboundRequest(method="POST", url=http_sink.url))

    with caplog.at_level(logging.INFO, logger=logger):
        logging.getLogger(logger).info("somebody else's")

    assert "somebody else's" in caplog.text


def test_the_logs_that_are_kept_quiet_are_all_of_httpcores():
    modules = [connection, http11, http_proxy]

    assert {module.logger.name for module in modules} <= set(LOGGERS)


def test_the_cause_is_not_looked_for_in_an_error_being_handled():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    try:
        socket.inet_aton("no address")
    except OSError:
        with pytest.raises(TransientError, match="Connection refused"):
            send(OutboundRequest(method="POST", url=f"http://127.0.0.1:{port}"))


def test_a_caller_may_name_further_answers_that_may_pass():
    response = OutboundResponse(host="a.example", status=409, headers={"retry-after": "7"})

    with pytest.raises(TransientError, match=r"^a.example answered 409$") as caught:
        judge(response, also_transient={409})

    assert caught.value.retry_after_seconds == 7


def test_a_response_made_by_hand_is_judged_without_its_headers():
    with pytest.raises(TransientError) as caught:
        judge(OutboundResponse(host="a.example", status=503))

    assert caught.value.retry_after_seconds is None


def test_many_threads_share_the_door():
    with HttpSink(default=Answer(delay_seconds=0.01)) as sink:
        request = OutboundRequest(method="POST", url=sink.url, body=b"{}")

        def work() -> None:
            for _ in range(25):
                judge(send(request))

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(sink.requests) == 400
