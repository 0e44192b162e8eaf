"""What is held to be true of each thing that is checked; node configs of single runs."""

import sqlalchemy as sa
from alembic import op

from storage.tables.base import BigId, Json, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column."""
    op.add_column("pipeline_runs", sa.Column("node_configs", Json, nullable=False, server_default="{}"))
    op.create_table(
        "check_states",
        sa.Column("id", BigId, nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("checker_name", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=512), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("bad_in_a_row", sa.Integer(), nullable=False),
        sa.Column("critical_in_a_row", sa.Integer(), nullable=False),
        sa.Column("unknown_in_a_row", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_check_states"),
        sa.UniqueConstraint(
            "hostname", "checker_name", "target", name="uq_check_states_hostname_checker_name_target"
        ),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("check_states")
    op.drop_column("pipeline_runs", "node_configs")
