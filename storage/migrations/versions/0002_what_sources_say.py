"""The sender's second key and last event of an alert; quarantined deliveries that no run has looked at."""

import sqlalchemy as sa
from alembic import op

from storage.tables.base import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WAITING = "status = 'waiting'"
WAITS = "status IN ('waiting', 'quarantined') AND finished_at IS NULL"
# The indexes that pages of a million alerts are read by, those that they take the place of, and one without use.
FOR_PAGES = [
    ("alerts", ["status", "severity", "received_at"]),
    ("alerts", ["source", "received_at"]),
    ("alerts", ["incident_id", "received_at"]),
    ("incidents", ["status", "severity", "created_at"]),
    ("alert_history", ["alert_id", "id"]),
    ("alert_history", ["trace_id"]),
]
REPLACED = [
    ("alerts", ["status"]),
    ("alerts", ["source"]),
    ("alerts", ["incident_id"]),
    ("incidents", ["status"]),
    ("incidents", ["severity"]),
    ("alert_history", ["alert_id"]),
    ("alerts", ["trace_id"]),
]
UNREAD = [("alerts", ["started_at"])]


def upgrade() -> None:
    """Add the columns and indexes; the index of waiting deliveries holds the quarantined ones too."""
    op.add_column("alerts", sa.Column("vendor_id", sa.String(length=256), nullable=False, server_default=""))
    op.add_column("alerts", sa.Column("occurred_at", UtcDateTime(), nullable=True))
    op.add_column("alerts", sa.Column("last_received_at", UtcDateTime(), nullable=True))
    op.add_column("alert_history", sa.Column("trace_id", sa.String(length=64), nullable=False, server_default=""))
    op.create_index(
        "ix_alerts_vendor_id",
        "alerts",
        ["vendor_id"],
        postgresql_where=sa.text("vendor_id <> ''"),
        sqlite_where=sa.text("vendor_id <> ''"),
    )
    _index_waiting(WAITS)
    for table, columns in UNREAD + REPLACED:
        op.drop_index(_name(table, columns), table_name=table)
    for table, columns in FOR_PAGES:
        op.create_index(_name(table, columns), table, columns)


def downgrade() -> None:
    """Take them away again."""
    for table, columns in FOR_PAGES:
        op.drop_index(_name(table, columns), table_name=table)
    for table, columns in UNREAD + REPLACED:
        op.create_index(_name(table, columns), table, columns)
    _index_waiting(WAITING)
    op.drop_index("ix_alerts_vendor_id", table_name="alerts")
    op.drop_column("alert_history", "trace_id")
    op.drop_column("alerts", "last_received_at")
    op.drop_column("alerts", "occurred_at")
    op.drop_column("alerts", "vendor_id")


def _name(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def _index_waiting(condition: str) -> None:
    op.drop_index("ix_deliveries_waiting", table_name="deliveries")
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["pipeline", "id"],
        postgresql_where=sa.text(condition),
        sqlite_where=sa.text(condition),
    )
