"""The migrations make exactly the tables that the code describes."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from old_rows import add_old_webhooks, count_rows
from rows import add_alert, add_incident
from sqlalchemy import select, text

from storage import migrate, runs
from storage.database import Database
from storage.tables import Alert, Base, Notification, PipelineRun
from storage.vocabulary import RunStatus


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


def test_messages_that_no_run_will_send_any_more_become_dead_letters(database: Database) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
        over, going = [
            runs.create_run(session, definition_name="direct", definition_version=1).run_id for _ in range(2)
        ]
        runs.complete(
            session.scalars(select(PipelineRun).where(PipelineRun.run_id == over)).one(), RunStatus.NOTIFIED
        )
    with database.engine.begin() as connection:
        command.downgrade(migrate._config(connection), "0004")
        for number, (status, run_id, error) in enumerate(
            [("pending", over, ""), ("failed", "gone", "503"), ("sent", over, ""), ("pending", going, "")], 1
        ):
            connection.execute(
                text(
                    "INSERT INTO notifications (id, channel, driver, incident_id, episode, reason, status,"
                    " idempotency_key, run_id, trace_id, title, claim, attempts, provider_id, error_type,"
                    " error_message, created_at, updated_at) VALUES (:number, 'a', 'generic', :incident, :number,"
                    " 'firing', :status, :key, :run_id, 't', '', 0, 0, '', '', :error, '2026-09-14 03:00:00',"
                    " '2026-09-14 03:00:00')"
                ),
                {
                    "number": number,
                    "key": f"key-{number}",
                    "incident": incident_id,
                    "status": status,
                    "run_id": run_id,
                    "error": error,
                },
            )

    migrate.upgrade(database)

    with database.read() as session:
        rows = session.scalars(select(Notification).order_by(Notification.id)).all()
    assert [(row.id, row.status.value, row.error_message) for row in rows] == [
        (1, "dead", "its run ended before it was sent"),
        (2, "dead", "503"),
        (3, "sent", ""),
        (4, "pending", ""),
    ]
    assert all(row.waiting_since == row.due_at == row.created_at for row in rows)


def test_runs_of_the_sixth_version_keep_their_stages_and_deliveries_there_and_back(database: Database) -> None:
    add_old_webhooks(database, 3, days_ago=1)
    before = count_rows(database)

    for revision in ("0006", "0007", "0006"):
        with database.engine.begin() as connection:
            move = command.upgrade if revision == "0007" else command.downgrade
            move(migrate._config(connection), revision)
    migrate.upgrade(database)

    assert count_rows(database) == before
    with database.engine.connect() as connection:
        if database.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_alerts_of_the_seventh_version_get_the_host_that_their_labels_name(database: Database) -> None:
    with database.write() as session:
        for labels in ({"instance": "https://DB-1:9100/metrics"}, {"job": "node"}, {}):
            add_alert(session, labels=labels)
    with database.engine.begin() as connection:
        command.downgrade(migrate._config(connection), "0007")

    migrate.upgrade(database)

    with database.read() as session:
        assert session.scalars(select(Alert.hostname).order_by(Alert.id)).all() == ["db-1", "", ""]
