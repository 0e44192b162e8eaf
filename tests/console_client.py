"""The console as a person uses it, without a browser: pages are fetched, and forms sent with their token."""

from functools import cache
from typing import Any

from flask import Flask, session
from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf
from werkzeug.test import TestResponse

from storage import users
from storage.database import Database
from storage.vocabulary import Role

PAGE = "/admin/"
PASSWORD = "correct horse battery"


class Console:
    """One person at one browser: cookies are kept, and `address` is where it stands."""

    def __init__(self, app: Flask, *, address: str = "127.0.0.1") -> None:
        self.client: FlaskClient = app.test_client()
        self.client.environ_base["REMOTE_ADDR"] = address
        self._app = app

    def get(self, path: str, **options: Any) -> TestResponse:
        """A page; see FlaskClient.get."""
        return self.client.get(path, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send a form, with a valid token; a list in `data` is several values of one name."""
        return self.client.post(path, data={"csrf_token": self.token(), **(data or {})}, **options)

    def token(self) -> str:
        """A token as the forms of this browser's pages hold it."""
        with self.client.session_transaction(PAGE) as held, self._app.test_request_context(PAGE):
            session.update(held)
            token: str = generate_csrf()
            held.update(session)
        return token

    def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> TestResponse:
        """Sign in as this user. What came of it is the answer; 303 is success."""
        return self.post("/admin/login/", {"name": name, "password": password, **more})

    def sign_out(self) -> TestResponse:
        """Sign out."""
        return self.post("/admin/logout/")


def console(app: Flask, *, address: str = "127.0.0.1") -> Console:
    """A browser at the console; without any user, and from this machine, it may do everything."""
    return Console(app, address=address)


def add_user(database: Database, name: str = "Ann", role: Role = Role.OPERATOR) -> int:
    """A user with PASSWORD. Returns the id. The first one must be an operator."""
    with database.write() as writing:
        return users.add(writing, name=name, role=role, password_hash=_hashed()).id


@cache
def _hashed() -> str:
    return users.hash_password(PASSWORD)
