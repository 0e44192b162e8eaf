import json
import socket
from datetime import UTC, datetime

import pytest
from sinks import SmtpSink, certificate_files

from storage.records import ChannelConfig
from tasks.errors import PermanentError, TransientError
from tasks.notify.channels import build, email
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
        make_notification(idempotency_key="next", context={"incident": {"id": 7, "episode": 3}}),
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
    assert threads == ["<incident-7-episode-2@example.org>"] * 3 + ["<incident-7-episode-3@example.org>"]
    assert [message["In-Reply-To"] for message in messages] == threads


@pytest.mark.parametrize(
    "context", [{}, {"incident": "seven", "links": ["a"]}, {"incident": {"id": "7>\r\nX-A: b"}}]
)
def test_a_message_with_any_context_can_be_sent(smtp_sink, context):
    channel(smtp_sink.port).deliver(make_notification(context=context))

    assert smtp_sink.mails[0].message["X-A"] is None


@pytest.mark.parametrize("severity", ["critical", "warning", "info", "success"])
def test_resolved_and_each_severity_have_a_colour_of_their_own(severity):
    message = channel().build_message(make_notification(severity=severity), sent_at=datetime.now(UTC))

    assert email.COLORS[severity] in message.get_body(("html",)).get_content()
    assert len(set(email.COLORS.values())) == 4


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


def test_markup_in_an_alert_is_shown_and_not_obeyed(smtp_sink):
    nasty = '<script>alert(1)</script> {{ 7 * 7 }} "quoted" &amp;'

    channel(smtp_sink.port).deliver(make_notification(title=nasty, message=nasty))

    html = smtp_sink.mails[0].message.get_body(("html",)).get_content()
    assert "<script>" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }} &#34;quoted&#34; &amp;amp;") == 2


def test_only_web_addresses_become_links(smtp_sink):
    channel(smtp_sink.port).deliver(make_notification())

    html = smtp_sink.mails[0].message.get_body(("html",)).get_content()
    assert '<a href="https://wiki.example/disk?a=1&amp;b=2">Runbook</a>' in html
    assert "javascript:" not in html


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
        with pytest.raises(PermanentError, match="lacks STARTTLS"):
            channel(sink.port, use_tls=True, username="ann", password="hunter2").deliver(make_notification())

        assert sink.mails == []


def test_a_refused_login_is_permanent_and_shows_no_password():
    with SmtpSink(credentials=("ann", "other")) as sink, pytest.raises(PermanentError) as caught:
        channel(sink.port, username="ann", password="hunter2").deliver(make_notification())

    assert str(caught.value) == f"127.0.0.1:{sink.port} refused the login: 535"


@pytest.mark.parametrize(
    ("reply", "error"),
    [("451 try hunter2 later", TransientError), ("421 bye", TransientError), ("554 no hunter2", PermanentError)],
)
def test_a_refused_message_is_judged_by_its_code(reply, error):
    with (
        SmtpSink(data_reply=reply) as sink,
        pytest.raises(error, match=f"refused the message: {reply[:3]}$") as caught,
    ):
        channel(sink.port).deliver(make_notification())

    assert "hunter2" not in str(caught.value)


def test_some_refused_recipients_are_counted_and_the_others_get_the_mail(smtp_sink):
    smtp_sink.refuse["gone@example.org"] = "550 no such user"

    receipt = channel(smtp_sink.port, to_addresses=["gone@example.org", "ops@example.org"]).deliver(
        make_notification()
    )

    assert smtp_sink.mails[0].recipients == ["ops@example.org"]
    assert receipt.detail == "1 of 2 recipients refused"


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

    with pytest.raises(error, match="refused every recipient: "):
        channel(smtp_sink.port, to_addresses=recipients).deliver(make_notification())


def test_a_server_that_is_down_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(TransientError, match=f"^127.0.0.1:{port}: Connection refused$"):
        channel(port).deliver(make_notification())


def test_a_server_that_says_nothing_is_transient():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(TransientError, match=r"^127\.0\.0\.1:"),
    ):
        channel(listener.getsockname()[1], timeout=0.2).deliver(make_notification())


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
        ({"smtp_host": ""}, "smtp_host: String should have at least 1 character"),
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

    with pytest.raises(PermanentError, match="to_addresses: List should have at least 1 item"):
        build(ChannelConfig(id=1, name="m", driver="email", config=config))


def test_the_password_is_not_in_the_repr():
    assert "hunter2" not in repr(channel(username="ann", password="hunter2").config)
