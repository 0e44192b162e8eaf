"""A console with rows and one user, and people who look at it in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console_rows import add_console_rows
from databases import fresh_sqlite
from flask import Flask
from playwright.sync_api import Browser, Page, StorageState, ViewportSize

from storage import users
from storage.database import Database
from storage.settings import Settings
from storage.vocabulary import Role
from webhook_app.app import create_app

NAME, PASSWORD = "mira", "a long enough password"
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 360, "height": 740},
}


@contextmanager
def console_with_rows(home: Path) -> Iterator[Flask]:
    """The app over a database that has something of everything."""
    with fresh_sqlite(home) as database_url:
        database = Database(database_url)
        add_console_rows(database)
        with database.write() as session:
            users.add(session, name=NAME, password_hash=users.hash_password(PASSWORD), role=Role.OPERATOR)
        yield create_app(Settings(home=home), database)
        database.dispose()


class Visitor:
    """Somebody with a browser: signed in, or a stranger."""

    def __init__(self, browser: Browser, url: str, state: StorageState | None = None) -> None:
        self._browser, self._url, self._state = browser, url, state

    @contextmanager
    def page(self, size: str = "desktop", **more: Any) -> Iterator[Page]:
        """A page on a screen of that size."""
        is_phone = size == "phone"
        with self._browser.new_context(
            base_url=self._url,
            viewport=SIZES[size],
            has_touch=is_phone,
            is_mobile=is_phone,
            storage_state=self._state,
            **more,
        ) as context:
            yield context.new_page()


def sign_in(browser: Browser, url: str) -> Visitor:
    """The operator, who has signed in."""
    with Visitor(browser, url).page() as page:
        page.goto("/admin/login/")
        page.get_by_label("Name").fill(NAME)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Dashboard").wait_for()
        return Visitor(browser, url, page.context.storage_state())
