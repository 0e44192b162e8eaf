"""A receiver over a fresh database."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from storage import settings
from storage.database import Database
from tasks.definition.library import save_presets
from webhook_app.app import create_app


@pytest.fixture
def client(database: Database, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """Requests as a sender on this machine makes them."""
    monkeypatch.setenv("WATCHKEEPER_ENVIRONMENT", "test")
    with database.write() as session:
        save_presets(session)
    return create_app(settings.load(), database).test_client()


@pytest.fixture
def door(tmp_path: Path) -> FlaskClient:
    """An app without its database: what is refused is refused before that is asked."""
    return create_app(settings.load(), Database(f"sqlite:///{tmp_path / 'no-such-folder' / 'x.db'}")).test_client()
