"""One SMTP exchange that ends in time whatever the server does, and what its errors mean for us."""

import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from tasks.check.calls import Call, HungError
from tasks.errors import PermanentError, TransientError

CONNECT_TIMEOUT_SECONDS = 10.0
# What a server may say in one exchange: thousands of times what it needs.
MAX_REPLY_BYTES = 256 * 1024
# A record of TLS; a longer write would begin its time anew with each of them.
CHUNK_BYTES = 16 * 1024
GOODBYE_SECONDS = 2.0
END_OF_MESSAGE = b"\r\n.\r\n"


class SmtpSession(smtplib.SMTP):
    """A session of which everything, from the look-up of the host's name on, ends at one moment.

    smtplib's timeout bounds one step each, so a server that sends a byte now and then would hold a thread for
    ever. Raises OSError (of which smtplib's errors are a part), TimeoutError among them.
    """

    def __init__(self, host: str, port: int, *, timeout_seconds: float, is_implicit_tls: bool) -> None:
        self.server = f"{host}:{port}"
        self._ends_at = time.monotonic() + timeout_seconds
        self._is_implicit_tls = is_implicit_tls
        # The whole message is out, and the server has not said yet whether it takes it.
        self.awaits_verdict = False
        # Named here, since smtplib would look the own name up.
        super().__init__(host, port, local_hostname="localhost", timeout=timeout_seconds)
        self.local_hostname = _own_name(self.sock) if self.sock else self.local_hostname

    @property
    def max_message_bytes(self) -> int | None:
        """The longest message that the server takes, where it says so: https://www.rfc-editor.org/rfc/rfc1870."""
        size = self.esmtp_features.get("size", "")
        return int(size) or None if size.isascii() and size.isdigit() else None

    def secure(self) -> None:
        """STARTTLS; PermanentError where the server has none, since nothing may go out in clear text."""
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("starttls"):
            raise PermanentError(f"{self.server} offers no STARTTLS")
        if self.sock:
            self.sock.settimeout(self.left_seconds())
        self.starttls(context=ssl.create_default_context())

    def part(self) -> None:
        """Say goodbye. The message is taken: how that goes no longer matters."""
        self._ends_at = min(self._ends_at, time.monotonic() + GOODBYE_SECONDS)
        with suppress(OSError):
            self.quit()

    def left_seconds(self) -> float:
        """The time that is left; TimeoutError where there is none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def send(self, s: Any) -> None:
        """Send bytes or a line, within the time that is left."""
        content = s.encode(self.command_encoding) if isinstance(s, str) else bytes(s)
        for start in range(0, len(content), CHUNK_BYTES):
            try:
                if self.sock:
                    self.sock.settimeout(self.left_seconds())
            except TimeoutError as error:  # smtplib looks for its own error where it tidies up
                self.close()
                raise smtplib.SMTPServerDisconnected from error
            super().send(content[start : start + CHUNK_BYTES])
        self.awaits_verdict = content.endswith(END_OF_MESSAGE)

    def getreply(self) -> tuple[int, bytes]:
        """The server's next reply, within the time that is left."""
        # None at the start, and again after STARTTLS: what came unencrypted must not be read as if it had not.
        if self.file is None and self.sock is not None:
            self.file = _Replies(self)
        return super().getreply()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        del timeout
        lookup = Call(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM), name="mail-host")
        try:
            found = lookup.result(until=self._ends_at)
        except HungError:
            raise TimeoutError from None
        plain = self._connect_to_any(found)
        if not self._is_implicit_tls:
            return plain
        plain.settimeout(self.left_seconds())
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)

    def _connect_to_any(self, found: list[Any]) -> socket.socket:
        refusal: OSError = TimeoutError()
        for family, kind, protocol, _, address in found:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(min(self.left_seconds(), CONNECT_TIMEOUT_SECONDS))
                # Or the second chunk of a message waits for the first one's delayed acknowledgement, 40 ms.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect(address)
            except OSError as error:
                connection.close()
                refusal = error
            else:
                return connection
        raise refusal


class _Replies:
    """What a server says, line by line, in place of the file that smtplib reads from."""

    def __init__(self, session: SmtpSession) -> None:
        self._session = session
        self._unread = bytearray()
        self._read_bytes = 0

    def readline(self, max_bytes: int) -> bytes:
        """The next line, or what came of it before the end or the limit."""
        connection = self._session.sock
        while connection and b"\n" not in self._unread and len(self._unread) < max_bytes:
            connection.settimeout(self._session.left_seconds())
            chunk = connection.recv(CHUNK_BYTES)
            self._unread += chunk
            self._read_bytes += len(chunk)
            if self._read_bytes > MAX_REPLY_BYTES:
                raise ConnectionError("too long a reply")
            if not chunk:
                break
        length = min(self._unread.find(b"\n") + 1 or len(self._unread), max_bytes)
        line = bytes(self._unread[:length])
        del self._unread[:length]
        return line

    def close(self) -> None:
        """Nothing of its own to close."""


@contextmanager
def judging_failures(server: str, *, timeout_seconds: float) -> Iterator[None]:
    """Turn SMTP's errors into ours: with the replies' codes, but neither their texts nor any address.

    A reply may quote a login or the mail, and addresses are personal data. Permanent is what RFC 5321 says is: 5xx
    (https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1).
    """
    ends_at = time.monotonic() + timeout_seconds
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        raise _judge(f"{server} refused every recipient", {c for c, _ in error.recipients.values()}) from None
    except smtplib.SMTPResponseException as error:
        raise _judge(f"{server} {_refusal(error)}", {error.smtp_code}) from None
    except smtplib.SMTPServerDisconnected:
        is_late = time.monotonic() >= ends_at
        said = f"was not done within {timeout_seconds:g} s" if is_late else "closed the connection"
        raise TransientError(f"{server} {said}") from None
    except smtplib.SMTPException:  # what remains after the replies are abilities that the server lacks
        raise PermanentError(f"{server} offers no login method that we know") from None
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(f"{server}: TLS certificate refused: {error.verify_message}") from None
    except UnicodeError:
        raise PermanentError(f"{server}: not a host name") from None
    except TimeoutError:
        raise TransientError(f"{server} did not answer in time") from None
    except OSError as error:
        raise TransientError(f"{server}: {error.strerror or type(error).__name__}") from None


@contextmanager
def telling_doubt(session: SmtpSession) -> Iterator[None]:
    """Say of an exchange that broke off after the message's last line that the message may have arrived.

    The next try has the same Message-ID, so that whoever gets both can tell: https://www.rfc-editor.org/rfc/rfc1047.
    """
    try:
        yield
    except (smtplib.SMTPServerDisconnected, TimeoutError):
        if session.awaits_verdict:
            said = f"{session.server} had the whole message and did not say whether it took it"
            raise TransientError(said) from None
        raise


def _judge(said: str, codes: set[int]) -> PermanentError | TransientError:
    text = f"{said}: {', '.join(map(str, sorted(codes)))}"
    is_permanent = all(500 <= code < 600 for code in codes)  # noqa: PLR2004  RFC 5321, 4.2.1
    return PermanentError(text) if is_permanent else TransientError(text)


def _refusal(error: smtplib.SMTPResponseException) -> str:
    what = {
        smtplib.SMTPConnectError: "takes no connections",
        smtplib.SMTPHeloError: "refused our name",
        smtplib.SMTPAuthenticationError: "refused the login",
        smtplib.SMTPSenderRefused: "refused the sender",
        smtplib.SMTPDataError: "refused the message",
    }
    return what.get(type(error), "refused TLS, or speaks no SMTP")


def _own_name(connection: socket.socket) -> str:
    """This host's name for the greeting, or its address where that is no full name (RFC 5321, 4.1.4)."""
    name = socket.gethostname()
    if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name):
        return name
    address = connection.getsockname()[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
