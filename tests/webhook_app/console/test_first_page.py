"""The console opens in a real browser."""

from pathlib import Path

import pytest
from browser import serve
from playwright.sync_api import Browser

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whoever_sits_at_this_machine_sees_the_console_while_no_user_exists(
    database: Database, tmp_path: Path, browser: Browser
) -> None:
    with serve(create_app(Settings(home=tmp_path), database)) as url, browser.new_page() as page:
        page.goto(url)

        assert page.title().startswith("Dashboard")
        assert page.get_by_role("navigation", name="Console").get_by_role("link", name="Incidents").is_visible()
