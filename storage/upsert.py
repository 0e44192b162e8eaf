"""INSERT … ON CONFLICT, which each database spells in its own module."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_if_absent(executor: Session | Connection, table: Any) -> Any:
    """An insert into a table or mapped class that leaves out rows whose unique key is taken."""
    bind = executor.get_bind() if isinstance(executor, Session) else executor
    if bind.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()
