"""A list goes on where its last page ended, until every row was shown once."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from console_client import Console, console
from databases import PostgresServer
from filled import Size, fill
from sqlalchemy import text

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app
from webhook_app.console import table_view
from webhook_app.console.views import VIEWS

ROWS = 120
NEXT = re.compile(r'<a[^>]* rel="next" href="([^"]+)"')


def test_next_pages_lead_through_every_list_to_its_end(database: Database, tmp_path: Path) -> None:
    fill(database, Size(alerts=ROWS, runs=ROWS, settings=ROWS))
    browser = console(create_app(Settings(home=tmp_path), database))

    lengths = {view().url: _count_pages(browser, f"/admin/{view().url}/") for view in VIEWS}

    assert lengths["alerts"] == 3
    assert all(length >= 1 for length in lengths.values())


def test_next_pages_show_each_alert_once(database: Database, tmp_path: Path) -> None:
    fill(database, Size(alerts=ROWS, runs=20))
    browser = console(create_app(Settings(home=tmp_path), database))

    shown: list[str] = []
    path = "/admin/alerts/"
    while path:
        page = browser.get(path).text
        shown += re.findall(r'href="/admin/alerts/details/\?id=(\d+)"', page)
        path = _next(page)

    assert sorted(map(int, shown)) == list(range(1, ROWS + 1))


def _count_pages(browser: Console, path: str) -> int:
    pages = 0
    while path:
        answer = browser.get(path)
        assert answer.status_code == 200, path
        pages += 1
        path = _next(answer.text)
    return pages


def _next(page: str) -> str:
    found = NEXT.search(page)
    return found[1].replace("&amp;", "&") if found else ""


def test_a_page_that_takes_too_long_is_given_up_with_words(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_view, "READ_SECONDS", 0.05)

    with postgres.fresh() as url:
        database = Database(url)
        with database.write() as session, ThreadPoolExecutor(1) as reader:
            session.execute(text("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE"))
            browser = console(create_app(Settings(home=tmp_path), database))
            answer = reader.submit(browser.get, "/admin/alerts/").result()
        database.dispose()

    assert answer.status_code == 503
    assert "<h1" in answer.text
    assert "SELECT" not in answer.text
