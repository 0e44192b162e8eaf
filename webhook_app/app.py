"""The Flask app."""

import logging

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from storage import settings as settings_room
from storage.database import Database, default_url
from storage.settings import Settings
from webhook_app import access, places
from webhook_app.alerts import alerts
from webhook_app.answers import error_answer
from webhook_app.channels import channels
from webhook_app.console import install as console
from webhook_app.console import pages as console_pages
from webhook_app.console.paths import is_console_page
from webhook_app.definitions import definitions
from webhook_app.deliveries import deliveries
from webhook_app.incident_actions import incident_actions
from webhook_app.incidents import incidents
from webhook_app.intelligence import intelligence
from webhook_app.metrics import metrics
from webhook_app.notifications import notifications
from webhook_app.notify import notify
from webhook_app.openapi.page import openapi
from webhook_app.orchestration import orchestration
from webhook_app.routes import routes
from webhook_app.run_orders import run_orders
from webhook_app.state import AppState
from webhook_app.webhook import answer_http_error, webhook

log = logging.getLogger("watchkeeper.receiver")


def create_app(settings: Settings | None = None, database: Database | None = None) -> Flask:
    """The receiver and its API over a database (by default the configured one)."""
    current = settings or settings_room.load()
    app = Flask(__name__, static_folder=None)
    app.config["WATCHKEEPER"] = current
    app.config["MAX_CONTENT_LENGTH"] = current.max_body_bytes
    # A URL without its last slash is served too: few senders follow a redirect with their webhook.
    app.url_map.strict_slashes = False
    app.extensions["watchkeeper"] = AppState(current, database or Database(default_url(current)))
    access.install(app)
    app.register_blueprint(webhook)
    app.register_blueprint(deliveries)
    app.register_blueprint(alerts)
    app.register_blueprint(incidents)
    app.register_blueprint(incident_actions)
    app.register_blueprint(intelligence)
    app.register_blueprint(notifications)
    app.register_blueprint(notify)
    app.register_blueprint(channels)
    app.register_blueprint(metrics)
    app.register_blueprint(orchestration)
    app.register_blueprint(run_orders)
    app.register_blueprint(definitions)
    app.register_blueprint(routes)
    app.register_blueprint(openapi)
    places.install(app)
    console.install(app)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(SQLAlchemyError, _answer_database_error)
    app.register_error_handler(Exception, _answer_fault)
    return app


def _answer_http_error(error: HTTPException) -> Response:
    if is_console_page() and error.code:
        return console_pages.error_page(error.code, error.description or error.name)
    return answer_http_error(error)


def _answer_database_error(error: SQLAlchemyError) -> Response:
    log.warning("database away", extra={"error": type(error).__name__})
    if is_console_page():
        return console_pages.error_page(503, "the database is away, or took too long; try again")
    response = error_answer(503, "the database is away, try again")
    response.headers["Retry-After"] = "5"
    return response


def _answer_fault(error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    if is_console_page():
        return console_pages.error_page(500, "internal error; the log has the details")
    return error_answer(500, "internal error; the log has the details")
