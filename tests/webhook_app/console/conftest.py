"""A browser for each module of tests that look at pages, and a console for them to look at."""

from collections.abc import Iterator

import pytest
from browser import open_browser, serve
from console_visitor import Visitor, console_with_rows, sign_in
from flask import Flask
from playwright.sync_api import Browser


# Once a module, not once a session: while Playwright runs, its loop keeps asyncio.run from the tests beside it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; each test takes contexts of its own from it."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def filled_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The app over a database that has something of everything, and one user; tests leave its rows as they are."""
    with console_with_rows(tmp_path_factory.mktemp("console")) as app:
        yield app


@pytest.fixture(scope="module")
def console_url(filled_console: Flask) -> Iterator[str]:
    """Where that console is."""
    with serve(filled_console) as url:
        yield url


@pytest.fixture(scope="module")
def stranger(browser: Browser, console_url: str) -> Visitor:
    """Somebody who has not signed in there."""
    return Visitor(browser, console_url)


@pytest.fixture(scope="module")
def operator(browser: Browser, console_url: str) -> Visitor:
    """Somebody who has, and may act."""
    return sign_in(browser, console_url)
