"""Who may use the console, and what people did with it."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, BigId, utc_now, word
from storage.vocabulary import AuditOutcome, Role


class User(Base):
    """A person who may sign in. `generation` rises with what ends all sign-ins, such as a new password or role."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    # The name as it is looked for (storage/users.py), so that nobody can pass for another by a capital letter.
    folded_name: Mapped[str] = mapped_column(String(128), unique=True)
    role: Mapped[Role] = mapped_column(word(Role))
    password_hash: Mapped[str] = mapped_column(String(256))
    generation: Mapped[int] = mapped_column(default=1)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    signed_in_at: Mapped[datetime | None]


class AuditEntry(Base):
    """What one person did, or was refused, to one thing. Nothing changes or deletes it but retention."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_actor_at", "actor", "at"),
        Index("ix_audit_entries_action_at", "action", "at"),
        Index("ix_audit_entries_outcome_at", "outcome", "at"),
        Index("ix_audit_entries_object_type_object_id", "object_type", "object_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    # The name of a user; `local` where nobody need sign in; `command` on the command line.
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(64))
    # The table's name and the row's number.
    object_type: Mapped[str] = mapped_column(String(64), default="")
    object_id: Mapped[str] = mapped_column(String(64), default="")
    outcome: Mapped[AuditOutcome] = mapped_column(word(AuditOutcome))
    detail: Mapped[str] = mapped_column(Text, default="")
    address: Mapped[str] = mapped_column(String(64), default="")


class HourlyFigure(Base):
    """How many of something there were in one whole hour that is over (storage/hours.py)."""

    __tablename__ = "hourly_figures"

    hour_at: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    word: Mapped[str] = mapped_column(String(256), primary_key=True)
    count: Mapped[int] = mapped_column(BigId, default=0)
