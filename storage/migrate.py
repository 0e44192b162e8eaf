"""Bringing the database's tables to the state that this version of the code needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from storage.database import Database

FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x57434B4D  # "WCKM": two starts at once migrate one after the other


def upgrade(database: Database) -> None:
    """Run the migrations that are missing, in one transaction."""
    with database.engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        command.upgrade(_config(connection), "head")


def head() -> str:
    """The revision that this version of the code needs."""
    return ScriptDirectory(str(FOLDER)).get_current_head() or ""


def revision_of(connection: Connection) -> str:
    """The revision that a database has; empty where it has no tables of ours."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    return config
