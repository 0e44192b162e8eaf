"""The dashboard brings itself up to date without losing the reader's place, and says when it cannot."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import serve
from playwright.sync_api import Browser, Page, expect
from rows import add_delivery, add_incident

from storage import users
from storage.database import Database
from storage.settings import Settings
from storage.vocabulary import Role
from webhook_app.app import create_app

# One kind does: nothing here is about the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(f"{url}/admin/")
    yield page
    context.close()


@pytest.fixture
def page(database: Database, tmp_path: Path, browser: Browser) -> Iterator[Page]:
    """The dashboard of an installation that has had one webhook."""
    with database.write() as session:
        add_delivery(session)
    with serve(create_app(Settings(home=tmp_path), database)) as url, opened(browser, url) as page:
        page.evaluate("window.isTheSamePage = true")
        yield page


def add(database: Database, title: str) -> None:
    with database.write() as session:
        add_incident(session, title=title)


def test_a_new_incident_comes_by_itself(database: Database, page: Page) -> None:
    page.clock.install()
    page.reload()
    add(database, "Disk full on db-7")

    page.clock.fast_forward(16_000)

    expect(page.get_by_role("link", name="Disk full on db-7")).to_be_visible()


def test_a_page_that_is_paused_stays_as_it_is(database: Database, page: Page) -> None:
    page.clock.install()
    page.reload()
    page.get_by_role("button", name="Pause").click()
    add(database, "Disk full on db-7")

    page.clock.fast_forward(60_000)

    expect(page.locator("#freshness")).to_contain_text("paused")
    expect(page.get_by_role("link", name="Disk full on db-7")).to_have_count(0)


def test_what_is_open_focused_and_scrolled_to_stays(database: Database, page: Page) -> None:
    page.locator("#deliveries-table summary").click()
    page.locator("#deliveries-table .scroll").evaluate("each => each.scrollTop = 90")
    page.locator("#deliveries-table summary").focus()
    page.evaluate("{ scrollTo({top: 300, behavior: 'instant'}) }")
    before = page.evaluate("scrollY")
    with database.write() as session:
        add_delivery(session)

    page.evaluate("ask()")

    expect(page.locator("#deliveries-chart .legend").first).to_contain_text("2 received")
    assert page.evaluate("document.activeElement.textContent") == "As a table"
    assert page.locator("#deliveries-table").evaluate("each => each.open")
    assert page.locator("#deliveries-table .scroll").evaluate("each => each.scrollTop") == 90
    assert page.evaluate("scrollY") == before > 100
    assert page.evaluate("window.isTheSamePage")


def test_a_panel_in_which_somebody_marks_text_waits(database: Database, page: Page) -> None:
    page.evaluate("getSelection().selectAllChildren(document.getElementById('incidents-title'))")
    add(database, "Disk full on db-7")

    page.evaluate("ask()")
    waiting = page.get_by_role("link", name="Disk full on db-7").count()
    page.evaluate("getSelection().removeAllRanges()")
    page.evaluate("ask()")

    assert waiting == 0
    expect(page.get_by_role("link", name="Disk full on db-7")).to_be_visible()


def test_a_panel_without_news_is_left_alone(page: Page) -> None:
    page.wait_for_function("ask().then(() => !document.querySelector('.counting'))")
    page.evaluate("for (const each of document.querySelectorAll('[data-panel]')) each.isTheOldOne = true")

    page.evaluate("ask()")

    renewed = (
        "[...document.querySelectorAll('[data-panel]')].filter(each => !each.isTheOldOne).map(each => each.id)"
    )
    assert page.evaluate(renewed) == []


def test_a_server_that_does_not_answer_is_said_until_it_does(page: Page) -> None:
    page.route("**/admin/?part=panels*", lambda route: route.abort())
    page.evaluate("ask()")
    expect(page.get_by_text("the server does not answer")).to_be_visible()

    page.unroute("**/admin/?part=panels*")
    page.get_by_role("link", name="Refresh").click()

    expect(page.get_by_text("Not updated since")).to_have_count(0)


def test_who_is_signed_out_meanwhile_is_told_so(database: Database, page: Page) -> None:
    with database.write() as session:
        users.add(session, name="mira", password_hash="x", role=Role.OPERATOR)

    page.evaluate("ask()")

    expect(page.get_by_text("You are signed out")).to_be_visible()
    page.get_by_role("link", name="Sign in again").click()
    page.wait_for_url("**/admin/login/**")
