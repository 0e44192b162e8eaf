"""The one outbound door for HTTP.

Redirects are not followed, cookies not kept, and the whole exchange has one deadline. Where a request may go is
the caller's `reach`. URLs of webhooks are secrets, so no message from here carries more of a URL than its host,
and what httpx and httpcore log of an exchange, the URL or the answer's headers, is dropped.
"""

import http.cookiejar
import logging
import os
import ssl
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache

import httpx

from tasks.addresses import Reach
from tasks.deadline import DeadlineBackend, deadline, is_running
from tasks.errors import PermanentError, TransientError
from tasks.guard import GuardedBackend, GuardedProxy

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_BODY_BYTES = 64 * 1024
# A host that asks for more is not coming back soon; the caller's own schedule serves better.
MAX_RETRY_AFTER_SECONDS = 86_400.0
# Answers that say "not now": https://www.rfc-editor.org/rfc/rfc9110#section-15 and RFC 8470 for 425.
TRANSIENT_STATUSES = frozenset({408, 425, 429})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# One by one, since a logger's filter does not see what those below it say.
LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


@dataclass(frozen=True)
class OutboundRequest:
    """What is to be sent. `timeout_seconds` bounds the whole exchange.

    URL, headers and body may hold secrets and stay out of the repr.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout_seconds: float = 30.0


@dataclass(frozen=True)
class OutboundResponse:
    """An answer. `headers` have lower-case names.

    `body` is the text up to MAX_BODY_BYTES. `is_complete` is False where there was more of it, or where the
    connection broke or the time ran out within it: the status had been given by then, and stands.
    """

    host: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)
    is_complete: bool = True


def send(request: OutboundRequest, *, reach: Reach = Reach.ANYWHERE) -> OutboundResponse:
    """One exchange, whatever its status; see `judge`.

    Raises TransientError for network errors and timeouts, PermanentError for a URL, header or certificate
    that cannot be used, for an address beyond reach and for a redirect.
    """
    url, client = parse_url(request.url), _client(os.getpid(), reach)
    with _judging_failures(url.host, request), deadline(request.timeout_seconds):
        outbound = client.build_request(
            request.method,
            url,
            headers=dict(request.headers),
            content=request.body or None,
            timeout=httpx.Timeout(
                request.timeout_seconds, connect=min(CONNECT_TIMEOUT_SECONDS, request.timeout_seconds)
            ),
        )
        answer = client.send(outbound, stream=True)
        try:
            return _read(url.host, answer)
        finally:
            answer.close()


def judge(response: OutboundResponse, *, also_transient: Collection[int] = ()) -> None:
    """Return for a 2xx; raise TransientError for what may pass with time, PermanentError for all else."""
    if 200 <= response.status < 300:  # noqa: PLR2004  the definition of success
        return
    said = f"{response.host} answered {response.status}"
    is_transient = response.status in TRANSIENT_STATUSES or response.status in also_transient
    if is_transient or response.status >= 500:  # noqa: PLR2004  server errors
        wish = response.headers.get("retry-after", "")
        raise TransientError(said, retry_after_seconds=parse_retry_after(wish, now=datetime.now(UTC)))
    raise PermanentError(said)


def parse_url(url: str) -> httpx.URL:
    """An absolute http or https URL; PermanentError, without the URL in it, for anything else."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, ValueError):  # their messages quote parts of the URL
        raise PermanentError("not a valid URL") from None
    if parsed.scheme not in {"http", "https"}:
        raise PermanentError("not an http or https URL")
    if not parsed.host or "%" in parsed.host:  # httpx escapes what no host name may hold
        raise PermanentError("a URL without a usable host")
    if parsed.port is not None and parsed.port not in range(1, 65536):
        raise PermanentError("a URL whose port is none")
    return parsed


def parse_retry_after(text: str, *, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header: a number of seconds or an HTTP date. None if it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # the second for an offset that no machine integer holds
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _read(host: str, answer: httpx.Response) -> OutboundResponse:
    if answer.status_code in REDIRECTS:
        raise PermanentError(f"{host} answered {answer.status_code}, a redirect, which is not followed")
    body, is_complete = bytearray(), True
    try:
        for chunk in answer.iter_raw():  # raw: a small compressed body can unpack to gigabytes
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                is_complete = False
                break
    except httpx.TransportError:  # with the status known, sending again would only send twice
        is_complete = False
    return OutboundResponse(
        host=host,
        status=answer.status_code,
        headers=dict(answer.headers),
        body=bytes(body[:MAX_BODY_BYTES]).decode(errors="replace"),
        is_complete=is_complete,
    )


@contextmanager
def _judging_failures(host: str, request: OutboundRequest) -> Iterator[None]:
    """Turn httpx's errors into ours. Never chained: their texts may quote the URL, headers or the answer."""
    try:
        yield
    except httpx.TimeoutException:
        raise TransientError(f"{host} did not answer within {request.timeout_seconds:g} s") from None
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, TypeError, ValueError):
        raise PermanentError(f"the request to {host} is malformed (host name, method or headers)") from None
    except httpx.TransportError as error:
        cause = _root_cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise PermanentError(f"{host}: TLS certificate refused: {cause.verify_message}") from None
        reason = getattr(cause, "strerror", None) or type(error).__name__
        raise TransientError(f"{host}: {reason}") from None


def _root_cause(error: httpx.TransportError) -> object:
    # httpcore keeps the operating system's error as its argument. Its __cause__ does not survive the pool,
    # and a __context__ may be another error altogether, one that our caller is handling.
    inner = error.__cause__
    return inner.args[0] if inner is not None and inner.args else error


@cache
def _client(pid: int, reach: Reach) -> httpx.Client:
    """The process's connection pool; by process id, since connections must not be shared over a fork.

    And by reach, since a connection is checked only when it is made.
    """
    del pid
    no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    client = httpx.Client(
        follow_redirects=False,
        cookies=no_cookies,
        headers={"User-Agent": "watchkeeper", "Accept-Encoding": "identity"},
    )
    _set_backend(client._transport, GuardedBackend(reach))  # noqa: SLF001  httpx has no public way in
    for pattern, proxy in client._mounts.items():  # noqa: SLF001
        if proxy is not None:  # the operator names the proxy, which may well be at a private address
            _set_backend(proxy, DeadlineBackend())
            client._mounts[pattern] = GuardedProxy(proxy, reach)  # noqa: SLF001
    for logger in LOGGERS:
        logging.getLogger(logger).addFilter(_is_not_ours)
    return client


def _set_backend(transport: httpx.BaseTransport, backend: DeadlineBackend) -> None:
    if not isinstance(transport, httpx.HTTPTransport):
        raise TypeError(f"no deadline can be kept over {type(transport).__name__}")
    transport._pool._network_backend = backend  # noqa: SLF001  nor has httpcore


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Whether a line of these logs is about somebody else's request, such as Prefect's."""
    del record
    return not is_running()
