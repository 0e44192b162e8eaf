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


def upgrade() -> None:
    """Add the columns, and let the index of waiting deliveries hold the quarantined ones too."""
    op.add_column("alerts", sa.Column("vendor_id", sa.String(length=256), nullable=False, server_default=""))
    op.add_column("alerts", sa.Column("occurred_at", UtcDateTime(), nullable=True))
    op.create_index(
        "ix_alerts_vendor_id",
        "alerts",
        ["vendor_id"],
        postgresql_where=sa.text("vendor_id <> ''"),
        sqlite_where=sa.text("vendor_id <> ''"),
    )
    _index_waiting(WAITS)


def downgrade() -> None:
    """Take them away again."""
    _index_waiting(WAITING)
    op.drop_index("ix_alerts_vendor_id", table_name="alerts")
    op.drop_column("alerts", "occurred_at")
    op.drop_column("alerts", "vendor_id")


def _index_waiting(condition: str) -> None:
    op.drop_index("ix_deliveries_waiting", table_name="deliveries")
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["pipeline", "id"],
        postgresql_where=sa.text(condition),
        sqlite_where=sa.text(condition),
    )
