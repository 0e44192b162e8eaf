"""Alembic's entry: migrations run over the connection that storage.migrate hands in."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON
from sqlalchemy.types import BigInteger

from storage.tables import Base
from storage.tables.base import UtcDateTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our column types by their names, so that a migration is the same on every database."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "UtcDateTime()"
    if isinstance(item, JSON):
        return "Json"
    if isinstance(item, BigInteger) and item._variant_mapping:  # noqa: SLF001  (no public way to ask)
        return "BigId"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_item=render_item,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
