"""Who may post and who may read. Where no secret is configured for something, only this machine may."""

import hmac
import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, cast

from flask import Response, current_app, g, request
from flask.sansio.app import App

from tasks.ingest.sources import SOURCES
from webhook_app import exposure
from webhook_app.answers import error_answer
from webhook_app.credentials import Tokens, bearer
from webhook_app.keyring import ENTRIES, TOKEN, Keyring
from webhook_app.live_keyring import LiveKeyring
from webhook_app.locality import why_from_page, why_not_local
from webhook_app.refusals import RefusalLog

P = ParamSpec("P")

KEYRING = "watchkeeper.keyring"
REFUSALS = "watchkeeper.refusals"
REALM = 'realm="watchkeeper"'
# Methods that change nothing.
TELLING = frozenset({"GET", "HEAD", "OPTIONS"})
# What a secret may be called in a query string, where it is never read.
QUERY_NAMES = frozenset({"access_token", "api_key", "apikey", "auth", "key", "password", "secret", "token"})

log = logging.getLogger("watchkeeper.receiver")
clock = time.time


def install(app: App) -> None:
    """Read the credentials. Raises SettingsError for what cannot be used."""
    settings = app.config["WATCHKEEPER"]
    app.extensions[KEYRING] = LiveKeyring(settings)
    app.extensions[REFUSALS] = RefusalLog()
    for note in exposure.notes(settings, app.extensions[KEYRING].current()):
        log.warning(note)


def require_webhook_credentials(view: Callable[P, Response]) -> Callable[P, Response]:
    """Let in who proves to be a sender of the source in the URL, or where that names none, of any source.

    Which sources the sender is good for is kept for `may_post_as`. The body is read, but not parsed.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        ring = cast("LiveKeyring", current_app.extensions[KEYRING]).current()
        source = str(kwargs.get("source", ""))
        candidates = [(ring.of(source), frozenset({source}))] if source in SOURCES else ring.all
        g.may_post_as = frozenset[str]().union(*(sources for tokens, sources in candidates if _admits(tokens)))
        if not g.may_post_as:
            return _refuse_sender(ring, source, [tokens for tokens, _ in candidates])
        return view(*args, **kwargs)

    return guarded


def may_post_as(source: str) -> bool:
    """Whether the sender of the present request proved to be one of this source's."""
    return source in g.may_post_as


def refuse_as(source: str) -> Response:
    """The answer to a sender whose body turned out to be another source's than its credentials."""
    return _refuse_logged(source, f"this is a body of {source}, and no valid credential for {source} came with it")


def log_refusal(status: int, source: str, reason: str) -> None:
    """Say in the log that a webhook was refused, with no name that a stranger made up."""
    refusals: RefusalLog = current_app.extensions[REFUSALS]
    refusals.note(status, source if source in SOURCES else "none", reason)


def require_api_token(view: Callable[P, Response]) -> Callable[P, Response]:
    """Let in bearers of WATCHKEEPER_API_TOKEN; without one, this machine only.

    Web pages elsewhere may then look, which browsers let them do to no avail, but have nothing done.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        token: str = current_app.config["WATCHKEEPER"].api_token
        if token:
            if not hmac.compare_digest(bearer(request.headers), token.encode()):
                return _refuse(
                    f"a valid token is needed, as Authorization: Bearer{_url_note()}", schemes=("Bearer",)
                )
        elif reason := why_not_local(request.environ):
            return _refuse_reader(reason)
        elif request.method not in TELLING and (refusal := refuse_page()):
            return refusal
        return view(*args, **kwargs)

    return guarded


def refuse_page() -> Response | None:
    """The answer to a web page elsewhere, such as another local port's; None where a token is set."""
    reason = "" if current_app.config["WATCHKEEPER"].api_token else why_from_page(request.environ)
    return _refuse_reader(reason) if reason else None


def _refuse_reader(reason: str) -> Response:
    return _refuse(f"no {exposure.API_TOKEN} is set, so only this machine may: {reason}", schemes=("Bearer",))


def _admits(tokens: Tokens | None) -> bool:
    if tokens is None:
        return not why_not_local(request.environ)
    return tokens.admit(request.headers, request.get_data(), now=clock())


def _refuse_sender(ring: Keyring, source: str, candidates: list[Tokens | None]) -> Response:
    ways = dict.fromkeys(way for tokens in candidates if tokens for way in tokens.ways)
    if not ways:
        reason = why_not_local(request.environ)
        return _refuse_logged(
            source,
            f"no secret is configured for this ({TOKEN}, {ENTRIES}), so only this machine may post: {reason}",
        )
    has_own = ring.token is not None and source in ring.entries
    instead = f"; not {TOKEN}, because {source} has credentials of its own" if has_own else ""
    return _refuse_logged(
        source, f"no valid credential; one of these is needed: {', '.join(ways)}{instead}{_url_note()}"
    )


def _refuse_logged(source: str, reason: str) -> Response:
    log_refusal(401, source, reason)
    return _refuse(reason)


def _url_note() -> str:
    if QUERY_NAMES.isdisjoint(name.lower() for name in request.args):
        return ""
    return ". What stands in the URL is not read, because URLs end in logs"


def _refuse(reason: str, *, schemes: tuple[str, ...] = ("Bearer", "Basic")) -> Response:
    response = error_answer(401, reason)
    response.headers["WWW-Authenticate"] = ", ".join(f"{scheme} {REALM}" for scheme in schemes)
    return response
