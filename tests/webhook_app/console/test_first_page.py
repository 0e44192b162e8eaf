"""The console opens in a real browser."""

from pathlib import Path

from browser import open_browser, serve

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app


def test_whoever_sits_at_this_machine_sees_the_console_while_no_user_exists(
    database: Database, tmp_path: Path
) -> None:
    with serve(create_app(Settings(home=tmp_path), database)) as url, open_browser() as browser:
        page = browser.new_page()
        page.goto(url)

        assert page.title().startswith("Dashboard")
        assert page.get_by_role("navigation", name="Console").get_by_role("link", name="Incidents").is_visible()
