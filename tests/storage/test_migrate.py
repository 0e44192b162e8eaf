"""The migrations make exactly the tables that the code describes."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage import migrate
from storage.database import Database
from storage.tables import Base


def test_migrated_tables_are_those_of_the_code(database: Database) -> None:
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)

    assert differences == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    def revisions() -> list[str]:
        with database.engine.connect() as connection:
            return list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())

    before = revisions()

    migrate.upgrade(database)

    assert revisions() == before
    assert len(before) == 1
