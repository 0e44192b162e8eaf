"""Users, the audit, hourly figures, and the host of an alert, for the console."""

import sqlalchemy as sa
from alembic import op

from storage.tables.base import BigId, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column("password_hash", sa.String(length=256), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("signed_in_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
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
    op.create_index("ix_audit_entries_object_type_object_id", "audit_entries", ["object_type", "object_id"])
    op.create_table(
        "hourly_figures",
        sa.Column("hour_at", UtcDateTime(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("word", sa.String(length=256), nullable=False),
        sa.Column("count", BigId, nullable=False),
        sa.PrimaryKeyConstraint("hour_at", "name", "word", name=op.f("pk_hourly_figures")),
    )
    # The default stays, as in 0007: SQLite would make the table anew.
    op.add_column("alerts", sa.Column("hostname", sa.String(length=255), nullable=False, server_default=""))
    op.create_index(
        "ix_alerts_hostname_received_at",
        "alerts",
        ["hostname", "received_at"],
        postgresql_where=sa.text("hostname <> ''"),
        sqlite_where=sa.text("hostname <> ''"),
    )


def downgrade() -> None:
    op.drop_index("ix_alerts_hostname_received_at", table_name="alerts")
    op.drop_column("alerts", "hostname")
    op.drop_table("hourly_figures")
    op.drop_table("audit_entries")
    op.drop_table("users")
