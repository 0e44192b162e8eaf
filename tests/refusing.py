"""A database that refuses the rows of one table, so that a stage fails between its work and the storing of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from storage.database import Database

# Where each type of node leaves what it did.
EFFECTS = {"ingest": "alerts", "context": "check_runs", "intelligence": "analysis_runs"}

POSTGRES = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'refused'; END$$",
    "CREATE TRIGGER refused BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()",
)
POSTGRES_END = ("DROP TRIGGER refused ON {table}", "DROP FUNCTION refuse()")
SQLITE = ("CREATE TRIGGER refused BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'refused'); END",)
SQLITE_END = ("DROP TRIGGER refused",)


@contextmanager
def refusing(database: Database, table: str) -> Iterator[None]:
    """No row can be inserted into the table inside the block."""
    is_postgres = database.engine.dialect.name == "postgresql"
    _run(database, POSTGRES if is_postgres else SQLITE, table)
    try:
        yield
    finally:
        _run(database, POSTGRES_END if is_postgres else SQLITE_END, table)


def _run(database: Database, statements: tuple[str, ...], table: str) -> None:
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement.format(table=table)))
