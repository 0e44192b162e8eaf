"""Changing one's own password."""

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from storage import users
from storage.tables import User
from storage.users import UserValueError
from webhook_app.console.sign_in import sign_ins, tries
from webhook_app.places import trying
from webhook_app.state import state

ACTION = "change password"


def change() -> AnyResponse:
    """Ask for the present and the new one; with that one's sign-ins elsewhere end."""
    if not current_user.is_authenticated:
        flash("there is no user yet, so nobody has a password: `watchkeeper users add NAME` adds one", "refused")
        return redirect(url_for("dashboard.index"), 303)
    if request.method == "GET":
        return _page(200)
    with trying():
        return _try()


def _try() -> AnyResponse:
    if wait_seconds := tries.take(current_user.name, ACTION):
        return tries.held(_page(429, current=tries.told(wait_seconds)), wait_seconds)
    with state().database.read() as session:
        user = session.get(User, current_user.user_id)
    given = request.form.get("current", "")
    if not tries.is_right(user, given, name=current_user.name, action=ACTION) or user is None:
        return _page(400, current="current password: not right")
    return _to_new(user, request.form.get("new", ""), request.form.get("again", ""))


def _to_new(known: User, new: str, again: str) -> AnyResponse:
    try:
        users.check_password(new)
    except UserValueError as error:
        return _page(400, new=f"new {error}")
    if new != again:
        return _page(400, again="again: not the same as the new password")
    password_hash = users.hash_password(new)
    with state().database.write() as session:
        user = session.get(User, known.id, with_for_update=True)
        # Whoever was given another password meanwhile, or was switched off, has not said the one that holds.
        is_same = user is not None and user.generation == known.generation
        if user and is_same:
            users.set_password(session, user, password_hash)
            tries.done(session, user, ACTION)
    if user and is_same:
        sign_ins.begin(user)
        flash("you have a new password; wherever else you were signed in, you no longer are", "done")
    return redirect(url_for("dashboard.index"), 303)


def _page(status: int, **faults: str) -> Response:
    page = render_template("console/password.html", faults=faults, min_chars=users.PASSWORD_MIN_CHARS)
    return make_response(page, status)
