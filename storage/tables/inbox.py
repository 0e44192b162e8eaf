"""The durable inbox: accepted webhooks, and which run took them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, deferred, mapped_column

from storage.tables.base import Base, BigId, utc_now, word
from storage.vocabulary import DeliveryStatus

# What a run has yet to look at. The receiver quarantines what it cannot read at the door; ingest then looks
# at that once more, and raises an alert about it.
WAITS = "status IN ('waiting', 'quarantined') AND finished_at IS NULL"


class Delivery(Base):
    """One webhook that was answered 202, byte for byte.

    Its body is the one place where secrets of a sender's stay: kept as it came so that it can be replayed, shown
    nowhere, and emptied after its days (storage/retention.py). What is read from it is redacted.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        # The sender's own id makes its repeats visible; NULL where the sender gives none.
        UniqueConstraint("source", "sender_delivery_id"),
        Index(
            "ix_deliveries_waiting",
            "pipeline",
            "id",
            postgresql_where=text(WAITS),
            sqlite_where=text(WAITS),
        ),
        Index("ix_deliveries_status_id", "status", "id"),
        Index(
            "ix_deliveries_sender_delivery_id",
            "sender_delivery_id",
            postgresql_where=text("sender_delivery_id IS NOT NULL"),
            sqlite_where=text("sender_delivery_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(String(36), unique=True)
    trace_id: Mapped[str] = mapped_column(String(64), index=True)
    source: Mapped[str] = mapped_column(String(32), default="")
    pipeline: Mapped[str] = mapped_column(String(128))
    environment: Mapped[str] = mapped_column(default="production")
    # Which rule of which version of the routes chose the pipeline; empty where the URL did, or there are none.
    route: Mapped[str] = mapped_column(String(160), default="")
    headers: Mapped[dict[str, str]] = mapped_column(default=dict)
    body: Mapped[bytes] = deferred(mapped_column(LargeBinary))
    body_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    sender_delivery_id: Mapped[str | None] = mapped_column(String(128))
    status: Mapped[DeliveryStatus] = mapped_column(word(DeliveryStatus))
    reason: Mapped[str] = mapped_column(Text, default="")
    received_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    finished_at: Mapped[datetime | None]


class RunDelivery(Base):
    """A delivery taken by a run; a replayed delivery is in several runs."""

    __tablename__ = "run_deliveries"

    run_id: Mapped[int] = mapped_column(ForeignKey("pipeline_runs.id", ondelete="CASCADE"), primary_key=True)
    delivery_id: Mapped[int] = mapped_column(
        ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    position: Mapped[int] = mapped_column(default=0)
