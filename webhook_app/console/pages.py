"""What every page of the console has: templates, static files, strict headers, and errors as pages."""

from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, make_response, render_template, request
from flask_wtf.csrf import CSRFProtect

from webhook_app.console import access, formats

HERE = Path(__file__).parent
PREFIX = "/admin"
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
    csrf = CSRFProtect(app)

    @app.before_request
    def check() -> None:
        if is_console_page():
            csrf.protect()

    @app.context_processor
    def shared() -> dict[str, Any]:
        return {"person": access.person()} if is_console_page() else {}

    @app.after_request
    def guard(response: Response) -> Response:
        if is_console_page():
            response.headers.extend(
                (name, value) for name, value in HEADERS.items() if name not in response.headers
            )
            if request.endpoint != "console.static":
                response.headers["Cache-Control"] = "no-store"
        return response


def is_console_page() -> bool:
    """Whether the present request is for a page of the console, which answers in HTML."""
    return is_page(request.path)


def is_page(path: str) -> bool:
    """Whether that is the path of a page of the console."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def error_page(status: int, message: str) -> Response:
    """An error in words, with the way back."""
    return make_response(render_template("console/error.html", status=status, message=message), status)


def prefect_url(flow_run_id: str | None) -> str:
    """The page of a flow run in the Prefect UI; empty where there is none."""
    url: str = current_app.config["WATCHKEEPER"].flow_run_url(flow_run_id)
    return url
