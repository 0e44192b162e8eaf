"""Whether a request comes from this machine itself, which is all that is let in while no secret is configured.

The address alone does not say so: a proxy, or a browser with somebody's web page in it, may stand between.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

# Headers that proxies and tunnels add. One that adds none cannot be told from this machine.
PROXY_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
    "HTTP_VIA",
)
# Another port or another name of this machine is same-site, and may be anybody's.
ELSEWHERE = frozenset({"cross-site", "same-site"})


def is_loopback(address: str | None) -> bool:
    """Whether an address is this machine's own. Of names, only localhost is sure to be."""
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return (address or "").casefold() == "localhost"


def why_not_local(environ: Mapping[str, Any]) -> str:
    """Why a request (as WSGI has it) does not count as this machine's own; empty if it does."""
    if not is_loopback(environ.get("REMOTE_ADDR")):
        return "this request comes from another address"
    if any(name in environ for name in PROXY_HEADERS):
        return "this request came through a proxy"
    # A page in a browser on this machine can post here; the browser adds where the page came from.
    if "HTTP_ORIGIN" in environ and not is_loopback(_host(environ["HTTP_ORIGIN"])):
        return "this request comes from a web page (its Origin is not this machine)"
    # A name that its owner points at 127.0.0.1 makes a page here and this receiver look like one site.
    if "HTTP_HOST" in environ and not is_loopback(_host(f"//{environ['HTTP_HOST']}")):
        return "this request's Host header does not name this machine as localhost or by a loopback address"
    return ""


def why_from_page(environ: Mapping[str, Any]) -> str:
    """Why a request (as WSGI has it) is a web page's elsewhere, which wants no more than that it is made.

    Browsers send no Origin with what a page merely embeds, but say since 2023 whose page it is:
    https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site. Empty if it is not.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE", "")
    return f"this request comes from a web page elsewhere (Sec-Fetch-Site: {site})" if site in ELSEWHERE else ""


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
