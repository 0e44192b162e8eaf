"""People who look at a slow database keep no webhook out, and are told in words that they must wait."""

from pathlib import Path

import pytest
from console_client import console

from storage.database import Database
from storage.settings import Settings
from webhook_app import places
from webhook_app.app import create_app


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_where_all_readers_wait_webhooks_are_accepted_and_pages_say_so_in_their_own_look(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "READERS", 0)
    person = console(create_app(Settings(home=tmp_path), database))

    page, style = person.get("/admin/alerts/"), person.get("/admin/static/console.css")
    webhook = person.client.post("/alerts/webhook/generic/", json={"name": "Disk full"})

    assert (page.status_code, style.status_code, webhook.status_code) == (503, 200, 202)
    assert "too many requests read at this moment" in page.text
    assert page.headers["Retry-After"] == "5"
