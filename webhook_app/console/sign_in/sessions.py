"""The console's cookie. Webhooks, the API and static files have none."""

import threading
from datetime import timedelta

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from storage.settings import Settings
from webhook_app.console.paths import PREFIX, is_file, is_page
from webhook_app.console.sign_in import secret_key
from webhook_app.locality import why_not_local

NAME = "watchkeeper_session"
# From the last page on.
IDLE = timedelta(hours=12)
# Where Flask keeps what `flash` is given.
FLASHES = "_flashes"
MESSAGES_KEPT = 5
# A little under what browsers take, for the name: https://datatracker.ietf.org/doc/html/rfc6265#section-6.1
COOKIE_MAX_BYTES = 3900


class ConsoleSessions(SecureCookieSessionInterface):
    """Reads the key when the first page is asked for, so that an app without visitors writes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading = threading.Lock()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """See SessionInterface."""
        if not is_page(request.path) or is_file(request.path):
            return None
        if not app.secret_key:
            with self._loading:
                app.secret_key = app.secret_key or secret_key.load(self._settings)
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """See SessionInterface. Messages are cut to what a cookie holds: browsers drop a longer one unsaid."""
        serializer = self.get_signing_serializer(app)
        while serializer and session.get(FLASHES) and len(serializer.dumps(dict(session))) > COOKIE_MAX_BYTES:
            session[FLASHES] = _shorter(session[FLASHES])
        super().save_session(app, session, response)

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002  (Flask's own)
        """Where people come by HTTPS, over nothing else; but for a browser on this machine, which needs none."""
        is_public = self._settings.public_url.casefold().startswith("https:")
        is_said = request.headers.get("X-Forwarded-Proto", "").casefold() == "https"
        return (is_public or is_said) and bool(why_not_local(request.environ))


def _shorter(messages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The last few, the longest of them cut by half."""
    last = messages[-MESSAGES_KEPT:]
    longest = max(len(text) for _, text in last)
    return [(kind, text if len(text) < longest else f"{text[: longest // 2]}…") for kind, text in last]


def install(app: Flask, settings: Settings) -> None:
    """Give the app its cookie."""
    app.session_interface = ConsoleSessions(settings)
    app.config.update(
        SESSION_COOKIE_NAME=NAME,
        SESSION_COOKIE_PATH=PREFIX,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=IDLE,
    )
