"""Every version of a definition, routes, schedules, and the workers that live."""

import sqlalchemy as sa
from alembic import op

from storage.tables.base import BigId, Json, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LISTED_BY = ("status", "definition_name", "source", "environment", "via", "incident_id")

# Table: the columns of its index for the report, and the column whose own index that replaces.
FIGURES = {
    "alert_history": (["created_at", "event"], "created_at"),
    "check_runs": (["executed_at", "checker_name", "status"], "executed_at"),
    "notifications": (["created_at", "channel", "status"], "created_at"),
    "stage_executions": (["pipeline_run_id", "stage", "status", "error_type", "duration_ms"], ""),
}


def upgrade() -> None:
    """Add the tables and columns. The version that a definition has is the first that is kept."""
    op.add_column("pipeline_definitions", sa.Column("schedule", Json, nullable=True))
    op.add_column("pipeline_runs", sa.Column("definition_config", Json, nullable=True))
    op.add_column("pipeline_runs", sa.Column("resumed_at", UtcDateTime(), nullable=True))
    # The default stays: to take it away SQLite makes the table anew, and with the old one go all rows that hang
    # on it by ON DELETE CASCADE.
    op.add_column("pipeline_runs", sa.Column("unended_attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("route", sa.String(length=160), nullable=False, server_default=""))
    op.create_table(
        "definition_versions",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("config", Json, nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_definition_versions")),
    )
    op.execute(
        "INSERT INTO definition_versions (name, version, config, created_by, created_at)"
        " SELECT name, version, config, created_by, updated_at FROM pipeline_definitions"
    )
    op.create_table(
        "route_sets",
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("rules", Json, nullable=False),
        sa.Column("default_pipeline", sa.String(length=128), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_route_sets")),
    )
    op.create_table(
        "workers",
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("has_prefect", sa.Boolean(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_workers")),
    )
    op.create_index(op.f("ix_workers_seen_at"), "workers", ["seen_at"])
    # Lists of runs are newest first; these take the place of the indexes of one column.
    for name in LISTED_BY:
        op.create_index(f"ix_pipeline_runs_{name}_created_at", "pipeline_runs", [name, "created_at"])
    op.drop_index(op.f("ix_pipeline_runs_status"), "pipeline_runs")
    op.drop_index(op.f("ix_pipeline_runs_definition_name"), "pipeline_runs")
    op.drop_index(op.f("ix_pipeline_runs_incident_id"), "pipeline_runs")
    is_going = sa.text("completed_at IS NULL")
    op.create_index(
        "ix_pipeline_runs_going",
        "pipeline_runs",
        ["created_at"],
        postgresql_where=is_going,
        sqlite_where=is_going,
    )
    # What the report counts is read from these alone; they take the place of the indexes of the time.
    for table, (columns, _) in FIGURES.items():
        op.create_index(f"ix_{table}_figures", table, columns)
    for table, (_, replaced) in FIGURES.items():
        if replaced:
            op.drop_index(op.f(f"ix_{table}_{replaced}"), table)
    op.create_index(op.f("ix_incidents_resolved_at"), "incidents", ["resolved_at"])
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("what", sa.String(length=128), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("bound", sa.String(length=16), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("count", BigId, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "what", "outcome", "bound", "lane", name=op.f("pk_tallies")),
    )
    op.create_table(
        "prunings",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("last_count", sa.Integer(), nullable=False),
        sa.Column("total_count", BigId, nullable=False),
        sa.Column("pruned_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_prunings")),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_index(op.f("ix_incidents_resolved_at"), "incidents")
    for table, (_, replaced) in FIGURES.items():
        if replaced:
            op.create_index(op.f(f"ix_{table}_{replaced}"), table, [replaced])
        op.drop_index(f"ix_{table}_figures", table)
    op.drop_index("ix_pipeline_runs_going", "pipeline_runs")
    op.create_index(op.f("ix_pipeline_runs_incident_id"), "pipeline_runs", ["incident_id"])
    op.create_index(op.f("ix_pipeline_runs_definition_name"), "pipeline_runs", ["definition_name"])
    op.create_index(op.f("ix_pipeline_runs_status"), "pipeline_runs", ["status"])
    for name in LISTED_BY:
        op.drop_index(f"ix_pipeline_runs_{name}_created_at", "pipeline_runs")
    op.drop_table("prunings")
    op.drop_table("tallies")
    op.drop_index(op.f("ix_workers_seen_at"), "workers")
    op.drop_table("workers")
    op.drop_table("route_sets")
    op.drop_table("definition_versions")
    op.drop_column("deliveries", "route")
    op.drop_column("pipeline_runs", "unended_attempts")
    op.drop_column("pipeline_runs", "resumed_at")
    op.drop_column("pipeline_runs", "definition_config")
    op.drop_column("pipeline_definitions", "schedule")
