"""What every page of the console has: templates, static files, strict headers, and errors as pages."""

from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, make_response, render_template, request
from flask_wtf.csrf import CSRFError, CSRFProtect

from webhook_app.console import access, formats
from webhook_app.console.menu import menu
from webhook_app.console.paths import PREFIX, is_console_page, is_file

HERE = Path(__file__).parent
# What a form says whose token is missing, another's, or older than the sign-in.
STALE_FORM = (
    "this form was not made by the page that you see now, so nothing was done: go back, load the page again, and "
    "send it once more. If that goes on, your browser keeps no cookie from here"
)
# Nothing but our own files; nobody may frame a page or have a form of ours sent elsewhere.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def install(app: Flask) -> None:
    """Serve the console's files and guard its answers."""
    app.register_blueprint(
        Blueprint(
            "console",
            __name__,
            url_prefix=PREFIX,
            template_folder=str(HERE / "templates"),
            static_folder=str(HERE / "static"),
            static_url_path="/static",
        )
    )
    app.jinja_env.filters.update(formats.FILTERS)

    # Asked for by `check`, on pages of the console alone: senders and the API have no such token.
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    # Behind a proxy there is no telling whether the browser came by HTTPS.
    app.config["WTF_CSRF_SSL_STRICT"] = False
    csrf = CSRFProtect(app)
    app.register_error_handler(CSRFError, lambda _error: error_page(400, STALE_FORM))

    @app.before_request
    def check() -> None:
        if is_console_page() and not is_file(request.path):
            csrf.protect()

    @app.context_processor
    def shared() -> dict[str, Any]:
        return {"person": access.person(), "menu": menu} if is_console_page() else {}

    @app.after_request
    def guard(response: Response) -> Response:
        if is_console_page():
            response.headers.extend(
                (name, value) for name, value in HEADERS.items() if name not in response.headers
            )
            if not is_file(request.path):
                response.headers["Cache-Control"] = "no-store"
        return response


def error_page(status: int, message: str) -> Response:
    """An error in words, with the way back."""
    return make_response(render_template("console/error.html", status=status, message=message), status)


def prefect_url(flow_run_id: str | None) -> str:
    """The page of a flow run in the Prefect UI; empty where there is none."""
    url: str = current_app.config["WATCHKEEPER"].flow_run_url(flow_run_id)
    return url
