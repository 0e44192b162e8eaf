"""Users, the audit, hourly figures, and the host of an alert, for the console."""

import sqlalchemy as sa
from alembic import op

from storage.hostname import hostname_of
from storage.tables.base import BigId, Json, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BATCH = 2000


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("folded_name", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column("password_hash", sa.String(length=256), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("signed_in_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("folded_name", name=op.f("uq_users_folded_name")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object_type", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(op.f("ix_audit_entries_at"), "audit_entries", ["at"])
    op.create_index("ix_audit_entries_actor_at", "audit_entries", ["actor", "at"])
    op.create_index("ix_audit_entries_action_at", "audit_entries", ["action", "at"])
    op.create_index("ix_audit_entries_outcome_at", "audit_entries", ["outcome", "at"])
    op.create_index("ix_audit_entries_object_type_object_id", "audit_entries", ["object_type", "object_id"])
    op.create_table(
        "hourly_figures",
        sa.Column("hour_at", UtcDateTime(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("word", sa.String(length=256), nullable=False),
        sa.Column("count", BigId, nullable=False),
        sa.PrimaryKeyConstraint("hour_at", "name", "word", name=op.f("pk_hourly_figures")),
    )
    op.create_index(
        "ix_pipeline_runs_ended",
        "pipeline_runs",
        ["completed_at", "status", "last_error_type"],
        postgresql_where=sa.text("completed_at IS NOT NULL"),
        sqlite_where=sa.text("completed_at IS NOT NULL"),
    )
    # The default stays, as in 0007: SQLite would make the table anew.
    op.add_column("alerts", sa.Column("hostname", sa.String(length=255), nullable=False, server_default=""))
    _name_hosts()
    op.create_index(
        "ix_alerts_hostname_received_at",
        "alerts",
        ["hostname", "received_at"],
        postgresql_where=sa.text("hostname <> ''"),
        sqlite_where=sa.text("hostname <> ''"),
    )
    # One host has most check runs: they are read in the order of time, which the old index did not hold.
    op.create_index("ix_check_runs_hostname_executed_at", "check_runs", ["hostname", "executed_at"])
    op.drop_index("ix_check_runs_hostname", table_name="check_runs")
    # The sender's own id is looked for without its source, which begins the unique index.
    op.create_index(
        "ix_deliveries_sender_delivery_id",
        "deliveries",
        ["sender_delivery_id"],
        postgresql_where=sa.text("sender_delivery_id IS NOT NULL"),
        sqlite_where=sa.text("sender_delivery_id IS NOT NULL"),
    )
    # Lists of incidents are sorted by what changed last.
    op.create_index("ix_incidents_updated_at", "incidents", ["updated_at"])
    op.create_index("ix_incidents_environment_created_at", "incidents", ["environment", "created_at"])
    op.create_index("ix_alert_history_event_created_at", "alert_history", ["event", "created_at"])
    op.create_index("ix_notifications_channel_created_at", "notifications", ["channel", "created_at"])


def _name_hosts() -> None:
    """Give the alerts that are there the host that their labels name, as ingest does."""
    connection, after = op.get_bind(), 0
    columns = sa.column("id", BigId), sa.column("labels", Json), sa.column("hostname", sa.String)
    alerts = sa.table("alerts", *columns)
    page = sa.select(alerts.c.id, alerts.c.labels).order_by(alerts.c.id).limit(BATCH)
    while rows := connection.execute(page.where(alerts.c.id > after)).all():
        after = rows[-1].id
        named = {row.id: host for row in rows if (host := hostname_of(row.labels or {}))}
        if named:
            _write_hosts(connection, named)


def _write_hosts(connection: sa.Connection, named: dict[int, str]) -> None:
    if connection.dialect.name == "sqlite":
        naming = sa.text("UPDATE alerts SET hostname = :host WHERE id = :pk")
        connection.execute(naming, [{"pk": pk, "host": host} for pk, host in named.items()])
        return
    # One statement for all of them: a million single ones took minutes.
    naming = sa.text(
        "UPDATE alerts SET hostname = named.host"
        " FROM unnest(CAST(:pks AS bigint[]), CAST(:hosts AS text[])) AS named (pk, host)"
        " WHERE alerts.id = named.pk"
    )
    connection.execute(naming, {"pks": list(named), "hosts": list(named.values())})


def downgrade() -> None:
    op.drop_index("ix_notifications_channel_created_at", table_name="notifications")
    op.drop_index("ix_alert_history_event_created_at", table_name="alert_history")
    op.drop_index("ix_incidents_environment_created_at", table_name="incidents")
    op.drop_index("ix_incidents_updated_at", table_name="incidents")
    op.drop_index("ix_deliveries_sender_delivery_id", table_name="deliveries")
    op.create_index("ix_check_runs_hostname", "check_runs", ["hostname"])
    op.drop_index("ix_check_runs_hostname_executed_at", table_name="check_runs")
    op.drop_index("ix_alerts_hostname_received_at", table_name="alerts")
    op.drop_column("alerts", "hostname")
    op.drop_index("ix_pipeline_runs_ended", table_name="pipeline_runs")
    op.drop_table("hourly_figures")
    op.drop_table("audit_entries")
    op.drop_table("users")
