"""A row with megabytes in it has a page all the same, and that page says what it leaves out."""

from pathlib import Path

import pytest
from console_client import console
from rows import add_alert

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_payload_of_megabytes_is_cut_and_the_page_says_so(database: Database, tmp_path: Path) -> None:
    person = console(create_app(Settings(home=tmp_path), database))
    with database.write() as session:
        pk = add_alert(session, raw_payload={"lines": ["x" * 100] * 20_000}).id

    page = person.get(f"/admin/alerts/details/?id={pk}").text

    assert len(page) < 300_000
    assert "… cut here: 2,1" in page
    assert "characters in all" in page
