import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses
from json import dumps
from typing import Annotated, Any, ClassVar, Self

from jinja2 import Environment
from pydantic import AfterValidator, Field, SecretStr, model_validator

from storage.records import Receipt
from tasks.errors import PermanentError, TransientError
from tasks.notify.channels.base import DriverConfig
from tasks.notify.message import Notification

# RFC 8314: on this port TLS begins with the first byte.
IMPLICIT_TLS_PORT = 465
COLORS = {"critical": "#b3261e", "warning": "#b26a00", "info": "#1f5fa8", "success": "#1e7b34"}

HTML = Environment(autoescape=True).from_string("""\
<!DOCTYPE html>
<html><body style="font-family: sans-serif">
<h2 style="border-left: 6px solid {{ color }}; padding-left: 10px">{{ notification.title }}</h2>
<div style="white-space: pre-wrap">{{ notification.message }}</div>
{% for label, url in links %}
<p><a href="{{ url }}">{{ label }}</a></p>
{% endfor %}
</body></html>
""")


def parse_address(text: str) -> Address:
    """One mailbox, `ops@a.example` or `Ops <ops@a.example>`; ValueError, without it, for anything else."""
    parsed = getaddresses([text])
    if len(parsed) != 1 or not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", parsed[0][1]) or not text.isprintable():
        raise ValueError("not one e-mail address")
    try:
        return Address(display_name=parsed[0][0], addr_spec=parsed[0][1])
    except (ValueError, IndexError):  # they quote the address
        raise ValueError("not one e-mail address") from None


def _check_address(text: str) -> str:
    parse_address(text)
    return text


MailAddress = Annotated[str, AfterValidator(_check_address)]


class Email:
    """Deliver by SMTP: text and HTML alternatives, and the incident as a JSON attachment.

    All mails about one episode of an incident refer to the same made-up first message, so mail programs show
    them as one thread. The Message-ID is the same for every try, so a repeat can be recognised.
    """

    kind: ClassVar[str] = "email"
    rate_per_minute: ClassVar[float] = 0

    class Config(DriverConfig):
        """The seeds' keys. `use_tls` is STARTTLS, save on port 465; `timeout` is in seconds per step."""

        smtp_host: str = Field(min_length=1)
        from_address: MailAddress
        smtp_port: int = Field(default=587, ge=1, le=65535)
        use_tls: bool = True
        username: str | None = None
        password: SecretStr | None = None
        to_addresses: list[MailAddress] = Field(default_factory=list, validate_default=True, min_length=1)
        timeout: float = Field(default=30, gt=0, le=300)

        @model_validator(mode="after")
        def _has_whole_login(self) -> Self:
            if (self.username is None) != (self.password is None):
                raise ValueError("username and password are needed together")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config

    def deliver(self, notification: Notification) -> Receipt:
        """Send the message to all recipients at once. It counts as sent where at least one was accepted."""
        message = self.build_message(notification, sent_at=datetime.now(UTC))
        with self._judging_failures(), closing(self._connect()) as session:
            if self.config.username and self.config.password:
                session.login(self.config.username, self.config.password.get_secret_value())
            refused = session.send_message(message, self._sender.addr_spec, self._recipients)
            with suppress(OSError):  # the message is accepted: what the goodbye says no longer matters
                session.quit()
        total = len(self.config.to_addresses)
        detail = f"{len(refused)} of {total} recipients refused" if refused else f"accepted for {total}"
        return Receipt(provider_id=message["Message-ID"], detail=detail)

    def build_message(self, notification: Notification, *, sent_at: datetime) -> EmailMessage:
        """The mail for a message."""
        incident = _section(notification, "incident")
        message = EmailMessage(policy=policy.SMTP)
        message["Subject"] = notification.title
        message["From"] = self._sender
        message["To"] = [parse_address(text) for text in self.config.to_addresses]
        message["Date"] = sent_at
        message["Message-ID"] = f"<{_id_part(notification.idempotency_key)}@{self._sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers to this
        if incident.get("id"):
            thread = _id_part(f"incident-{incident['id']}-episode-{incident.get('episode', 1)}")
            message["In-Reply-To"] = message["References"] = f"<{thread}@{self._sender.domain}>"
        message.set_content(notification.message)
        message.add_alternative(_render_html(notification), subtype="html")
        attachment = dumps(notification.context, indent=2).encode()
        message.add_attachment(attachment, maintype="application", subtype="json", filename="incident.json")
        return message

    @property
    def _sender(self) -> Address:
        return parse_address(self.config.from_address)

    @property
    def _recipients(self) -> list[str]:
        return [parse_address(text).addr_spec for text in self.config.to_addresses]

    def _connect(self) -> smtplib.SMTP:
        host, port, timeout = self.config.smtp_host, self.config.smtp_port, self.config.timeout
        if port == IMPLICIT_TLS_PORT:
            return smtplib.SMTP_SSL(host, port, timeout=timeout, context=ssl.create_default_context())
        session = smtplib.SMTP(host, port, timeout=timeout)
        if self.config.use_tls:
            try:
                session.starttls(context=ssl.create_default_context())
            except BaseException:
                session.close()
                raise
        return session

    @contextmanager
    def _judging_failures(self) -> Iterator[None]:
        """Turn SMTP's errors into ours, with the reply's code but not its text, which may quote a login."""
        server = f"{self.config.smtp_host}:{self.config.smtp_port}"
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            raise _judge(f"{server} refused every recipient", {c for c, _ in error.recipients.values()}) from None
        except smtplib.SMTPAuthenticationError as error:
            raise _judge(f"{server} refused the login", {error.smtp_code}) from None
        except smtplib.SMTPResponseException as error:
            raise _judge(f"{server} refused the message", {error.smtp_code}) from None
        except smtplib.SMTPServerDisconnected:
            raise TransientError(f"{server} closed the connection") from None
        except smtplib.SMTPException:  # what remains are abilities that the server lacks
            raise PermanentError(f"{server} lacks STARTTLS, a login method we know, or SMTPUTF8") from None
        except ssl.SSLCertVerificationError as error:
            raise PermanentError(f"{server}: TLS certificate refused: {error.verify_message}") from None
        except UnicodeError:
            raise PermanentError(f"{server}: not a host name") from None
        except OSError as error:
            raise TransientError(f"{server}: {error.strerror or type(error).__name__}") from None


def _judge(said: str, codes: set[int]) -> PermanentError | TransientError:
    text = f"{said}: {', '.join(map(str, sorted(codes)))}"
    is_permanent = all(500 <= code < 600 for code in codes)  # noqa: PLR2004  RFC 5321, 4.2.1
    return PermanentError(text) if is_permanent else TransientError(text)


def _render_html(notification: Notification) -> str:
    links = _section(notification, "links")
    # Only these schemes: javascript: in an annotation must not become something to click.
    web = [(label, url) for label, url in links.items() if str(url).startswith(("https://", "http://"))]
    return HTML.render(notification=notification, links=web, color=COLORS[notification.severity])


def _section(notification: Notification, name: str) -> dict[str, Any]:
    part = notification.context.get(name)
    return part if isinstance(part, dict) else {}


def _id_part(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)
