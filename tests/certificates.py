"""Certificates of every kind, and servers on loopback that show them.

issued = issue(days_left=5)
with TlsServer(issued, folder=tmp_path) as server:
    connect(to=server.address)
"""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        """The certificate as most programs want it."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate as it goes over the wire."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The key, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def issue(
    *,
    days_left: float,
    valid_since_days: float = 100.0,
    common_name: str = "localhost",
    subject: x509.Name | None = None,
    names: tuple[str, ...] = ("localhost", LOOPBACK, "::1"),
    key: Key | None = None,
    issuer: Issued | None = None,
) -> Issued:
    """A certificate for some names and addresses, signed by itself unless an issuer is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder(
            subject_name=name,
            issuer_name=issuer.certificate.subject if issuer else name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
        )
        .not_valid_before(min(now - timedelta(days=valid_since_days), now + timedelta(days=days_left - 1)))
        .not_valid_after(now + timedelta(days=days_left))
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return Issued(certificate, key)


class TlsServer:
    """A server that does a TLS handshake with everybody, and no more.

    `arrange` may change its context, such as to an older TLS or to another certificate for another name.
    """

    def __init__(
        self,
        issued: Issued,
        *,
        folder: Path,
        host: str = LOOPBACK,
        arrange: Callable[[ssl.SSLContext], None] = lambda _: None,
    ) -> None:
        self._context = server_context(issued, folder=folder)
        arrange(self._context)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(5)
            with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)


def server_context(issued: Issued, *, folder: Path) -> ssl.SSLContext:
    """TLS for a server with that certificate; its files stay in the folder."""
    name = f"{issued.certificate.serial_number:x}"
    certificate_path, key_path = folder / f"{name}.pem", folder / f"{name}-key.pem"
    certificate_path.write_bytes(issued.pem)
    key_path.write_bytes(issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else it refuses to show the weak keys that old servers have
    context.load_cert_chain(certificate_path, key_path)
    return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
