"""A fresh, migrated database for each test, on PostgreSQL and on SQLite."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from storage import migrate
from storage.database import Database
from storage.embedded import running

TEMPLATE = "watchkeeper_template"


@contextmanager
def postgres_server(*, is_durable: bool = False) -> Iterator["PostgresServer"]:
    """A PostgreSQL for the session: WATCHKEEPER_TEST_POSTGRES_URL, else an embedded one of its own.

    Only a given one, or where it is asked for, waits for the disk: tests do not outlast a crash of the machine.
    """
    given = os.environ.get("WATCHKEEPER_TEST_POSTGRES_URL")
    with nullcontext(given) if given else _embedded() as url:
        server = PostgresServer(url, is_durable=is_durable or bool(given))
        try:
            yield server
        finally:
            server.close()


@contextmanager
def _embedded() -> Iterator[str]:
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
    """Makes databases from a migrated template: the next one while a test has the last."""

    def __init__(self, url: str, *, is_durable: bool) -> None:
        self._url = make_url(url)
        self._connection = psycopg.connect(self._of("postgres", "postgresql"), autocommit=True)
        if not is_durable:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                self._connection.execute(f"ALTER SYSTEM SET {setting} = off")
            self._connection.execute("SELECT pg_reload_conf()")
        self._drop(TEMPLATE)
        self._connection.execute(f'CREATE DATABASE "{TEMPLATE}"')
        self._migrate(TEMPLATE)
        self._thread = ThreadPoolExecutor(1, "databases")
        self._next = self._thread.submit(self._create)

    def close(self) -> None:
        """Drop what was made ahead."""
        self._drop(self._next.result())
        self._thread.shutdown()
        self._drop(TEMPLATE)
        self._connection.close()

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a migrated database of its own."""
        name, self._next = self._next.result(), self._thread.submit(self._create)
        try:
            yield self._of(name)
        finally:
            self._thread.submit(self._drop, name)

    def _of(self, name: str, driver: str = "") -> str:
        url = self._url.set(database=name)
        return (url.set(drivername=driver) if driver else url).render_as_string(hide_password=False)

    def _migrate(self, name: str) -> None:
        database = Database(self._of(name), pool_size=1)
        migrate.upgrade(database)
        database.dispose()

    def _create(self) -> str:
        name = f"test_{uuid4().hex[:12]}"
        self._connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        return name

    def _drop(self, name: str) -> None:
        self._connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def fresh_sqlite(folder: Path) -> Iterator[str]:
    """The URL of a migrated SQLite file."""
    path = folder / "watchkeeper.db"
    path.write_bytes(_migrated_sqlite())
    yield f"sqlite:///{path}"


@cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watchkeeper.db"
        database = Database(f"sqlite:///{path}")
        migrate.upgrade(database)
        database.dispose()  # the last connection moves the log into the file
        return path.read_bytes()
