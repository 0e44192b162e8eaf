"""What was let go of, for whoever wants to know whether that still happens."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, BigId, utc_now


class Pruning(Base):
    """When a kind of rows was last gone through to its end, and how many went then and in all."""

    __tablename__ = "prunings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_count: Mapped[int] = mapped_column(default=0)
    total_count: Mapped[int] = mapped_column(BigId, default=0)
    pruned_at: Mapped[datetime] = mapped_column(default=utc_now)
