"""INSERT … ON CONFLICT, which each database spells in its own module."""

from typing import Any

from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.tables.base import Base


def insert_if_absent(session: Session, table: type[Base]) -> Any:
    """An insert that leaves out rows whose unique key is taken. Add `.values(…)` or pass rows to execute."""
    statement: Insert
    if session.get_bind().dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    else:
        statement = postgresql.insert(table).on_conflict_do_nothing()
    return statement
