"""By what an answer can be given again, how much of it was paid for, and of what kind a failure was."""

import sqlalchemy as sa
from alembic import op

from storage.tables.base import BigId

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("analysis_runs", sa.Column("cache_key", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("analysis_runs", sa.Column("cached_from_id", BigId, nullable=True))
    op.add_column("analysis_runs", sa.Column("failure_kind", sa.String(length=24), nullable=True))
    op.create_index("ix_analysis_runs_cache_key", "analysis_runs", ["cache_key"])
    # The day's tokens are added up before each request.
    op.create_index("ix_analysis_runs_created_at", "analysis_runs", ["created_at"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_analysis_runs_created_at", "analysis_runs")
    op.drop_index("ix_analysis_runs_cache_key", "analysis_runs")
    op.drop_column("analysis_runs", "failure_kind")
    op.drop_column("analysis_runs", "cached_from_id")
    op.drop_column("analysis_runs", "cache_key")
