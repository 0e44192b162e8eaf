"""A list without rows says what fills it."""

from pathlib import Path

import pytest
from console_client import console

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app
from webhook_app.console.views import VIEWS


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_empty_list_says_what_fills_it(database: Database, tmp_path: Path) -> None:
    client = console(create_app(Settings(home=tmp_path), database))
    views = [view() for view in VIEWS if view.empty_hint]

    missing = [view.url for view in views if view.empty_hint not in _text(client.get(f"/admin/{view.url}/").text)]

    assert views
    assert missing == []


def _text(html: str) -> str:
    return html.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'")
