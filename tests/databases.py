"""A fresh, migrated database for each test, on PostgreSQL and on SQLite."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from storage import migrate
from storage.database import Database
from storage.embedded import running

TEMPLATE = "watchkeeper_template"


@contextmanager
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for the session: WATCHKEEPER_TEST_POSTGRES_URL, else an embedded one of its own."""
    if given := os.environ.get("WATCHKEEPER_TEST_POSTGRES_URL"):
        yield given
        return
    with open_folder() as home, running(home) as server:
        yield server.url("watchkeeper")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that the embedded server's own user may enter; pytest's are private to root."""
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PostgresServer:
    """Makes databases from a migrated template, which takes some 50 ms instead of a migration."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._execute(f'DROP DATABASE IF EXISTS "{TEMPLATE}"')
        self._execute(f'CREATE DATABASE "{TEMPLATE}"')
        self._migrate(TEMPLATE)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a migrated database of its own."""
        name = f"test_{uuid4().hex[:12]}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        try:
            yield self._of(name)
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _migrate(self, name: str) -> None:
        database = Database(self._of(name), pool_size=1)
        migrate.upgrade(database)
        database.dispose()

    def _execute(self, statement: str) -> None:
        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def fresh_sqlite(folder: Path) -> Iterator[str]:
    """The URL of a migrated SQLite file."""
    url = f"sqlite:///{folder / 'watchkeeper.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.dispose()
    yield url
