"""When alerts joined their incidents, and when messages were written: what they could not tell of yet."""

import sqlalchemy as sa
from alembic import op

from storage.tables.base import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Of the alerts that are there it is not known, and nobody is told of them as new."""
    op.add_column("alerts", sa.Column("joined_at", UtcDateTime(), nullable=True))
    # Every worker asks every few seconds which incidents have grown.
    op.create_index("ix_alerts_incident_id_joined_at", "alerts", ["incident_id", "joined_at"])
    op.add_column("notifications", sa.Column("claimed_at", UtcDateTime(), nullable=True))
    op.add_column("notifications", sa.Column("knew_until", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("notifications", "knew_until")
    op.drop_column("notifications", "claimed_at")
    op.drop_index("ix_alerts_incident_id_joined_at", "alerts")
    op.drop_column("alerts", "joined_at")
