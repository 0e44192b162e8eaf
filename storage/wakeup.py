"""Knowing at once that something was put into the inbox."""

import time
from typing import Protocol

import psycopg
from sqlalchemy import Engine

from storage.inbox import WAKE_CHANNEL

SQLITE_LOOK_SECONDS = 0.05


class Bell(Protocol):
    """Waits for news of the inbox."""

    def wait(self, timeout_seconds: float) -> None:
        """Return on news, or after the timeout. Raises the driver's error when the database is away."""

    def close(self) -> None:
        """Let go of the connection."""


def bell_of(engine: Engine) -> Bell:
    """The way in which this database can tell: LISTEN on PostgreSQL, the change counter of SQLite."""
    return SqliteBell(engine) if engine.dialect.name == "sqlite" else PostgresBell(engine)


class PostgresBell:
    """A connection of its own that listens for the receiver's NOTIFY."""

    def __init__(self, engine: Engine) -> None:
        self._arguments = engine.dialect.create_connect_args(engine.url)
        self._connection: psycopg.Connection | None = None

    def wait(self, timeout_seconds: float) -> None:
        """See Bell.wait."""
        try:
            if self._connection is None or self._connection.closed:
                _, arguments = self._arguments
                self._connection = psycopg.connect(**{"connect_timeout": 3, **arguments}, autocommit=True)
                self._connection.execute(f"LISTEN {WAKE_CHANNEL}")
                return  # what came before we listened is looked for at once
            for _ in self._connection.notifies(timeout=timeout_seconds, stop_after=1):
                return
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """See Bell.close."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class SqliteBell:
    """Looks at the number that SQLite raises with each commit of another connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = engine.raw_connection()
        self._seen = -1

    def wait(self, timeout_seconds: float) -> None:
        """See Bell.wait."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            version = self._connection.cursor().execute("PRAGMA data_version").fetchone()[0]
            if version != self._seen:
                self._seen = version
                return
            if time.monotonic() >= deadline:
                return
            time.sleep(SQLITE_LOOK_SECONDS)

    def close(self) -> None:
        """See Bell.close."""
        self._connection.close()
