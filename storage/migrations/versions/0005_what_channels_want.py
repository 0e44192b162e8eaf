"""What channels are to be told, how they fare, and messages that go on being tried after their run."""

import sqlalchemy as sa
from alembic import op

from storage.tables.base import Json, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UNSENT = sa.text("status IN ('pending', 'sending', 'failed')")
UNIQUE = "uq_notifications_channel_incident_id_episode_reason"

# Nobody tried those again so far, and nobody wants to be told now of what burnt weeks ago.
BURY_WHAT_NOBODY_SENT = """
    UPDATE notifications SET status = 'dead', error_type = 'GivenUp',
        error_message = CASE error_message WHEN '' THEN 'its run ended before it was sent' ELSE error_message END
    WHERE status IN ('pending', 'sending', 'failed') AND NOT EXISTS (
        SELECT 1 FROM pipeline_runs
        WHERE pipeline_runs.run_id = notifications.run_id AND pipeline_runs.completed_at IS NULL
    )
"""


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("notification_channels", sa.Column("policy", Json, nullable=False, server_default="{}"))
    op.create_table(
        "channel_states",
        sa.Column("channel", sa.String(length=128), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", UtcDateTime(), nullable=True),
        sa.Column("rests_until", UtcDateTime(), nullable=True),
        sa.Column("next_slot_at", UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("channel", name="pk_channel_states"),
    )
    with op.batch_alter_table("notifications") as batch:
        batch.add_column(sa.Column("sequence", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("sender_run_id", sa.String(length=36), nullable=True))
        batch.add_column(sa.Column("instead_of", sa.String(length=128), nullable=False, server_default=""))
        batch.add_column(sa.Column("message", sa.Text(), nullable=False, server_default=""))
        batch.add_column(sa.Column("due_at", UtcDateTime(), nullable=True))
        batch.add_column(sa.Column("waiting_since", UtcDateTime(), nullable=True))
    op.execute("UPDATE notifications SET due_at = created_at, waiting_since = created_at, sender_run_id = run_id")
    op.execute(BURY_WHAT_NOBODY_SENT)
    with op.batch_alter_table("notifications") as batch:
        batch.alter_column("due_at", existing_type=UtcDateTime(), nullable=False)
        batch.alter_column("waiting_since", existing_type=UtcDateTime(), nullable=False)
        batch.drop_constraint(UNIQUE, type_="unique")
        batch.create_unique_constraint(
            f"{UNIQUE}_sequence", ["channel", "incident_id", "episode", "reason", "sequence"]
        )
        batch.create_index("ix_notifications_sender_run_id", ["sender_run_id"])
    op.create_index(
        "ix_notifications_due", "notifications", ["due_at"], postgresql_where=UNSENT, sqlite_where=UNSENT
    )


def downgrade() -> None:
    """Take them away again. Of messages that only these columns tell apart, the first one stays."""
    op.drop_index("ix_notifications_due", "notifications")
    op.execute("DELETE FROM notifications WHERE sequence > 0 OR reason NOT IN ('firing', 'resolved')")
    op.execute("UPDATE notifications SET status = 'dead' WHERE status = 'discarded'")
    with op.batch_alter_table("notifications") as batch:
        batch.drop_index("ix_notifications_sender_run_id")
        batch.drop_constraint(f"{UNIQUE}_sequence", type_="unique")
        batch.create_unique_constraint(UNIQUE, ["channel", "incident_id", "episode", "reason"])
        for column in ("waiting_since", "due_at", "message", "instead_of", "sender_run_id", "sequence"):
            batch.drop_column(column)
    op.drop_table("channel_states")
    op.drop_column("notification_channels", "policy")
