import json
import logging
import subprocess
import sys
import time

import apprise
import pytest
from raw_server import raw_server
from sinks import Answer, HttpSink

from storage.records import ChannelConfig
from tasks.errors import PermanentError, TransientError
from tasks.notify.apprise_service import fitted, load
from tasks.notify.channels import apprise as apprise_channel
from tasks.notify.channels import build
from tasks.notify.message import Notification

DISCORD = f"discord://{'1' * 18}/{'b' * 64}"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
SMS = f"twilio://AC{'a' * 32}:{'b' * 32}@15551233456/15551233457"


def make_notification(**values):
    defaults = {
        "reason": "firing",
        "title": "[FIRING] critical: DiskFull on db-03",
        "message": "Firing since 02:13.\nOnly 3 % left.",
        "severity": "critical",
        "channel": "ops",
        "idempotency_key": "9f1c",
    }
    return Notification(**(defaults | values))


def channel(url, **config):
    return build(ChannelConfig(id=1, name="ops-chat", driver="apprise", config={"url": url} | config))


def url_of(sink, rest="/"):
    return f"json://127.0.0.1:{sink.port}{rest}"


def test_title_and_text_arrive_at_the_service(http_sink):
    receipt = channel(url_of(http_sink, "/hook")).deliver(make_notification())

    [request] = http_sink.requests
    body = json.loads(request.body)
    assert (request.method, request.path) == ("POST", "/hook")
    assert (body["title"], body["message"]) == (
        "[FIRING] critical: DiskFull on db-03",
        "Firing since 02:13.\nOnly 3 % left.",
    )
    assert (body["type"], body["attachments"]) == ("failure", [])
    assert receipt.detail == "apprise JSON took it"


@pytest.mark.parametrize(
    ("severity", "kind"),
    [("critical", "failure"), ("warning", "warning"), ("info", "info"), ("success", "success")],
)
def test_the_severity_is_told_in_the_words_of_apprise(severity, kind):
    order = channel(TELEGRAM, template="{{ title }}!").build_order(make_notification(severity=severity))

    assert order["type"] == kind
    assert order["text"] == "[FIRING] critical: DiskFull on db-03!"


@pytest.mark.parametrize("status", [302, 400, 404, 410, 500])
def test_every_failure_may_pass_since_services_do_not_tell_them_apart(status):
    elsewhere = {"Location": "/elsewhere"} if status == 302 else {}
    with HttpSink([Answer(status, headers=elsewhere)]) as sink:
        # Whatever the URL asks for: one try, no redirect, and a failure is one.
        mailer = channel(url_of(sink, "/?retry=3&wait=0&optional=yes&redirect=yes"))

        with pytest.raises(TransientError) as caught:
            mailer.deliver(make_notification())

        assert len(sink.requests) == 1
    assert str(caught.value) == f"apprise JSON did not take the message (status {status})"


def test_a_service_that_is_down_is_transient():
    with HttpSink() as sink:
        url = url_of(sink)

    with pytest.raises(TransientError, match=r"^apprise JSON did not take the message$"):
        channel(url).deliver(make_notification())


def _drip(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X")
        time.sleep(0.02)


def test_a_service_that_drips_its_answer_is_given_up_in_time():
    with raw_server(_drip) as url:
        began = time.monotonic()

        with pytest.raises(TransientError) as caught:
            channel(url.replace("http://", "json://"), timeout=0.5).deliver(make_notification())

    assert str(caught.value) == "apprise JSON was not done within 0.5 s; it may have taken the message"
    assert time.monotonic() - began < 15


def test_no_part_of_the_url_is_in_any_error_log_or_output(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with HttpSink([500]) as sink:
        mailer = channel(f"json://ann:hunter2@127.0.0.1:{sink.port}/hunter2?-key=hunter2&+X-Key=hunter2")

        with pytest.raises(TransientError) as caught:
            mailer.deliver(make_notification())

        assert "hunter2" in sink.requests[0].path
    shown = "".join([str(caught.value), repr(mailer.config), caplog.text, *capfd.readouterr()])
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"url": "slakc://hunter2"}, "url: no URL that apprise can use for slakc://"),
        ({"url": "tgram://hunter2"}, "url: no URL that apprise can use for tgram://"),
        ({"url": "hunter2"}, "url: no URL that apprise can use"),
        ({"url": ""}, "url: no URL that apprise can use"),
        ({"url": "file:///etc/passwd"}, "url: no URL that apprise can use for file://"),
        ({"url": "json://ann:hunter2@169.254.169.254/"}, "url: is a link-local or metadata address"),
        ({"url": "json://0xa9fea9fe/hunter2"}, "url: is a link-local or metadata address"),
        ({"url": "syslog://hunter2"}, "url: syslog:// tells this host only"),
        ({"url": "rsyslog://hunter2"}, "url: rsyslog:// tells this host only"),
        ({"url": "tgram://123456789:hunter2_hijklmnop/1/2/"}, "url: names 2 destinations"),
        ({"url": ["json://hunter2"]}, "url: Input should be a valid string"),
        ({"urls": ["json://hunter2"]}, "urls: Extra inputs are not permitted"),
        ({"url": DISCORD, "timeout": 0}, "timeout: Input should be greater than 0"),
    ],
)
def test_a_wrong_config_is_refused_by_its_field_and_its_schema_only(config, said, caplog):
    caplog.set_level(logging.DEBUG)

    with pytest.raises(PermanentError) as caught:
        build(ChannelConfig(id=1, name="ops-chat", driver="apprise", config=config))

    assert str(caught.value).startswith("channel 'ops-chat': ")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value) + caplog.text


def test_a_metadata_service_is_refused_by_its_name():
    with pytest.raises(
        PermanentError, match=r"^metadata\.google\.internal leads to a link-local or metadata address"
    ):
        channel("json://metadata.google.internal/").deliver(make_notification())


def test_a_token_that_looks_like_an_address_is_none():
    # 169.254.169.254 as one number, which is a bot's id like any other.
    assert channel("tgram://2852039166:abcdefg_hijklmnop/12315544/")


def test_the_address_that_is_connected_to_is_checked_whatever_the_look_up_said(http_sink, monkeypatch):
    monkeypatch.setenv("WATCHKEEPER_BLOCK_PRIVATE_ADDRESSES", "true")
    # A name server that gives another address the second time.
    monkeypatch.setattr(apprise_channel, "refuse_host", lambda _host, _reach: None)

    with pytest.raises(PermanentError, match=r"^apprise JSON: leads to a private address"):
        channel(url_of(http_sink)).deliver(make_notification())

    assert http_sink.requests == []


def as_sent(url, title, text):
    """What the service's own code is given to send."""
    service, sent = load(url), []
    service.send = lambda **message: sent.append(message) or True
    title, text = fitted(service, title, text)
    sender = apprise.Apprise()
    sender.add(service)
    assert sender.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)
    [message] = sent
    return service, message


@pytest.mark.parametrize(
    "url", [DISCORD, TELEGRAM, SMS, "matrix://u:p@h/#r"], ids=["discord", "tgram", "sms", "matrix"]
)
@pytest.mark.parametrize("text", ["x" * 100_000, "<a & b>\n" * 10_000], ids=["plain", "markup"])
def test_a_long_text_is_cut_visibly_before_the_service_cuts_it(url, text):
    service, message = as_sent(url, "[FIRING] critical: " + "x" * 180, text)

    body = message["body"].replace("&nbsp;", " ")
    assert len(message["body"]) <= service.body_maxlen
    assert body.endswith(" characters]")
    assert len(message["body"]) > service.body_maxlen * 0.75


def test_markup_of_an_alert_is_escaped_where_the_service_reads_html():
    _, message = as_sent(TELEGRAM, "<b>title", "<a href='x'>text</a>")

    assert "<b>title" not in message["body"]
    assert "<a " not in message["body"]


@pytest.mark.parametrize("mention", ["@everyone", "x@here", "<!channel>", "<@123>", "<@&456>", "@ann", "@ALL"])
def test_a_text_calls_nobody(mention):
    title, text = fitted(load(DISCORD), mention, f"say {mention} or {mention}.")

    assert mention not in title + text
    assert (title + text).replace("\u200b", "") == f"{mention}say {mention} or {mention}."


def test_an_address_of_somebody_stays_as_it_is():
    assert fitted(load(DISCORD), "t", "mail ann@example.org")[1] == "mail ann@example.org"


def test_apprise_is_not_imported_until_it_is_needed():
    script = "import sys, tasks.notify.channels; sys.exit('apprise' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
