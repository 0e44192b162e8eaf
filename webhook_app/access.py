"""Who may post and read. Without a configured token only this machine may."""

import hmac
from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address
from typing import ParamSpec

from flask import Response, current_app, request

from webhook_app.answers import error_answer

P = ParamSpec("P")


def require_webhook_token(view: Callable[P, Response]) -> Callable[P, Response]:
    """Let in bearers of WATCHKEEPER_WEBHOOK_TOKEN; without one, loopback only."""
    return _require(view, "webhook_token")


def require_api_token(view: Callable[P, Response]) -> Callable[P, Response]:
    """Let in bearers of WATCHKEEPER_API_TOKEN; without one, loopback only."""
    return _require(view, "api_token")


def is_loopback(address: str | None) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return address == "localhost"


def _require(view: Callable[P, Response], setting: str) -> Callable[P, Response]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        token: str = getattr(current_app.config["WATCHKEEPER"], setting)
        if token:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode(), token.encode()):
                return error_answer(401, "a valid token is needed: Authorization: Bearer …")
        elif not is_loopback(request.remote_addr):
            return error_answer(
                401, f"no token is configured (WATCHKEEPER_{setting.upper()}), so only this machine may"
            )
        return view(*args, **kwargs)

    return guarded
