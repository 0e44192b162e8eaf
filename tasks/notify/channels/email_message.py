"""A message as a mail: its headers, text, HTML and attachment, within the size that a server takes. Pure.

Threads: every mail about one episode of an incident refers to one made-up first mail. Mail programs thread by
such a reference although nobody has that mail (Alertmanager and Netdata do the same), it needs no memory of what
was sent, and is the same for every try. Gmail asks for the same subject as well; it leaves what stands in square
brackets out, so [FIRING] and [RESOLVED after 5 min] before the same words are one conversation there:
https://workspaceupdates.googleblog.com/2019/03/threading-changes-in-gmail-conversation-view.html,
https://github.com/TwiN/gatus/issues/1563. Where the words change (another severity, more alerts), Gmail begins
another one: that the list of mails says what is the matter now is worth more.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import formataddr
from html import escape
from json import dumps
from typing import Any

from tasks.notify.channels import email_html
from tasks.notify.message import Notification
from tasks.notify.text import shorten

# What Postfix takes by default: https://www.postfix.org/postconf.5.html#message_size_limit
MAX_MAIL_BYTES = 10_240_000
NO_ATTACHMENT = "The incident as JSON was left out: with it the mail would be longer than the server takes."
# RFC 5322, 2.1.1: what fits on a screen.
LINE_CHARS = 78
OWN_HEADERS = frozenset({"Subject", "From", "To", "Message-ID", "In-Reply-To", "References"})


class _MailPolicy(EmailPolicy):
    """Takes OWN_HEADERS as they are written here.

    Left to the standard library of Python 3.11, references of more than a line come out encoded, which mail
    programs do not read (https://github.com/python/cpython/issues/79986), and long subjects that are not ASCII
    lose spaces.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        """Name and value as they are kept."""
        return (name, value) if name in OWN_HEADERS else super().header_store_parse(name, value)


# 7bit: nobody has to announce or offer 8BITMIME, and no line is longer than 998 (RFC 5321, 4.5.3.1.6).
POLICY = _MailPolicy(linesep="\r\n", cte_type="7bit", refold_source="none")


@dataclass(frozen=True)
class Mailbox:
    """A name, which may be empty, and an address in ASCII."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What is after the @."""
        return self.address.rpartition("@")[2]

    @property
    def header(self) -> str:
        """Both, as a header has them."""
        if self.name.isascii() and "=?" not in self.name:
            return formataddr((self.name, self.address))
        return f"{_encoded(self.name)} <{self.address}>"


@dataclass(frozen=True)
class Mail:
    """What is to be sent, in clean text; `html` is None where the built-in page is to be made of it."""

    notification: Notification
    sender: Mailbox
    recipients: Sequence[Mailbox]
    sent_at: datetime
    text: str
    html: str | None


def build(mail: Mail, *, max_bytes: int = MAX_MAIL_BYTES) -> EmailMessage:
    """The mail, whole if it fits, else without its attachment, else as a text as long as fits.

    What was left out is said in it. One that does not fit with no text at all is returned nevertheless, for the
    server to judge.
    """
    attachment = dumps(mail.notification.context, indent=2).encode()
    # The attachment's own size first: to encode megabytes only to drop them would cost a second.
    if len(attachment) < max_bytes:
        whole = _with_alternatives(mail)
        whole.add_attachment(attachment, maintype="application", subtype="json", filename="incident.json")
        if len(bytes(whole)) <= max_bytes:
            return whole
    message = _with_alternatives(mail, note=NO_ATTACHMENT)
    text_chars = len(mail.text)
    while len(bytes(message)) > max_bytes and text_chars:
        text_chars //= 2
        message = _with_headers(mail)
        message.set_content(f"{shorten(mail.text, text_chars)}\n\n{NO_ATTACHMENT}")
    return message


def _with_alternatives(mail: Mail, note: str = "") -> EmailMessage:
    message = _with_headers(mail)
    text = mail.text + (f"\n\n{note}" if note else "")
    message.set_content(text)
    if mail.html is None:
        message.add_alternative(email_html.render(mail.notification, text), subtype="html")
    else:
        page = mail.html + (f"\n<p>{escape(note)}</p>" if note else "")
        message.add_alternative(page, subtype="html")
    return message


def _with_headers(mail: Mail) -> EmailMessage:
    message = EmailMessage(policy=POLICY)
    message["Subject"] = _encoded(mail.notification.title)
    message["From"] = mail.sender.header
    message["To"] = ",\r\n ".join(mailbox.header for mailbox in mail.recipients)
    message["Date"] = mail.sent_at
    message["Message-ID"] = _message_id(mail.notification.idempotency_key, mail)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers to this
    if mail.notification.thread:
        message["In-Reply-To"] = message["References"] = _message_id(mail.notification.thread, mail)
    return message


def _message_id(key: str, mail: Mail) -> str:
    return f"<{re.sub(r'[^A-Za-z0-9._-]', '-', key)}@{mail.sender.domain}>"


def _encoded(text: str) -> str:
    # An alert's =?utf-8?q?…?= must be shown as that, not as what it stands for.
    charset = "us-ascii" if text.isascii() and "=?" not in text else "utf-8"
    return Header(text, charset, header_name="Subject", maxlinelen=LINE_CHARS).encode(linesep="\r\n")
