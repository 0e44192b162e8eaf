"""Signing in and out."""

from flask import Blueprint, Flask, Response, flash, make_response, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from storage import users
from storage.tables import User
from webhook_app.console.access import person
from webhook_app.console.paths import PREFIX, is_within
from webhook_app.console.sign_in import password, sign_ins, tries
from webhook_app.places import trying
from webhook_app.state import state

SIGNED_IN = "sign in"
SIGNED_OUT = "sign out"
# The same whatever was wrong: who has no account must not learn who has one.
WRONG = "name or password: not right"

sign_in = Blueprint("sign_in", __name__, url_prefix=PREFIX)
sign_in.add_url_rule("/password/", "password", password.change, methods=("GET", "POST"))


def install(app: Flask) -> None:
    """Add the pages."""
    tries.install(app)
    app.register_blueprint(sign_in)


@sign_in.route("/login/", methods=("GET", "POST"))
def login() -> AnyResponse:
    """Sign in by name and password, and go on to where one wanted to."""
    if person():
        return redirect(_wanted())
    if request.method == "GET":
        return _page(200)
    with trying():
        return _try(request.form.get("name", "").strip())


@sign_in.post("/logout/")
def logout() -> AnyResponse:
    """Sign out here and wherever else: a cookie that was copied is worth nothing any more."""
    if current_user.is_authenticated:
        with state().database.write() as session:
            user = session.get(User, current_user.user_id)
            if user:
                users.end_sign_ins(session, user)
                tries.done(session, user, SIGNED_OUT)
    sign_ins.end()
    flash("you are signed out, here and wherever else you were signed in", "done")
    return redirect(url_for("sign_in.login"), 303)


def _try(name: str) -> AnyResponse:
    if wait_seconds := tries.take(name, SIGNED_IN):
        return tries.held(_page(429, fault=tries.told(wait_seconds)), wait_seconds)
    with state().database.read() as session:
        user = users.find(session, name)
    if not tries.is_right(user, request.form.get("password", ""), name=name, action=SIGNED_IN) or user is None:
        return _page(403, fault=WRONG)
    with state().database.write() as session:
        users.note_sign_in(session, user.id)
        tries.done(session, user, SIGNED_IN)
    sign_ins.begin(user)
    return redirect(_wanted(), 303)


def _wanted() -> str:
    wanted = request.values.get("next", "")
    own = (url_for("sign_in.login"), url_for("sign_in.logout"))
    return wanted if is_within(wanted) and not wanted.startswith(own) else url_for("dashboard.index")


def _page(status: int, *, fault: str = "") -> Response:
    name, wanted = request.form.get("name", ""), request.values.get("next", "")
    return make_response(render_template("console/login.html", fault=fault, name=name, next=wanted), status)
