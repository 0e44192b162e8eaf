"""Real destinations on loopback that keep what they are sent: use these rather than patching a client.

with HttpSink([503, Answer(delay_seconds=0.1)]) as sink:
    send(to=sink.url)
    [first, second] = sink.wait_for(2)

with SmtpSink(is_tls=True, credentials=("ann", "hunter2")) as sink:
    send(to=("127.0.0.1", sink.port), certificate=sink.certificate)
"""

import atexit
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509  # comes with Prefect
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Answer:
    """What the HTTP sink says to one request, after a delay."""

    status: int = 200
    delay_seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it came over the wire. `headers` ignores case; `received_at` is a monotonic time."""

    method: str
    path: str
    headers: Message
    body: bytes
    received_at: float


@dataclass(frozen=True)
class ReceivedMail:
    """One accepted message with its envelope."""

    sender: str
    recipients: list[str]
    content: bytes
    is_encrypted: bool
    username: str | None

    @property
    def message(self) -> EmailMessage:
        """The content, parsed."""
        return message_from_bytes(self.content, policy=policy.default)


class _Box(Generic[Item]):
    """What has come in, and a way to wait for more of it."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._changed = threading.Condition()

    def add(self, item: Item) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def all(self) -> list[Item]:
        with self._changed:
            return list(self._items)

    def wait_for(self, count: int, timeout_seconds: float) -> list[Item]:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._items) >= count, timeout_seconds):
                raise AssertionError(f"{len(self._items)} of {count} came within {timeout_seconds:g} s")
            return list(self._items)


class HttpSink:
    """An HTTP/1.1 server with keep-alive that answers by script, then with `default`.

    A number in the script is that status with an empty JSON object. Every request takes the next answer.
    """

    def __init__(
        self, script: Iterable[int | Answer] = (), *, default: int | Answer = 200, is_tls: bool = False
    ) -> None:
        self._script = deque(map(_as_answer, script))
        self._default = _as_answer(default)
        self._box: _Box[ReceivedRequest] = _Box()
        self._server = _HttpServer(self)
        self._scheme = "https" if is_tls else "http"
        if is_tls:
            context = server_context()
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.drop_connections()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """Its base URL, without a trailing slash."""
        return f"{self._scheme}://{LOOPBACK}:{self.port}"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """All requests so far, in order of arrival."""
        return self._box.all()

    @property
    def connection_count(self) -> int:
        """How many connections clients have opened so far."""
        return self._server.connection_count

    def answer_with(self, *answers: int | Answer) -> None:
        """Add to the script."""
        self._script.extend(map(_as_answer, answers))

    def wait_for(self, count: int, timeout_seconds: float = 5.0) -> list[ReceivedRequest]:
        """All requests, once there are this many; AssertionError if there never are."""
        return self._box.wait_for(count, timeout_seconds)

    def take(self, request: ReceivedRequest) -> Answer:
        """Keep a request and choose the answer to it."""
        self._box.add(request)
        try:
            return self._script.popleft()
        except IndexError:
            return self._default


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, sink: HttpSink) -> None:
        self.sink = sink
        self.connection_count = 0
        self._connections: set[socket.socket] = set()
        super().__init__((LOOPBACK, 0), _HttpHandler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        self.connection_count += 1
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        # A kept-alive connection would go on being answered after the sink is gone, perhaps to a client that
        # means a new sink on the same port.
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests and no news."""


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer: headers and body apart cost 40 ms of Nagle and delayed ack
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # its sender was killed in the middle of it: no server takes that for a request
            self.close_connection = True
            return
        sink = cast("_HttpServer", self.server).sink
        answer = sink.take(ReceivedRequest(self.command, self.path, self.headers, body, time.monotonic()))
        if answer.delay_seconds:
            time.sleep(answer.delay_seconds)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815  the names http.server looks for

    def log_message(self, *args: Any) -> None:
        """Keep the test output clean."""


class SmtpSink:
    """An SMTP server that keeps what it accepts.

    `is_tls` offers STARTTLS and refuses mail without it; `is_implicit_tls` speaks TLS from the first byte, as
    on port 465. With `credentials`, mail needs a login. `refuse` maps recipients to the reply they get.
    `sender_reply`, `login_reply` and `data_reply` stand in for the answers to the sender, the login and the
    message itself, such as "451 try later". `max_bytes` is the longest mail, as the server announces it.
    """

    def __init__(
        self,
        *,
        is_tls: bool = False,
        is_implicit_tls: bool = False,
        credentials: tuple[str, str] | None = None,
        refuse: Mapping[str, str] | None = None,
        sender_reply: str | None = None,
        login_reply: str | None = None,
        data_reply: str | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self.refuse = dict(refuse or {})
        self.sender_reply = sender_reply
        self.login_reply = login_reply
        self.data_reply = data_reply
        self._credentials = credentials
        self._box: _Box[ReceivedMail] = _Box()
        self._is_implicit_tls = is_implicit_tls
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._controller = _SmtpController(
            self,
            listener=self._listener,
            ssl_context=server_context() if is_implicit_tls else None,
            tls_context=server_context() if is_tls else None,
            require_starttls=is_tls,
            authenticator=self._authenticate,
            auth_required=credentials is not None,
            auth_require_tls=is_tls,
            data_size_limit=max_bytes,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._controller.stop()
        self._listener.close()

    @property
    def certificate(self) -> Path:
        """What a client must trust: the certificate's file, in PEM form."""
        return certificate_files()[0]

    @property
    def mails(self) -> list[ReceivedMail]:
        """All accepted messages so far."""
        return self._box.all()

    def wait_for(self, count: int, timeout_seconds: float = 5.0) -> list[ReceivedMail]:
        """All accepted messages, once there are this many; AssertionError if there never are."""
        return self._box.wait_for(count, timeout_seconds)

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse the sender."""
        del server, session, options
        if self.sender_reply:
            return self.sender_reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  the name aiosmtpd looks for
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse one recipient."""
        del server, session, options
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take or refuse the message."""
        del server
        if self.data_reply:
            return self.data_reply
        self._box.add(
            ReceivedMail(
                sender=envelope.mail_from or "",
                recipients=list(envelope.rcpt_tos),
                content=cast("bytes", envelope.content),
                is_encrypted=self._is_implicit_tls or session.ssl is not None,
                username=session.auth_data if isinstance(session.auth_data, str) else None,
            )
        )
        return "250 OK"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        if not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        if self.login_reply:
            return AuthResult(success=False, handled=False, message=self.login_reply)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._credentials, handled=False, auth_data=given[0])


class _SmtpController(Controller):
    """aiosmtpd's controller on a socket that is bound already, so that port 0 works without a race."""

    def __init__(self, sink: SmtpSink, *, listener: socket.socket, **options: Any) -> None:
        self._listener = listener
        super().__init__(sink, hostname=LOOPBACK, port=listener.getsockname()[1], **options)

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._listener, ssl=self.ssl_context)


def server_context() -> ssl.SSLContext:
    """TLS for a server on loopback, with `certificate_files`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate_files())
    return context


@cache
def certificate_files() -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and localhost, and its key; one for the whole test process."""
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-sink-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    certificate_path.write_bytes(_self_signed(key).public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_path, key_path


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(LOOPBACK))]
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )


def _as_answer(answer: int | Answer) -> Answer:
    return answer if isinstance(answer, Answer) else Answer(status=answer)
