import ipaddress
import logging
import re
from contextlib import closing
from email.headerregistry import Address
from email.utils import getaddresses
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from storage.records import Receipt
from storage.tables.base import utc_now
from tasks.notify.channels.base import DriverConfig
from tasks.notify.channels.email_message import MAX_MAIL_BYTES, Mail, Mailbox, build
from tasks.notify.channels.smtp_session import SmtpSession, judging_failures, telling_doubt
from tasks.notify.message import Notification
from tasks.notify.templates import html_of, text_of
from tasks.notify.templating.reference import TemplateRef

log = logging.getLogger("watchkeeper.notify")

# RFC 8314: on this port TLS begins with the first byte.
IMPLICIT_TLS_PORT = 465
# What every server has to take: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.8
MAX_RECIPIENTS = 100


def parse_address(text: str) -> Mailbox:
    """One mailbox, `ops@a.example` or `Ops <ops@a.example>`; ValueError, without it, for anything else.

    Addresses are ASCII (a domain of other letters as xn--…), so no server needs SMTPUTF8.
    """
    parsed = getaddresses([text])
    if len(parsed) != 1 or not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", parsed[0][1]) or not text.isprintable():
        raise ValueError("not one e-mail address")
    name, address = parsed[0]
    try:
        Address(addr_spec=address)
    except (ValueError, IndexError):  # they quote the address
        raise ValueError("not one e-mail address") from None
    return Mailbox(name=name, address=address)


def _check_address(text: str) -> str:
    parse_address(text)
    return text


MailAddress = Annotated[str, AfterValidator(_check_address)]


class Email:
    """Deliver by SMTP: text and HTML alternatives, and the incident as a JSON attachment.

    The whole exchange ends within `timeout`. The Message-ID is the same for every try, so a repeat can be
    recognised. A mail that some recipients were refused for is sent: a retry would repeat it to the others.
    """

    kind: ClassVar[str] = "email"
    rate_per_minute: ClassVar[float] = 0

    class Config(DriverConfig):
        """`to_addresses` is required. `use_tls` is STARTTLS, save on port 465.

        `timeout` is in seconds, for a whole delivery.
        """

        smtp_host: str = Field(pattern=r"^\w[\w.:-]*$")
        from_address: MailAddress
        smtp_port: int = Field(default=587, ge=1, le=65535)
        use_tls: bool = True
        username: str | None = Field(default=None, pattern=r"^[ -~]+$")
        password: SecretStr | None = None
        to_addresses: list[MailAddress] = Field(min_length=1, max_length=MAX_RECIPIENTS)
        timeout: float = Field(default=30, gt=0, le=300)
        template: TemplateRef | None = None
        html_template: TemplateRef | None = None

        @model_validator(mode="after")
        def _has_usable_login(self) -> Self:
            if (self.username is None) != (self.password is None):
                raise ValueError("username and password are needed together")
            # Python's smtplib cannot send another one (https://github.com/python/cpython/issues/73936).
            if self.password and not self.password.get_secret_value().isascii():
                raise ValueError("password: only ASCII characters can be sent")
            is_encrypted = self.use_tls or self.smtp_port == IMPLICIT_TLS_PORT
            if self.password and not is_encrypted and not _is_loopback(self.smtp_host):
                raise ValueError("use_tls: a password is sent in clear text to this host only")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config

    def deliver(self, notification: Notification) -> Receipt:
        """Send the message to all recipients at once. It counts as sent where at least one was accepted."""
        mail = self.build_mail(notification)
        with (
            judging_failures(self._server, timeout_seconds=self.config.timeout),
            closing(self._connect()) as session,
            telling_doubt(session),
        ):
            self._log_in(session)
            limit = min(session.max_message_bytes or MAX_MAIL_BYTES, MAX_MAIL_BYTES)
            message = build(mail, max_bytes=limit)
            recipients = [mailbox.address for mailbox in mail.recipients]
            refused = session.sendmail(mail.sender.address, recipients, bytes(message))
            session.part()
        codes = sorted({code for code, _ in refused.values()})
        if refused:
            log.warning(
                "mail refused for some recipients",
                extra={"channel": notification.channel, "refused": len(refused), "codes": codes},
            )
        return Receipt(provider_id=str(message["Message-ID"]), detail=self._outcome(len(refused), codes))

    def build_mail(self, notification: Notification) -> Mail:
        """The mail for a message, not yet cut to what a server takes."""
        return Mail(
            notification=notification,
            sender=parse_address(self.config.from_address),
            recipients=[parse_address(text) for text in self.config.to_addresses],
            sent_at=utc_now(),
            text=text_of(self.kind, self.config.template, notification),
            html=html_of(self.kind, self.config.html_template, notification),
        )

    @property
    def _server(self) -> str:
        return f"{self.config.smtp_host}:{self.config.smtp_port}"

    def _connect(self) -> SmtpSession:
        return SmtpSession(
            self.config.smtp_host,
            self.config.smtp_port,
            timeout_seconds=self.config.timeout,
            is_implicit_tls=self.config.smtp_port == IMPLICIT_TLS_PORT,
        )

    def _log_in(self, session: SmtpSession) -> None:
        if self.config.use_tls and self.config.smtp_port != IMPLICIT_TLS_PORT:
            session.secure()
        session.ehlo_or_helo_if_needed()
        if self.config.username and self.config.password:
            session.login(self.config.username, self.config.password.get_secret_value())

    def _outcome(self, refused_count: int, codes: list[int]) -> str:
        total = len(self.config.to_addresses)
        if not refused_count:
            return f"accepted for {total}"
        return f"{refused_count} of {total} recipients refused ({', '.join(map(str, codes))})"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"
