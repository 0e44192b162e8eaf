"""Visiting a page, redirects included, within a time.

Takes 0.2 s to import, for httpcore and httpx: import it when there is something to visit.
"""

import base64
import ssl
import time

import httpcore
import httpx

from tasks.check.calls import HungError
from tasks.check.readings import x509
from tasks.check.readings.pages import Answer, DownError, Page, is_header_value
from tasks.deadline import DeadlineBackend, deadline
from tasks.errors import PermanentError
from tasks.http import REDIRECTS, parse_url
from tasks.secrets import resolve

MAX_BODY_BYTES = 1024**2
MAX_REDIRECTS = 5
OWN_HEADERS = {"user-agent": "watchkeeper", "accept": "*/*", "accept-encoding": "identity"}


def visit(page: Page, context: ssl.SSLContext, *, timeout_seconds: float) -> Answer:
    """The last answer. Raises DownError, HungError, and PermanentError or TransientError for unusable headers."""
    url = parse_url(page.url)
    headers = _headers(page, url)
    started = time.monotonic()
    try:
        with (
            deadline(timeout_seconds),
            httpcore.ConnectionPool(ssl_context=context, network_backend=DeadlineBackend()) as pool,
        ):
            for _ in range(1 + MAX_REDIRECTS):
                status, location, body = _exchange(pool, page.method, url, headers)
                if not location or status not in REDIRECTS or status in (page.expect_status or ()):
                    return Answer(status, body, round((time.monotonic() - started) * 1000, 1))
                url, headers = _redirected(url, location, headers)
    except httpcore.TimeoutException:
        raise HungError from None
    except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        cause = error.args[0] if error.args else None
        raise DownError(
            x509.why(cause) if isinstance(cause, OSError) else "breaks off, or does not speak HTTP"
        ) from None
    raise DownError(f"redirects more than {MAX_REDIRECTS} times")


def _headers(page: Page, url: httpx.URL) -> dict[str, str]:
    """The page's headers with lower-case names, secrets resolved, and credentials that stand in the URL."""
    headers = {}
    if url.userinfo:
        credentials = f"{url.username}:{url.password}".encode()
        headers["authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
    for name, value in resolve({"headers": page.headers})["headers"].items():
        if not isinstance(value, str) or not is_header_value(value):
            raise PermanentError(f"headers.{name} holds characters that no header may hold")
        headers[name.lower()] = value
    return headers


def _exchange(
    pool: httpcore.ConnectionPool, method: str, url: httpx.URL, headers: dict[str, str]
) -> tuple[int, str, bytes]:
    """Status, Location and body."""
    address = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    sent = {"host": url.netloc.decode(), **OWN_HEADERS, **headers}
    body = bytearray()
    with pool.stream(method, address, headers=list(sent.items())) as answer:
        for chunk in answer.iter_stream():
            body += chunk
            if len(body) >= MAX_BODY_BYTES:
                break
        location = {name.lower(): value for name, value in answer.headers}.get(b"location", b"")
        return answer.status, location.decode(errors="replace"), bytes(body[:MAX_BODY_BYTES])


def _redirected(url: httpx.URL, location: str, headers: dict[str, str]) -> tuple[httpx.URL, dict[str, str]]:
    try:
        target = parse_url(str(url.join(location)))
    except (PermanentError, httpx.InvalidURL, ValueError):
        raise DownError("redirects to what is no usable URL") from None
    is_trusted = target.host == url.host and (target.scheme == "https" or url.scheme == "http")
    return target, headers if is_trusted else {}
