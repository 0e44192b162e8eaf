"""Fixtures for every room's tests.

The sinks and databases live in `tests/sinks.py` and `tests/databases.py`. There is no `__init__.py` under
tests and pytest imports by path, so `pythonpath = ["tests"]` in pyproject is what lets a test import them.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from databases import PostgresServer, fresh_sqlite, postgres_server
from sinks import HttpSink, SmtpSink

from storage import database as database_room
from storage.database import Database

# The same inputs on every machine; `--hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

PAYLOADS = Path(__file__).parent / "payloads"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start a stack or a browser come first, then those of many tests: none is left for the end."""
    slow = {item.path for item in items if item.get_closest_marker("stack") or "browser" in _fixtures(item)}
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -counts[item.path], item.path))


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture
def http_sink() -> Iterator[HttpSink]:
    """An HTTP server that answers 200 to everything, until told otherwise with `answer_with`."""
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """An SMTP server without TLS or login that accepts everything, until told otherwise."""
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database on each of the two kinds: every behaviour is tested on both."""
    if request.param == "sqlite":
        with fresh_sqlite(tmp_path) as url:
            yield url
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.fresh() as url:
            yield url


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The fresh database, which is also the process's configured one."""
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", database_url)
    database_room.get.cache_clear()
    configured = database_room.get()
    yield configured
    configured.dispose()
    database_room.get.cache_clear()


@pytest.fixture(scope="session")
def payloads() -> Path:
    """The vendors' bodies, byte for byte."""
    return PAYLOADS
