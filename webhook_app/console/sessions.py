"""The console's cookie. Webhooks, the API and static files have none."""

import threading
from datetime import timedelta

from flask import Flask, Request, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from storage.settings import Settings
from webhook_app.console import secret_key
from webhook_app.console.paths import PREFIX, STATIC, is_page
from webhook_app.locality import why_not_local

NAME = "watchkeeper_session"
# From the last page on.
IDLE = timedelta(hours=12)


class ConsoleSessions(SecureCookieSessionInterface):
    """Reads the key when the first page is asked for, so that an app without visitors writes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading = threading.Lock()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """See SessionInterface."""
        if not is_page(request.path) or request.path.startswith(STATIC):
            return None
        if not app.secret_key:
            with self._loading:
                app.secret_key = app.secret_key or secret_key.load(self._settings)
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002  (Flask's own)
        """Where people come by HTTPS, over nothing else; but for a browser on this machine, which needs none."""
        is_https = self._settings.public_url.casefold().startswith("https:")
        return is_https and bool(why_not_local(request.environ))


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
