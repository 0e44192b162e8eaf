"""The console as a part of the app: its pages, who may see them, and the headers that guard them."""

from flask import Flask, redirect, url_for
from flask_admin import Admin
from flask_admin.theme import Theme
from werkzeug.wrappers import Response

from webhook_app.console import access, pages
from webhook_app.console.dashboard.page import Dashboard
from webhook_app.console.paths import PREFIX
from webhook_app.console.search_page import search_page
from webhook_app.console.sign_in import login
from webhook_app.console.views import VIEWS
from webhook_app.console.views.runs import redirect_to_run


def install(app: Flask) -> None:
    """Add every page of the console."""
    access.install(app)
    pages.install(app)
    login.install(app)
    admin = Admin(
        app,
        name="Watchkeeper",
        url=PREFIX,
        index_view=Dashboard(name="Dashboard", endpoint="dashboard", url=PREFIX),
        theme=Theme(folder="none", base_template="console/base.html"),
    )
    views = [view() for view in VIEWS]
    for view in views:
        admin.add_view(view)
    app.add_url_rule(f"{PREFIX}/search/", "search", lambda: search_page(views))
    app.add_url_rule(f"{PREFIX}/run/<run_id>/", "run_by_id", redirect_to_run)

    @app.get("/")
    def home() -> Response:
        """The console."""
        return redirect(url_for("dashboard.index"))
