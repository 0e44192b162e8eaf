"""The console as a part of the app: its pages, who may see them, and the headers that guard them."""

from flask import Flask, redirect, url_for
from flask_admin import Admin
from flask_admin.theme import Theme
from werkzeug.wrappers import Response

from webhook_app.console import access, pages
from webhook_app.console.dashboard import Dashboard
from webhook_app.console.views import VIEWS


def install(app: Flask) -> None:
    """Add every page of the console."""
    access.install(app)
    pages.install(app)
    admin = Admin(
        app,
        name="Watchkeeper",
        url=pages.PREFIX,
        index_view=Dashboard(name="Dashboard", endpoint="dashboard", url=pages.PREFIX),
        theme=Theme(folder="none", base_template="console/base.html"),
    )
    for view in VIEWS:
        admin.add_view(view())

    @app.get("/")
    def home() -> Response:
        """The console."""
        return redirect(url_for("dashboard.index"))
