"""The migrations make exactly the tables that the code describes."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from storage import migrate
from storage.database import Database
from storage.tables import Alert, Base


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


def test_rows_of_the_first_version_are_kept(database: Database) -> None:
    with database.engine.begin() as connection:
        command.downgrade(migrate._config(connection), "0001")
    with database.write() as session:
        session.execute(
            text(
                "INSERT INTO alerts (fingerprint, source, name, severity, raw_severity, status, description,"
                " labels, annotations, raw_payload, environment, episode, started_at, received_at, updated_at,"
                " trace_id) VALUES ('f', 'generic', 'Disk full', 'critical', '', 'firing', '', '{}', '{}', '{}',"
                " 'test', '', '2026-09-14 03:00:00', '2026-09-14 03:00:00', '2026-09-14 03:00:00', 't')"
            )
        )

    migrate.upgrade(database)

    with database.read() as session:
        alert = session.scalars(select(Alert)).one()
    assert (alert.name, alert.vendor_id, alert.occurred_at) == ("Disk full", "", None)
