"""Certificates as files hold them and servers show them, read whether or not anybody trusts them."""

import os
import socket
import stat
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tasks.check.readings.text import printable

if TYPE_CHECKING:  # imported where they are used, since cryptography takes 0.15 s, and most checks need neither
    import ssl

    from cryptography import x509

# Far more than a bundle of all public authorities (0.2 MiB).
MAX_FILE_BYTES = 4 * 1024**2
MAX_NAME_CHARS = 200


class UnreadableError(Exception):
    """There is no certificate to be had; the message says why."""


@dataclass(frozen=True)
class Certificate:
    """Whose a certificate is, and from when to when it is valid. `serial` is hexadecimal."""

    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime


def in_file(path: str) -> list[Certificate]:
    """All certificates of a PEM file, or the one of a DER file."""
    from cryptography import x509  # noqa: PLC0415  (see above)

    content = _content(path)
    try:
        if b"-----BEGIN" in content:
            return [_read(certificate) for certificate in x509.load_pem_x509_certificates(content)]
        return [_read(x509.load_der_x509_certificate(content))]
    except ValueError:  # its message quotes the file
        raise UnreadableError("holds no certificate that can be parsed, in PEM or DER form") from None


def served(host: str, port: int, *, server_name: str, timeout_seconds: float) -> Certificate:
    """The certificate that a server shows for a name: its own, not those of its issuers."""
    from cryptography import x509  # noqa: PLC0415  (see above)

    try:
        shown = _handshake(host, port, server_name, timeout_seconds, indifferent())
        return _read(x509.load_der_x509_certificate(shown))
    except OSError as error:
        raise UnreadableError(why(error)) from None
    except ValueError:
        raise UnreadableError("shows a certificate that cannot be parsed") from None


def refusal(host: str, port: int, *, server_name: str, timeout_seconds: float) -> str:
    """Why clients refuse a server (its chain, its name, its version of TLS); empty if they do not."""
    import ssl  # noqa: PLC0415  (see above)

    try:
        _handshake(host, port, server_name, timeout_seconds, trusting())
    except ssl.SSLError as error:
        return why(error)
    except OSError as error:
        raise UnreadableError(why(error)) from None
    return ""


def trusting() -> "ssl.SSLContext":
    """TLS that trusts the public authorities, as httpx does, and those that were added to this host."""
    import httpx  # noqa: PLC0415  (takes 0.2 s)

    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def indifferent() -> "ssl.SSLContext":
    """TLS with anybody, however old or untrusted: their certificates expire too."""
    import ssl  # noqa: PLC0415  (see above)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def why(error: OSError) -> str:
    """The reason of an error of the network or of TLS, without the line of OpenSSL's source."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    refused = getattr(error, "verify_message", None)
    if refused:
        return f"TLS certificate refused: {refused}"
    reason = getattr(error, "reason", None)
    if reason:
        return f"TLS failed: {str(reason).replace('_', ' ').lower()}"
    return error.strerror or type(error).__name__


def _handshake(host: str, port: int, server_name: str, timeout_seconds: float, context: "ssl.SSLContext") -> bytes:
    with (
        socket.create_connection((host, port), timeout=timeout_seconds) as connection,
        context.wrap_socket(connection, server_hostname=server_name) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _content(path: str) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_FILE_BYTES + 1) if is_regular else b""
    except OSError as error:
        raise UnreadableError(why(error)) from None
    if not is_regular:
        raise UnreadableError("is no regular file")
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableError(f"is larger than {MAX_FILE_BYTES // 1024**2} MiB")
    return content


def _open_at_once(path: str, flags: int) -> int:
    # Opening a FIFO would wait for a writer, and opening some devices waits too.
    return os.open(path, flags | os.O_NONBLOCK)


def _read(certificate: "x509.Certificate") -> Certificate:
    return Certificate(
        subject=_name(certificate, "subject"),
        issuer=_name(certificate, "issuer"),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _name(certificate: "x509.Certificate", field: str) -> str:
    try:
        text = str(getattr(certificate, field).rfc4514_string())
    except ValueError:  # names are parsed when asked for; the dates count without them
        return "(unreadable)"
    return printable(text, MAX_NAME_CHARS) or "(none)"
