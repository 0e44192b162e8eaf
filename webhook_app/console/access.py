"""Who looks at the console: a signed-in user, or while there are none, whoever sits at this machine."""

from dataclasses import dataclass
from ipaddress import ip_address

from flask import Flask, abort, flash, g, redirect, request, url_for
from flask_login import LoginManager, current_user
from werkzeug.wrappers import Response

from storage import users
from storage.vocabulary import Role
from webhook_app.access import TELLING
from webhook_app.console.paths import is_console_page, is_file, is_within
from webhook_app.console.sign_in import sessions
from webhook_app.console.sign_in.sign_ins import load
from webhook_app.locality import is_loopback, why_from_page, why_not_local
from webhook_app.state import state

SIGN_IN = "sign_in.login"
# What a viewer may change: their own.
OWN = frozenset({SIGN_IN, "sign_in.logout", "sign_in.password"})


@dataclass(frozen=True)
class Person:
    """Who makes the present request. `local` is anybody at this machine, while no user exists."""

    name: str
    role: Role
    is_local: bool = False

    @property
    def may_act(self) -> bool:
        """Whether the person may change anything."""
        return self.role is Role.OPERATOR


def install(app: Flask) -> None:
    """Ask every request for the console who makes it, before anything else of the console is asked."""
    sessions.install(app, app.config["WATCHKEEPER"])
    # Without its own context processor, which would ask the database again while that is away.
    manager = LoginManager(app, add_context_processor=False)
    manager.user_loader(load)
    # It would be by address, and a phone changes that between two pages.
    manager.session_protection = None

    @app.before_request
    def admit() -> Response | None:
        if not is_console_page() or is_file(request.path):
            return None
        found = _signed_in() or _without_users()
        if found is None:
            return None if request.endpoint == SIGN_IN else _to_sign_in()
        if request.method not in TELLING and not found.may_act and request.endpoint not in OWN:
            abort(403, "only an operator may do that; you are signed in as a viewer")
        g.console_person = found
        return None


def person() -> Person | None:
    """Who makes the present request; None: nobody that we know."""
    found: Person | None = g.get("console_person")
    return found


def may_act() -> bool:
    """Whether the person of the present request may change anything."""
    who = person()
    return who is not None and who.may_act


def operator() -> Person:
    """Who acts. Whoever may only look is refused, also a form."""
    who = person()
    if who is None or not who.may_act:
        abort(403, "only an operator may do that")
    return who


def address() -> str:
    """Where the present request comes from, as far as is known: a proxy on this machine says it last of all."""
    remote = request.remote_addr or ""
    named = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].partition("%")[0].strip()
    try:
        return str(ip_address(named)) if is_loopback(remote) else remote
    except ValueError:
        return remote


def _signed_in() -> Person | None:
    return Person(current_user.name, current_user.role) if current_user.is_authenticated else None


def _without_users() -> Person | None:
    """Whoever is on this machine, while there is no user; None where somebody has to sign in."""
    with state().database.read() as session:
        if users.has_any(session):
            return None
    reason = why_not_local(request.environ)
    if not reason and request.method not in TELLING:
        reason = why_from_page(request.environ)
    if reason:
        abort(
            403,
            "the console has no user yet, so only whoever is on the machine of Watchkeeper may look: "
            f"{reason}. `watchkeeper users add NAME` there adds the first user, who may sign in from elsewhere",
        )
    return Person(users.LOCAL, Role.OPERATOR, is_local=True)


def _to_sign_in() -> Response:
    if request.method in TELLING:
        wanted = request.full_path.removesuffix("?")
    else:
        wanted = request.form.get("url", "")
        flash("you are no longer signed in, and nothing was done: sign in and do it again", "refused")
    return redirect(url_for(SIGN_IN, next=wanted if is_within(wanted) else None), 303)
