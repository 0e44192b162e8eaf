import base64
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from certificates import issue
from networks import closed_port
from pydantic import ValidationError
from raw_server import raw_server
from sinks import Answer, HttpSink, certificate_files
from threads import is_left_behind

from storage.records import CheckResult
from storage.redaction import redact, redact_text
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.http import Http
from tasks.check.readings.web import MAX_BODY_BYTES


def check(*urls: Any, **config: Any) -> CheckResult:
    """Check without loading the authorities, which takes longer than most of these tests."""
    return check_verified(*urls, **{"verify_tls": False, **config})


def check_verified(*urls: Any, **config: Any) -> CheckResult:
    return Http(Http.Config.model_validate({"urls": urls, "timeout": 3, **config})).measure()


def drip(prefix: bytes, drop: bytes = b"x") -> Callable[[socket.socket], None]:
    """Say something at once, and then go on for ever, slowly."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(prefix)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return speak


# Statuses


@pytest.mark.parametrize(
    ("status", "expected", "verdict"),
    [
        (200, None, "ok"),
        (204, None, "ok"),
        (301, None, "ok"),
        (399, None, "ok"),
        (400, None, "critical"),
        (404, None, "critical"),
        (500, None, "critical"),
        (503, None, "critical"),
        (401, 401, "ok"),
        (200, 401, "critical"),
        (200, [200, 204], "ok"),
        (204, [200, 204], "ok"),
        (206, [200, 204], "critical"),
    ],
)
def test_a_status_is_good_or_critical(http_sink, status, expected, verdict):
    http_sink.answer_with(Answer(status=status, body=b""))

    result = check({"url": http_sink.url, "expect_status": expected})

    assert result.status == verdict
    assert result.metrics["urls"][0]["status_code"] == status


@pytest.mark.parametrize(
    ("expected", "says"), [(None, "not 200 to 399"), (200, "not 200"), ([200, 204], "not 200 or 204")]
)
def test_a_wrong_status_is_told_with_what_was_expected(http_sink, expected, says):
    http_sink.answer_with(503)

    [reading] = check(http_sink.url, expect_status=expected).readings

    assert (reading.target, reading.held) == (http_sink.url, CheckStatus.CRITICAL)
    assert reading.message == f"{http_sink.url} answered 503, {says}"


def test_a_url_is_asked_with_its_method_path_query_and_headers(http_sink):
    result = check(
        {"url": f"{http_sink.url}/a%20b/ü?q=1#part", "headers": {"X-Team": "ops", "Host": "shop.example.org"}}
    )

    [request] = http_sink.requests
    assert (request.method, request.path) == ("GET", "/a%20b/%C3%BC?q=1")
    assert request.headers.get_all("Host") == ["shop.example.org"]
    assert request.headers["X-Team"] == "ops"
    assert (request.headers["User-Agent"], request.headers["Accept-Encoding"]) == ("watchkeeper", "identity")
    assert result.readings[0].target == f"{http_sink.url}/a%20b/ü?q=1"


def test_head_asks_for_no_body():
    asked: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        asked.append(b"asked")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    with raw_server(speak) as url:
        result = check({"url": url, "method": "HEAD"})

    assert (result.status, len(asked)) == (CheckStatus.OK, 1)


def test_every_check_opens_a_connection_of_its_own(http_sink):
    check(http_sink.url)
    check(http_sink.url)

    assert http_sink.connection_count == 2


# Latency


@pytest.mark.parametrize(
    ("warning", "critical", "status"),
    [(5000, 9000, "ok"), (90, 9000, "warning"), (50, 90, "critical"), (90, 90, "critical")],
)
def test_a_slow_answer_is_worse(warning, critical, status):
    with HttpSink(default=Answer(delay_seconds=0.1)) as sink:
        result = check(sink.url, warning_threshold=warning, critical_threshold=critical)

    [reading] = result.readings
    assert result.status == status
    assert 100 <= reading.value < 1000
    assert reading.value == result.metrics["worst_latency_ms"] == result.metrics["urls"][0]["latency_ms"]


def test_a_slow_answer_is_told_with_the_threshold(http_sink):
    http_sink.answer_with(Answer(delay_seconds=0.1))

    result = check(http_sink.url, warning_threshold=50)

    assert result.message.startswith(f"{http_sink.url} answered 200 in 1")
    assert result.message.endswith(" ms (warning at 50 ms)")


def test_urls_are_asked_side_by_side():
    with HttpSink(default=Answer(delay_seconds=0.25)) as sink:
        started = time.monotonic()
        result = check(*(f"{sink.url}/{number}" for number in range(6)))

    assert time.monotonic() - started < 1
    assert [each["url"] for each in result.metrics["urls"]] == [f"{sink.url}/{number}" for number in range(6)]


# Text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<h1>All is well</h1>", "ok"),
        (b"<h1>All is WELL</h1>", "critical"),
        (b"", "critical"),
        (b"x" * 900_000 + b"is well", "ok"),
        (b"x" * MAX_BODY_BYTES + b"is well", "critical"),
    ],
)
def test_a_text_that_is_missing_is_critical(http_sink, body, status):
    http_sink.answer_with(Answer(body=body))

    assert check(http_sink.url, expect_text="is well").status == status


def test_a_missing_text_is_named(http_sink):
    assert check(http_sink.url, expect_text="grün" * 100).message == (
        f"{http_sink.url} answered 200 without the text {('grün' * 20)!r}"
    )


def test_a_text_is_found_over_the_borders_of_chunks():
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for letter in "grün".encode():
            connection.sendall(b"1\r\n" + bytes([letter]) + b"\r\n")
            time.sleep(0.01)
        connection.sendall(b"0\r\n\r\n")

    with raw_server(speak) as url:
        assert check(url, expect_text="grün").status is CheckStatus.OK


def test_a_huge_body_is_read_to_its_first_mebibyte():
    sent = 0

    def speak(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            sent += connection.send(b"x" * 65536)

    with raw_server(speak) as url:
        result = check(url)

    assert result.status is CheckStatus.OK
    assert result.metrics["urls"][0]["body_bytes"] == MAX_BODY_BYTES
    assert sent < 32 * MAX_BODY_BYTES


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_to_the_answer(http_sink, status):
    http_sink.answer_with(Answer(status=status, headers={"Location": "/login?next=1"}), 503)

    result = check(f"{http_sink.url}/start")

    assert [request.path for request in http_sink.requests] == ["/start", "/login?next=1"]
    assert result.metrics["urls"][0]["status_code"] == 503
    assert result.readings[0].target == f"{http_sink.url}/start"


def test_a_redirect_that_is_expected_is_not_followed(http_sink):
    http_sink.answer_with(Answer(status=301, headers={"Location": "/elsewhere"}))

    assert check(http_sink.url, expect_status=[200, 301]).status is CheckStatus.OK
    assert len(http_sink.requests) == 1


def test_latency_counts_the_redirects_too(http_sink):
    http_sink.answer_with(
        Answer(status=302, headers={"Location": "/1"}, delay_seconds=0.1), Answer(delay_seconds=0.1)
    )

    assert check(http_sink.url).readings[0].value >= 200


def test_five_redirects_are_followed_and_a_sixth_is_critical(http_sink):
    http_sink.answer_with(*[Answer(status=302, headers={"Location": "/on"})] * 5)
    assert check(http_sink.url).status is CheckStatus.OK

    http_sink.answer_with(*[Answer(status=302, headers={"Location": "/on"})] * 6)
    result = check(http_sink.url)

    assert result.status is CheckStatus.CRITICAL
    assert result.message == f"{http_sink.url} does not answer: redirects more than 5 times"


@pytest.mark.parametrize("location", ["ftp://example.org/", "http://[::1", "http://a b/", "file:///etc/passwd"])
def test_a_redirect_to_what_is_no_url_is_critical(http_sink, location):
    http_sink.answer_with(Answer(status=302, headers={"Location": location}))

    result = check(http_sink.url)

    assert result.status is CheckStatus.CRITICAL
    assert result.message.endswith("redirects to what is no usable URL")


def test_headers_and_credentials_follow_a_redirect_to_the_same_host_and_to_no_other():
    with HttpSink() as other, HttpSink() as sink:
        sink.answer_with(
            Answer(status=302, headers={"Location": f"{sink.url}/again"}),
            Answer(status=302, headers={"Location": f"http://localhost:{other.port}/away"}),
        )
        url = sink.url.replace("://", "://ann:hunter2@")

        check({"url": url, "headers": {"X-Api-Key": "hunter2", "Host": "shop"}})

        first, second = sink.requests
        [away] = other.requests
    for request in (first, second):
        assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"ann:hunter2").decode()
        assert request.headers["X-Api-Key"] == "hunter2"
    assert away.headers["Host"] == f"localhost:{other.port}"
    assert "hunter2" not in str(away.headers)
    assert away.headers["Authorization"] is None


def test_headers_do_not_follow_a_redirect_from_https_to_http():
    with HttpSink() as plain, HttpSink(is_tls=True) as secure:
        secure.answer_with(Answer(status=302, headers={"Location": f"{plain.url}/plain"}))

        check({"url": secure.url, "headers": {"X-Api-Key": "hunter2"}, "verify_tls": False})

        assert secure.requests[0].headers["X-Api-Key"] == "hunter2"
        assert plain.requests[0].headers["X-Api-Key"] is None


# No answer


def test_a_refused_connection_is_critical():
    url = f"http://127.0.0.1:{closed_port()}/health"

    [reading] = check(url).readings

    assert (reading.status, reading.held, reading.value) == (CheckStatus.CRITICAL, CheckStatus.CRITICAL, None)
    assert reading.message == f"{url} does not answer: Connection refused"


def test_a_name_that_does_not_exist_is_critical():
    result = check("http://nowhere.invalid/")

    assert result.status is CheckStatus.CRITICAL
    assert result.message.startswith("http://nowhere.invalid/ does not answer: ")


def test_a_listener_that_never_answers_is_critical_in_time_and_the_others_count(http_sink):
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"http://127.0.0.1:{hole.getsockname()[1]}/"

        result = check(url, http_sink.url, timeout=0.5)

    assert 0.45 <= time.monotonic() - started < 1
    assert [reading.status for reading in result.readings] == ["critical", "ok"]
    assert result.message == f"{url} did not answer within 0.45 s"


def test_a_look_up_that_hangs_is_critical_in_time(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    started = time.monotonic()

    result = check("http://slow.example.org/", timeout=0.2)

    assert time.monotonic() - started < 1.5
    over.set()
    assert result.status is CheckStatus.CRITICAL
    assert result.message == "http://slow.example.org/ did not answer within 0.18 s"


@pytest.mark.parametrize(
    ("prefix", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: x\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["status line", "headers", "body", "chunks"],
)
def test_an_answer_that_drips_is_critical_in_time_and_leaves_no_thread_behind(prefix, drop):
    started = time.monotonic()
    with raw_server(drip(prefix, drop)) as url:
        result = check(url, timeout=0.4)

        assert time.monotonic() - started < 1.5
        assert not is_left_behind(url)
    assert result.status is CheckStatus.CRITICAL


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 \xff\xff\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer_is_critical(said):
    with raw_server(lambda connection: connection.sendall(said)) as url:
        result = check(url)

    assert result.status is CheckStatus.CRITICAL
    assert result.message == f"{url} does not answer: breaks off, or does not speak HTTP"


def test_a_reset_connection_is_critical():
    def speak(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with raw_server(speak) as url:
        assert check(url).message == f"{url} does not answer: Connection reset by peer"


# TLS


def test_a_certificate_that_nobody_signed_is_critical():
    with HttpSink(is_tls=True) as sink:
        result = check_verified(sink.url)

    assert result.status is CheckStatus.CRITICAL
    assert result.message == f"{sink.url} does not answer: TLS certificate refused: self-signed certificate"


def test_a_certificate_that_is_trusted_is_fine(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files()[0]))

    with HttpSink(is_tls=True) as sink:
        assert check_verified(sink.url).status is CheckStatus.OK


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to name the file")
def test_an_authority_that_was_added_to_this_host_is_trusted_too(monkeypatch, tmp_path):
    """As update-ca-certificates leaves it: a folder of files named by the hash of their subject."""
    authority = certificate_files()[0]
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(authority)]
    name = subprocess.check_output(command, text=True).strip()
    (tmp_path / f"{name}.0").write_bytes(authority.read_bytes())
    (tmp_path / "public.pem").write_bytes(issue(days_left=9, common_name="Public authority").pem)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))

    with HttpSink(is_tls=True) as sink:
        assert check_verified(sink.url).status is CheckStatus.OK


def test_verification_can_be_switched_off_for_one_url():
    with HttpSink(is_tls=True) as sink:
        result = check_verified({"url": sink.url, "verify_tls": False}, f"{sink.url}/verified")

    assert [reading.status for reading in result.readings] == ["ok", "critical"]


def test_tls_with_a_server_that_has_none_is_critical(http_sink):
    result = check_verified(http_sink.url.replace("http:", "https:"))

    assert result.status is CheckStatus.CRITICAL
    assert "does not answer: TLS failed: " in result.message
    assert "_ssl.c" not in result.message


# Secrets


def test_header_values_may_refer_to_secrets(http_sink, monkeypatch, tmp_path):
    monkeypatch.setenv("HEALTH_TOKEN", "hunter2")
    (tmp_path / "token").write_text("hunter3\n")

    result = check(
        {
            "url": http_sink.url,
            "headers": {"Authorization": {"env": "HEALTH_TOKEN"}, "X-Token": {"file": str(tmp_path / "token")}},
        }
    )

    [request] = http_sink.requests
    assert (request.headers["Authorization"], request.headers["X-Token"]) == ("hunter2", "hunter3")
    assert "hunter" not in result.model_dump_json()


def test_a_header_called_env_is_a_header(http_sink):
    check({"url": http_sink.url, "headers": {"env": "production"}})

    assert http_sink.requests[0].headers["env"] == "production"


def test_a_secret_that_is_missing_is_unknown_and_the_others_count(http_sink):
    lacking = {"url": f"{http_sink.url}/1", "headers": {"X-Token": {"env": "NO_SUCH_VARIABLE"}}}

    result = check(lacking, http_sink.url)

    assert [reading.status for reading in result.readings] == ["unknown", "ok"]
    assert result.error == (
        f"{http_sink.url}/1 cannot be asked: headers.X-Token: environment variable 'NO_SUCH_VARIABLE' is not set"
    )


def test_a_secret_that_no_header_may_hold_is_unknown_and_not_told(http_sink, monkeypatch):
    monkeypatch.setenv("HEALTH_TOKEN", "hunter2\r\nX-Evil: 1")

    result = check({"url": http_sink.url, "headers": {"X-Token": {"env": "HEALTH_TOKEN"}}})

    assert result.status is CheckStatus.UNKNOWN
    assert "headers.X-Token holds characters that no header may hold" in result.message
    assert "hunter2" not in result.model_dump_json()
    assert not http_sink.requests


@pytest.mark.parametrize("is_up", [True, False])
def test_credentials_in_a_url_are_used_and_not_shown(caplog, http_sink, is_up):
    caplog.set_level(logging.DEBUG)
    port = http_sink.port if is_up else closed_port()
    url = f"http://ann:hunter2%21@127.0.0.1:{port}/health?api_key=hunter2&zone=eu"

    result = check(url)

    assert result.status == ("ok" if is_up else "critical")
    assert result.readings[0].target == f"http://***@127.0.0.1:{port}/health?api_key=***&zone=eu"
    assert "hunter2" not in result.model_dump_json()
    assert "hunter2" not in caplog.text
    if is_up:
        [request] = http_sink.requests
        assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"ann:hunter2!").decode()
        assert request.path == "/health?api_key=hunter2&zone=eu"


def test_a_config_does_not_show_its_secrets():
    config = Http.Config.model_validate(
        {"urls": [{"url": "http://ann:hunter2@h/", "headers": {"X": "hunter2"}}], "headers": {"Y": "hunter2"}}
    )

    assert "hunter2" not in repr(config)


def test_metrics_and_targets_are_stored_as_they_are_for_any_url(http_sink):
    result = check(f"{http_sink.url}/api/token?api_key=1")

    assert result.metrics.keys() == {"urls", "worst_latency_ms"}
    assert redact(result.metrics) == result.metrics
    assert redact_text(result.readings[0].target) == result.readings[0].target


def test_a_proxy_of_the_environment_is_not_used(http_sink, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")

    assert check(http_sink.url).status is CheckStatus.OK


# Config


def test_without_urls_it_does_not_apply():
    with pytest.raises(NotApplicableError, match=r"^no URL is named \(config key urls\)$"):
        check()


def test_what_a_url_says_itself_comes_before_the_defaults(http_sink):
    http_sink.answer_with(*[Answer(status=404, body=b"gone")] * 2)

    result = check(
        {"url": f"{http_sink.url}/1", "expect_status": 404, "headers": {"X-Zone": "eu"}},
        f"{http_sink.url}/2",
        expect_status=200,
        expect_text="gone",
        headers={"X-Team": "ops"},
    )

    assert [reading.status for reading in result.readings] == ["ok", "critical"]
    by_path = {request.path: request.headers for request in http_sink.requests}
    assert (by_path["/1"]["X-Zone"], by_path["/1"]["X-Team"]) == ("eu", None)
    assert by_path["/2"]["X-Team"] == "ops"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://example.org:0/",
        "http://example.org:65536/",
        "http://example.org:http/",
        "http://[::1/",
        "http://exa mple.org/",
        "http://example.org/\n",
        "http://example.org/\x00",
        "http://example.org/\ud800",
        "http://example.org/" + "a" * 500,
        8080,
        {"url": "http://example.org/", "expect_status": 99},
        {"url": "http://example.org/", "expect_status": []},
        {"url": "http://example.org/", "expect_status": "ok"},
        {"url": "http://example.org/", "expect_text": ""},
        {"url": "http://example.org/", "method": "POST"},
        {"url": "http://example.org/", "headers": {"a b": "c"}},
        {"url": "http://example.org/", "headers": {"a": "c\nd"}},
        {"url": "http://example.org/", "headers": {"a": {"vault": "c"}}},
        {"url": "http://example.org/", "timeout": 1},
        {"expect_status": 200},
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_by_name(url):
    with pytest.raises(ValidationError, match=r"urls\.0"):
        Http.Config.model_validate({"urls": [url]})


def test_long_secrets_do_not_make_a_url_too_long():
    Http.Config.model_validate({"urls": ["https://example.org/?token=" + "a" * 1000]})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"urls": ["http://a/", "http://a/"]}, "urls: two are the same, or differ in secrets alone"),
        (
            {"urls": ["http://a/?token=1", "http://a/?token=2"]},
            "urls: two are the same, or differ in secrets alone",
        ),
        ({"urls": [{"url": "http://a/", "method": "HEAD"}], "expect_text": "b"}, "expect_text: an answer to HEAD"),
        ({"warning_threshold": 6000}, "warning_threshold 6000 must not be above critical_threshold 5000"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused_by_name(config, says):
    with pytest.raises(ValidationError, match=says):
        Http.Config.model_validate(config)
