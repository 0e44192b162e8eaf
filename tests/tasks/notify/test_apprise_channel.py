import json
import logging
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import apprise
import pytest
import requests
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
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
TEAMS = "workflows://host:443/643e0f9c5fa44a0b95a7e1a5f3a5b4ca/6LA3WRvqi6AlDaNGUYJrRbxSpvXgVDGxYFxOWUmNM2s/"
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


@pytest.mark.parametrize("query", ["", "?format=text", "?format=markdown"])
def test_markup_of_an_alert_is_escaped_where_the_service_reads_html(query):
    _, message = as_sent(TELEGRAM + query, "<b>title", "<a href='x'>text</a>")

    assert "<b>title" not in message["body"]
    assert "&lt;a" in message["body"]


@pytest.mark.parametrize(
    "mention", ["@everyone", "x@here", "<!channel>", "<@123>", "<@&456>", "@ann", "@ALL", "@**all**"]
)
def test_a_text_calls_nobody(mention):
    title, text = fitted(load(DISCORD), mention, f"say {mention} or {mention}.")

    assert mention not in title + text
    assert (title + text).replace("\u200b", "") == f"{mention}say {mention} or {mention}."


@pytest.fixture
def requested(monkeypatch):
    """Texts of the requests that services make, as JSON without its escapes; each is answered with success."""
    texts = []

    def answer(_adapter, request, **_):
        texts.append(json.dumps(json.loads(request.body), ensure_ascii=False))
        response = requests.Response()
        response.status_code, response._content, response.url = 200, b'{"ok": true}', request.url
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", answer)
    return texts


def carry(url, text):
    service = load(url)
    title, text = fitted(service, "t", text)
    sender = apprise.Apprise()
    sender.add(service)
    sender.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)


CHATS = {
    "slack": SLACK,
    "slack blocks": f"{SLACK}?blocks=yes",
    "slack markdown": f"{SLACK}?format=markdown",
    "discord": DISCORD,
    "discord markdown": f"{DISCORD}?format=markdown",
    "discord html": f"{DISCORD}?format=html",
    "mattermost": "mmost://chat.example/3ccdd113474722377935511fc85d3dd4",
    "rocket.chat": f"rocket://{'a' * 24}/{'b' * 24}@chat.example/#ops?mode=webhook",
    "teams": TEAMS,
    "google chat": "gchat://workspace/key/token",
    "telegram": TELEGRAM,
    "telegram markdown": f"{TELEGRAM}?format=markdown",
    "telegram text": f"{TELEGRAM}?format=text",
    "ntfy markdown": "ntfy://push.example/ops?format=markdown",
}
LIVE = re.compile(r"(?i)<(?=[a-z/!?@#&])(?!/?b>)|@[\w*]|👉")


CALLS = "<!here> !subteam^SAZ94GDB8> x@U024BE7LH> &lt;@U024BE7LH&gt; <users/all> @**all** @ann"
HIDDEN = "<http://evil.example|click> <mailto:eve@evil.example|click> <a href='http://evil.example'>click</a>"


@pytest.mark.parametrize("url", CHATS.values(), ids=CHATS)
@pytest.mark.parametrize("text", [CALLS, HIDDEN], ids=["calls", "hidden"])
def test_no_request_calls_anybody_or_hides_where_a_link_leads(requested, url, text):
    carry(url, text)

    body = requested[-1].replace("x@U024BE7LH", "").replace("eve@evil.example", "")
    assert not LIVE.search(body)


@pytest.mark.parametrize("name", ["discord", "discord html", "mattermost", "rocket.chat", "teams", "google chat"])
def test_no_request_has_a_link_with_other_words(requested, name):
    text = "[a](http://evil.example) ![](http://evil.example/i.png) [click][b] [b]: http://evil.example"

    carry(CHATS[name], text)

    assert "](" not in requested[-1]
    assert "]:" not in requested[-1]
    assert text in requested[-1].replace("\u200b", "")


@pytest.mark.parametrize("service", ["mmost", "json"])
def test_what_arrives_can_still_be_read(http_sink, service):
    text = "**b** [click](http://evil.example) <http://evil.example|Runbook> 3 < 4 and app[7]: x"

    channel(f"{service}://127.0.0.1:{http_sink.port}/{'3' * 24}").deliver(make_notification(message=text))

    shown = json.loads(http_sink.requests[0].body)
    arrived = shown.get("message") or shown["text"]
    assert "](" not in arrived
    assert "<http" not in arrived
    assert "3 < 4" in arrived
    assert arrived.replace("\u200b", "").endswith(text)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (f"{TEAMS}?template=", "template"),
        (f"{DISCORD}?template=", "template"),
        (f"{SLACK}?template=", "template"),
        (f"{TELEGRAM}?template=", "template"),
        ("fcm://project@device/?keyfile=", "keyfile"),
        ("vapid://ann@example.org/ann@example.org?keyfile=", "keyfile"),
        ("vapid://ann@example.org/ann@example.org?subfile=", "subfile"),
        ("mailtos://ann:hunter2@example.org?pgp=encrypt&pgpkey=", "pgp_key"),
        ("mailtos://ann:hunter2@example.org?pgp=encrypt&pgppub=", "pgp_key"),
        ("mailtos://ann:hunter2@example.org?pgp=sign&pgpprv=", "pgp_privkey"),
    ],
)
def test_no_file_of_this_host_gets_into_a_message_nor_can_anybody_learn_whether_there_is_one(tmp_path, url, key):
    (tmp_path / "page.json").write_text("{}")
    said = []

    for name in ("page.json", "missing.json"):
        with pytest.raises(PermanentError) as caught:
            channel(f"{url}{tmp_path}/{name}")
        said.append(str(caught.value))

    assert said == [f"channel 'ops-chat': url: {key}: names a file or a page to read, which is refused"] * 2


def test_no_page_is_fetched_for_a_message(http_sink):
    with pytest.raises(PermanentError, match="url: template: names a file or a page"):
        channel(f"{TEAMS}?template={http_sink.url}/page.json")

    assert http_sink.requests == []


def test_the_name_of_a_services_own_template_is_none_of_a_file():
    assert channel("onesignal://template:app@apikey/player?template=8c1f")


def test_few_processes_run_at_once_and_others_wait_their_turn(monkeypatch):
    running, most, lock = 0, 0, threading.Lock()

    def run(arguments, **_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return subprocess.CompletedProcess(arguments, 0, b'{"is_sent": true, "code": null, "refused": ""}')

    monkeypatch.setattr(apprise_channel.subprocess, "run", run)
    mailer = channel(DISCORD)

    with ThreadPoolExecutor(12) as pool:
        receipts = list(pool.map(mailer.deliver, [make_notification()] * 12))

    assert (len(receipts), most) == (12, apprise_channel.MAX_CHILDREN)


def test_a_message_whose_turn_does_not_come_in_time_is_put_off(monkeypatch):
    monkeypatch.setattr(apprise_channel, "_turns", threading.BoundedSemaphore(1))
    apprise_channel._turns.acquire()

    with pytest.raises(TransientError, match=r"^apprise Discord was not begun within 0\.1 s: "):
        channel(DISCORD, timeout=0.1).deliver(make_notification())

    apprise_channel._turns.release()
    monkeypatch.setattr(apprise_channel.subprocess, "run", _cannot_start)
    for _ in range(2):  # a turn that failed is over, too
        with pytest.raises(TransientError, match="no process could be started"):
            channel(DISCORD, timeout=0.1).deliver(make_notification())


def _cannot_start(*_, **__):
    raise OSError(11, "Resource temporarily unavailable")


def test_an_address_of_somebody_stays_as_it_is():
    assert fitted(load(DISCORD), "t", "mail ann@example.org")[1] == "mail ann@example.org"


def test_apprise_is_not_imported_until_it_is_needed():
    script = "import sys, tasks.notify.channels; sys.exit('apprise' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
