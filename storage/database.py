"""One engine per process for the results database, on PostgreSQL or SQLite.

SQLite is the light mode: WAL, full synchronisation, and one writer at a time within a process (without that
last one the 99th percentile of a commit went from 2 ms to over 80 ms at eight threads).
"""

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from storage import settings
from storage.embedded import EmbeddedServer

STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_SECONDS = 3


class DatabaseUrlError(Exception):
    """The configured database URL cannot be used; the message says why, without the URL's password."""


class Database:
    """An engine and the rule for writing to it.

    `read()` gives a session for queries. `write()` gives one whose transaction is committed at the end of
    the block, or rolled back when the block raises.
    """

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.engine = make_engine(url, pool_size=pool_size)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._write_engine = self.engine.execution_options(sqlite_begin="IMMEDIATE")
        self._writer: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session whose changes are not kept."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction."""
        with self._writer, Session(self._write_engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def trial(self) -> Iterator[Session]:
        """A session that may write, to see what would come of it; nothing of that is kept."""
        with self._writer, Session(self._write_engine, expire_on_commit=False) as session:
            yield session

    def writer(self) -> "Writer":
        """A kept connection, for a thread that does nothing but write one statement at a time."""
        if self.is_sqlite:
            return Writer(self._write_engine, self._writer)
        # One round trip for a statement with its commit, in place of three.
        return Writer(self.engine.execution_options(isolation_level="AUTOCOMMIT"), self._writer)

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class Writer:
    """One kept connection; belongs to one thread. On PostgreSQL each statement is a transaction of its own."""

    def __init__(self, engine: Engine, lock: AbstractContextManager[Any]) -> None:
        self._engine = engine
        self._lock = lock
        self._connection: Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection, for statements that stand for themselves. After an error it is made anew."""
        with self._lock:
            connection = self._connection = self._connection or self._engine.connect()
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def default_url(current: settings.Settings) -> str:
    """The configured database, or the embedded PostgreSQL under the home."""
    return current.database_url or EmbeddedServer(current.home).url("watchkeeper")


@cache
def get() -> Database:
    """The process's database, made on first use from the settings."""
    return Database(default_url(settings.load()))


def make_engine(url: str, *, pool_size: int = 16, lock_timeout_ms: int = LOCK_TIMEOUT_MS) -> Engine:
    """An engine for `url`. Raises DatabaseUrlError for anything but PostgreSQL and SQLite."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseUrlError("WATCHKEEPER_DATABASE_URL is not a database URL") from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(
            parsed,
            json_serializer=strict_json,
            hide_parameters=True,  # in errors: what people sent us has no place in a log
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "watchkeeper",
                "options": f"-c timezone=UTC -c lock_timeout={lock_timeout_ms} "
                f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            },
        )
    if backend == "sqlite":
        engine = create_engine(
            parsed.set(drivername="sqlite"),
            json_serializer=strict_json,
            hide_parameters=True,
            connect_args={"timeout": lock_timeout_ms / 1000, "check_same_thread": False},
        )
        _listen_on_sqlite(engine)
        return engine
    raise DatabaseUrlError(f"WATCHKEEPER_DATABASE_URL: {backend} is not supported; use postgresql or sqlite")


def strict_json(value: Any) -> str:
    """JSON that every reader accepts: no NaN or Infinity (ValueError where there is one); times as ISO 8601."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_json_default)


def _json_default(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _listen_on_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "")
        connection.exec_driver_sql(f"BEGIN {mode}".strip())
