import json
import logging
import re
import smtplib
import socket
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sinks import SmtpSink, certificate_files

from storage.records import ChannelConfig
from tasks.errors import PermanentError, TransientError
from tasks.notify.channels import build, email, email_message
from tasks.notify.channels.colors import COLORS
from tasks.notify.channels.smtp_session import SmtpSession
from tasks.notify.message import Notification

# aiosmtpd's view of a login without TLS, which a sink on loopback may well ask for.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

CREDENTIALS = ("ann", "hunter2")


def make_notification(**values):
    defaults = {
        "reason": "firing",
        "title": "[FIRING] critical: DiskFull on db-03",
        "message": "Firing since 02:13.\nOnly 3 % left.",
        "severity": "critical",
        "channel": "ops",
        "context": {
            "incident": {"id": 7, "episode": 2},
            "links": {"Runbook": "https://wiki.example/disk?a=1&b=2", "Bad": "javascript:alert(1)"},
        },
        "thread": "watchkeeper-7-2-20261121T021300",
        "idempotency_key": "9f1c",
    }
    return Notification(**(defaults | values))


def channel(port=25, **config):
    defaults = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "use_tls": False,
        "from_address": "Watchkeeper <watch@example.org>",
        "to_addresses": ["ops@example.org"],
    }
    return build(ChannelConfig(id=1, name="ops-mail", driver="email", config=defaults | config))


def html_of(notification):
    mail = email_message.build(channel().build_mail(notification))
    return mail.get_body(("html",)).get_content()


def decoded(head, name):
    """A header as a mail program shows it: unfolded, then decoded."""
    raw = re.search(rf"(?m)^{name}: (.*(?:\r\n[ \t].*)*)", head)[1].rstrip("\r").replace("\r\n", "")
    return str(make_header(decode_header(raw)))


@contextmanager
def speaking(*steps):
    """An SMTP server that waits for a line of the client's before each of its steps but the first.

    Each is bytes, sent as they are, or a function of the connection and what comes over it. Gives its port, and
    the end of the client's connection as an event.
    """
    listener, is_over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve():
        with suppress(OSError), listener.accept()[0] as connection:
            lines = connection.makefile("rb")
            for number, step in enumerate(steps):
                if number:
                    lines.readline()
                if callable(step):
                    step(connection, lines)
                else:
                    connection.sendall(step)
            lines.read()
        is_over.set()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield listener.getsockname()[1], is_over


def drip(connection, _lines):
    """A reply that never ends, a byte at a time."""
    while True:
        connection.sendall(b"2")
        time.sleep(0.02)


def take_message(_connection, lines):
    while lines.readline() != b".\r\n":
        pass


@pytest.fixture
def trusted(monkeypatch):
    """Trust the sinks' certificate, the way an operator adds an authority of their own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files()[0]))


def test_a_mail_arrives_as_text_html_and_json(smtp_sink):
    recipients = ["ops@example.org", "Ann <ann@example.org>"]

    receipt = channel(smtp_sink.port, to_addresses=recipients).deliver(make_notification())

    [mail] = smtp_sink.mails
    message = mail.message
    assert (mail.sender, mail.recipients) == ("watch@example.org", ["ops@example.org", "ann@example.org"])
    assert message["Subject"] == "[FIRING] critical: DiskFull on db-03"
    assert message["From"] == "Watchkeeper <watch@example.org>"
    assert message["To"] == "ops@example.org, Ann <ann@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_body(("plain",)).get_content().splitlines() == ["Firing since 02:13.", "Only 3 % left."]
    assert "Only 3 % left." in message.get_body(("html",)).get_content()
    [attachment] = message.iter_attachments()
    assert (attachment.get_content_type(), attachment.get_filename()) == ("application/json", "incident.json")
    assert json.loads(attachment.get_content())["incident"] == {"id": 7, "episode": 2}
    assert (receipt.provider_id, receipt.detail) == ("<9f1c@example.org>", "accepted for 2")


def test_the_message_id_is_the_same_for_every_try_and_an_episode_is_one_thread(smtp_sink):
    mailer = channel(smtp_sink.port)

    for notification in (
        make_notification(),
        make_notification(),
        make_notification(idempotency_key="other", reason="resolved", severity="success"),
        make_notification(idempotency_key="next", thread="watchkeeper-7-3-20261122T100000"),
    ):
        mailer.deliver(notification)

    messages = [mail.message for mail in smtp_sink.mails]
    assert [message["Message-ID"] for message in messages] == [
        "<9f1c@example.org>",
        "<9f1c@example.org>",
        "<other@example.org>",
        "<next@example.org>",
    ]
    threads = [message["References"] for message in messages]
    first, second = (
        "<watchkeeper-7-2-20261121T021300@example.org>",
        "<watchkeeper-7-3-20261122T100000@example.org>",
    )
    assert threads == [first, first, first, second]
    assert [message["In-Reply-To"] for message in messages] == threads


def test_a_message_about_no_incident_belongs_to_no_thread(smtp_sink):
    channel(smtp_sink.port).deliver(make_notification(reason="message", thread=""))

    message = smtp_sink.mails[0].message
    assert (message["References"], message["In-Reply-To"]) == (None, None)


def test_long_ids_are_written_out_since_no_mail_program_decodes_them(smtp_sink):
    sender = f"watch@{'a' * 60}.{'b' * 60}.example"

    channel(smtp_sink.port, from_address=sender).deliver(
        make_notification(thread="t" * 200, idempotency_key="k" * 200)
    )

    head = smtp_sink.mails[0].content.partition(b"\r\n\r\n")[0].decode()
    domain = sender.partition("@")[2]
    assert f"References: <{'t' * 200}@{domain}>\r\n" in head
    assert f"Message-ID: <{'k' * 200}@{domain}>\r\n" in head


@pytest.mark.parametrize(
    "context", [{}, {"incident": "seven", "links": ["a"]}, {"incident": {"id": "7>\r\nX-A: b"}}]
)
def test_a_message_with_any_context_can_be_sent(smtp_sink, context):
    channel(smtp_sink.port).deliver(make_notification(context=context))

    assert smtp_sink.mails[0].message["X-A"] is None


@pytest.mark.parametrize("severity", ["critical", "warning", "info", "success"])
def test_resolved_and_each_severity_have_a_colour_of_their_own(severity):
    html = html_of(make_notification(severity=severity))

    assert f"background-color: {COLORS[severity]}" in html
    assert len(set(COLORS.values())) == 4


@pytest.mark.parametrize("color", COLORS.values())
def test_white_letters_can_be_read_on_every_colour(color):
    # https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)

    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def test_the_page_loads_nothing_from_elsewhere():
    html = html_of(make_notification())

    assert not re.search(r"(?i)<(img|link|script|iframe)|url\(|@import", html)


def test_lines_and_indents_stay_in_the_page():
    html = html_of(make_notification(message="- one\n  - two\n\nthree"))

    assert re.search(r"- one\s*<br>\s*\u00a0\u00a0- two\s*</p>\s*<p[^>]*>\s*three\s*</p>", html)


@pytest.mark.parametrize(
    "nasty",
    [
        "a\r\nBcc: eve@example.net",
        "a\nX-Injected: b",
        "a\r\n\r\nbody",
        "a\x85b\u2028c",
        "Gr\u00fc\u00dfe \u202eabc" * 30,
    ],
)
def test_a_title_adds_no_header_and_no_recipient(smtp_sink, nasty):
    channel(smtp_sink.port).deliver(make_notification(title=nasty))

    [mail] = smtp_sink.mails
    assert mail.recipients == ["ops@example.org"]
    assert mail.message["Bcc"] is None
    assert mail.message["X-Injected"] is None
    assert len(mail.message.get_all("Subject")) == 1


def test_markup_in_an_alert_is_shown_and_not_obeyed():
    nasty = '<script>alert(1)</script> {{ 7 * 7 }} "quoted" &amp;'

    html = html_of(make_notification(title=nasty, message=nasty))

    assert "<script>" not in html
    # In the page's title, its heading and its text.
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }} &#34;quoted&#34; &amp;amp;") == 3


@pytest.mark.parametrize(
    "message",
    ["Text of a template.", "Firing.\n\nRunbook: https://wiki.example/disk?a=1&b=2\nBad: javascript:alert(1)"],
    ids=["links left out", "links written"],
)
def test_only_web_addresses_become_links_and_each_once(message):
    html = html_of(make_notification(message=message))

    assert re.findall(r"<a .*?</a>", html) == ['<a href="https://wiki.example/disk?a=1&amp;b=2">Runbook</a>']


def test_templates_of_the_channel_stand_in_for_text_and_page(smtp_sink):
    templates = {"template": "Text: {{ title }}", "html_template": "<b>{{ message }}</b>"}

    channel(smtp_sink.port, **templates).deliver(make_notification(message="a < b"))

    message = smtp_sink.mails[0].message
    assert message.get_body(("plain",)).get_content().strip() == "Text: [FIRING] critical: DiskFull on db-03"
    assert message.get_body(("html",)).get_content().strip() == "<b>a &lt; b</b>"


@settings(max_examples=40)
@example(title="=?utf-8?q?a=0Db?=", name="=?utf-8?q?eve?=")
@given(
    title=st.text(max_size=300), name=st.text(st.characters(codec="utf-8"), max_size=80).filter(str.isprintable)
)
def test_any_title_and_name_arrive_as_they_are_and_add_no_header(title, name):
    notification = make_notification(title=title or "-")
    message = email_message.build(
        email_message.Mail(
            notification=notification,
            sender=email_message.Mailbox(name=name, address="watch@example.org"),
            recipients=[email_message.Mailbox(name=name, address="ops@example.org")] * 2,
            sent_at=datetime.now(UTC),
            text="text",
            html=None,
        )
    )

    head = bytes(message).partition(b"\r\n\r\n")[0].decode("ascii")
    names = re.findall(r"(?m)^([A-Za-z-]+):", head)
    assert names == ["Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "In-Reply-To", "References",
                     "MIME-Version", "Content-Type"]  # fmt: skip
    assert decoded(head, "Subject") == notification.title
    assert message["To"].count("ops@example.org") == 2
    assert max(map(len, head.split("\r\n"))) <= 998


@pytest.mark.parametrize(
    "text",
    ["x" * 100_000, "ü" * 5_000, "Grüße\nan alle\n", "a\x00b\ud800c\rd"],
    ids=["long", "umlauts", "short umlauts", "unclean"],
)
def test_any_text_becomes_short_ascii_lines(text):
    mail = channel().build_mail(make_notification(message=text, context={"label": text}))

    content = bytes(email_message.build(mail))
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert content.isascii()
    assert b"\x00" not in content


def test_a_mail_that_is_too_long_goes_without_its_attachment_and_says_so():
    with SmtpSink(max_bytes=20_000) as sink:
        channel(sink.port).deliver(make_notification(context={"label": "x" * 30_000}))

        message = sink.mails[0].message
    assert list(message.iter_attachments()) == []
    assert "was left out" in message.get_body(("plain",)).get_content()
    assert "was left out" in message.get_body(("html",)).get_content()


def test_a_text_that_is_too_long_is_shortened_and_says_so():
    with SmtpSink(max_bytes=20_000) as sink:
        channel(sink.port).deliver(make_notification(message="Disk full. " * 3_000))

        [mail] = sink.mails
    assert len(mail.content) <= 20_000
    assert mail.message.get_content_type() == "text/plain"
    assert re.search(
        r"Disk full\..*… \[\+[\d,]+ characters\]\s+The incident as JSON was left out",
        mail.message.get_content(),
        re.DOTALL,
    )


def test_a_line_of_a_single_dot_does_not_end_the_mail(smtp_sink):
    channel(smtp_sink.port).deliver(make_notification(message="a\n.\nQUIT\nb"))

    text = smtp_sink.mails[0].message.get_body(("plain",)).get_content()
    assert text.splitlines() == ["a", ".", "QUIT", "b"]


@pytest.mark.usefixtures("trusted")
def test_starttls_and_login():
    with SmtpSink(is_tls=True, credentials=CREDENTIALS) as sink:
        channel(sink.port, use_tls=True, username="ann", password="hunter2").deliver(make_notification())

        [mail] = sink.mails
    assert mail.is_encrypted
    assert mail.username == "ann"


@pytest.mark.usefixtures("trusted")
def test_the_smtps_port_means_tls_from_the_first_byte(monkeypatch):
    with SmtpSink(is_implicit_tls=True) as sink:
        monkeypatch.setattr(email, "IMPLICIT_TLS_PORT", sink.port)  # 465 itself cannot be bound in a test

        channel(sink.port, use_tls=True).deliver(make_notification())

        assert sink.mails[0].is_encrypted


def test_a_certificate_that_nobody_vouches_for_is_permanent():
    with SmtpSink(is_tls=True) as sink:
        with pytest.raises(PermanentError, match="TLS certificate refused"):
            channel(sink.port, use_tls=True).deliver(make_notification())

        assert sink.mails == []


def test_a_server_without_starttls_gets_neither_mail_nor_password():
    with SmtpSink(credentials=CREDENTIALS) as sink:
        with pytest.raises(PermanentError, match="offers no STARTTLS"):
            channel(sink.port, use_tls=True, username="ann", password="hunter2").deliver(make_notification())

        assert sink.mails == []


# RFC 5321, 4.2.1: 4xx may pass, 5xx will not.
@pytest.mark.parametrize(
    ("where", "reply", "error", "said"),
    [
        ("sender_reply", "421 4.3.2 hunter2", TransientError, "refused the sender: 421"),
        ("sender_reply", "451 4.3.0 hunter2", TransientError, "refused the sender: 451"),
        ("sender_reply", "550 5.7.1 hunter2", PermanentError, "refused the sender: 550"),
        ("sender_reply", "552 5.3.4 hunter2", PermanentError, "refused the sender: 552"),
        ("login_reply", "454 4.7.0 hunter2", TransientError, "refused the login: 454"),
        ("login_reply", "535 5.7.8 hunter2", PermanentError, "refused the login: 535"),
        ("login_reply", "534 5.7.9 hunter2", PermanentError, "refused the login: 534"),
        ("data_reply", "421 4.4.2 hunter2", TransientError, "refused the message: 421"),
        ("data_reply", "451 4.7.1 hunter2", TransientError, "refused the message: 451"),
        ("data_reply", "452 4.3.1 hunter2", TransientError, "refused the message: 452"),
        ("data_reply", "552 5.2.3 hunter2", PermanentError, "refused the message: 552"),
        ("data_reply", "554 5.6.0 hunter2", PermanentError, "refused the message: 554"),
    ],
)
def test_every_refusal_is_judged_by_its_code_and_its_text_repeated_nowhere(where, reply, error, said, caplog):
    caplog.set_level(logging.DEBUG)

    with SmtpSink(credentials=CREDENTIALS, **{where: reply}) as sink, pytest.raises(error) as caught:
        channel(sink.port, username="ann", password="hunter2").deliver(make_notification())

    assert str(caught.value) == f"127.0.0.1:{sink.port} {said}"
    assert caught.value.__cause__ is None
    logged = [record.getMessage() for record in caplog.records if record.name != "mail.log"]  # the sink's own
    assert "hunter2" not in "".join(logged)


def test_a_wrong_password_is_permanent():
    with (
        SmtpSink(credentials=("ann", "other")) as sink,
        pytest.raises(PermanentError, match="refused the login: 535"),
    ):
        channel(sink.port, username="ann", password="hunter2").deliver(make_notification())


def test_a_missing_login_is_permanent():
    with SmtpSink(credentials=CREDENTIALS) as sink, pytest.raises(PermanentError, match="refused the sender: 530"):
        channel(sink.port).deliver(make_notification())


GREETING, ABILITIES = b"220 sink\r\n", b"250-sink\r\n250 SIZE 0\r\n"
TAKEN = (b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n")


@pytest.mark.parametrize(
    "abilities", [ABILITIES, b"250-sink\r\n250 AUTH GSSAPI\r\n"], ids=["none", "none we know"]
)
def test_a_server_without_a_login_that_we_know_is_permanent(abilities):
    with (
        speaking(GREETING, abilities) as (port, _),
        pytest.raises(PermanentError, match="offers no login method that we know"),
    ):
        channel(port, username="ann", password="hunter2").deliver(make_notification())


@pytest.mark.parametrize(
    ("steps", "error", "said"),
    [
        ([b""], TransientError, "was not done within 0.3 s"),
        ([drip], TransientError, "was not done within 0.3 s"),
        ([GREETING, drip], TransientError, "was not done within 0.3 s"),
        ([b"220-" + b"x" * 100 + b"\r\n220-again"], TransientError, "was not done within 0.3 s"),
        ([b"220-more\r\n" * 50_000], TransientError, "closed the connection"),
        ([b"421 busy\r\n"], TransientError, "takes no connections: 421"),
        ([b"554 no service\r\n"], PermanentError, "takes no connections: 554"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], TransientError, "takes no connections: -1"),
        (
            [GREETING, ABILITIES, *TAKEN, take_message],
            TransientError,
            "had the whole message and did not say whether it took it",
        ),
    ],
    ids=["silent", "drips its greeting", "drips later", "half a reply", "talks for ever", "busy", "no service",
         "no SMTP", "silent after the message"],
)  # fmt: skip
def test_a_server_that_misbehaves_is_given_up_in_time(steps, error, said):
    began = time.monotonic()

    with speaking(*steps) as (port, is_over), pytest.raises(error) as caught:
        channel(port, timeout=0.3).deliver(make_notification())

    assert str(caught.value) == f"127.0.0.1:{port} {said}"
    assert time.monotonic() - began < 5
    # Nothing of ours goes on sending.
    assert is_over.wait(5)


def _read_slowly(connection, _lines):
    while connection.recv(65536):
        time.sleep(0.05)


def test_a_server_that_reads_slowly_is_given_up_in_time():
    with speaking(GREETING, _read_slowly) as (port, _):
        session = SmtpSession("127.0.0.1", port, timeout_seconds=0.3, is_implicit_tls=False)

        # Were each write bounded by itself, all of it would be written in the end.
        with pytest.raises(smtplib.SMTPServerDisconnected):
            session.send(b"\r\n" + b"x" * 12_000_000)


def test_a_name_that_nobody_looks_up_in_time_holds_no_thread(monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: let_go.wait(10))

    with pytest.raises(TransientError, match=r"^mail\.example:25 did not answer in time$"):
        channel(25, smtp_host="mail.example", timeout=0.1).deliver(make_notification())

    let_go.set()


def test_what_follows_the_message_makes_it_no_failure():
    with speaking(
        GREETING,
        ABILITIES,
        *TAKEN,
        lambda c, lines: (take_message(c, lines), c.sendall(b"250 ok\r\n")),
        b"nonsense",
    ) as (
        port,
        _,
    ):
        receipt = channel(port, timeout=0.3).deliver(make_notification())

    assert receipt.detail == "accepted for 1"


def test_some_refused_recipients_are_counted_and_the_others_get_the_mail(smtp_sink, caplog):
    smtp_sink.refuse["gone@example.org"] = "550 no such user"

    receipt = channel(smtp_sink.port, to_addresses=["gone@example.org", "ops@example.org"]).deliver(
        make_notification()
    )

    assert smtp_sink.mails[0].recipients == ["ops@example.org"]
    assert receipt.detail == "1 of 2 recipients refused (550)"
    [line] = [record for record in caplog.records if record.name == "watchkeeper.notify"]
    assert (line.message, line.channel, line.refused, line.codes) == (
        "mail refused for some recipients", "ops", 1, [550]
    )  # fmt: skip
    assert "gone@" not in repr(vars(line))


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        (["550 no such user", "550 no such user"], PermanentError),
        (["550 no such user", "450 busy"], TransientError),
        (["451 later", "452 full"], TransientError),
    ],
)
def test_when_all_recipients_are_refused_one_passing_reason_is_worth_a_retry(smtp_sink, replies, error):
    recipients = ["a@example.org", "b@example.org"]
    smtp_sink.refuse |= dict(zip(recipients, replies, strict=True))

    with pytest.raises(error, match=r"refused every recipient: [\d, ]+$"):
        channel(smtp_sink.port, to_addresses=recipients).deliver(make_notification())


def test_a_server_that_is_down_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(TransientError, match=f"^127.0.0.1:{port}: Connection refused$"):
        channel(port).deliver(make_notification())


def test_the_defaults_are_the_seeds():
    config = build(
        ChannelConfig(
            id=1,
            name="m",
            driver="email",
            config={"smtp_host": "mail.example", "from_address": "a@b.example", "to_addresses": ["c@d.example"]},
        )
    ).config

    assert (config.smtp_port, config.use_tls, config.timeout) == (587, True, 30)
    assert (config.username, config.password) == (None, None)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"to_addresses": []}, "to_addresses: List should have at least 1 item"),
        ({"smtp_host": ""}, "smtp_host: String should match pattern"),
        ({"smtp_host": "ann:hunter2@mail.example"}, "smtp_host: String should match pattern"),
        ({"smtp_port": 0}, "smtp_port: Input should be greater than or equal to 1"),
        ({"from_address": "hunter2"}, "from_address: not one e-mail address"),
        ({"from_address": "a@b.example, c@d.example"}, "from_address: not one e-mail address"),
        ({"to_addresses": ["a@b.example\r\nRCPT TO:<eve@c.example>"]}, "to_addresses.0: not one e-mail address"),
        ({"to_addresses": ["a@b.example> SIZE=1"]}, "to_addresses.0: not one e-mail address"),
        ({"to_addresses": ["a@b@c"]}, "to_addresses.0: not one e-mail address"),
        ({"to_addresses": ["x\nBcc: eve@c.example <a@b.example>"]}, "to_addresses.0: not one e-mail address"),
        ({"to_addresses": "a@b.example"}, "to_addresses: Input should be a valid list"),
        ({"username": "ann"}, "username and password are needed together"),
        ({"password": "hunter2"}, "username and password are needed together"),
        ({"username": "ann", "password": "hunter2ü"}, "password: only ASCII characters can be sent"),
        (
            {"smtp_host": "mail.example", "username": "ann", "password": "hunter2"},
            "use_tls: a password is sent in clear text to this host only",
        ),
        ({"to_addresses": ["a@b.example"] * 101}, "to_addresses: List should have at most 100 items"),
        ({"template": "{{ hunter2"}, "template: "),
        ({"password": {"env": "WK_UNSET"}}, "password: environment variable 'WK_UNSET' is not set"),
        ({"passwort": "hunter2"}, "passwort: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_config_is_refused_by_channel_and_field_without_its_values(config, said):
    with pytest.raises(PermanentError) as caught:
        channel(**config)

    assert str(caught.value).startswith("channel 'ops-mail': ")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_recipients_are_required():
    config = {"smtp_host": "mail.example", "from_address": "a@b.example"}

    with pytest.raises(PermanentError, match="to_addresses: Field required"):
        build(ChannelConfig(id=1, name="m", driver="email", config=config))


def test_the_password_is_not_in_the_repr():
    assert "hunter2" not in repr(channel(username="ann", password="hunter2").config)
