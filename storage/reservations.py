"""Runs that nobody holds, set aside for a moment for the one that found them."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from storage.tables import PipelineRun
from storage.tables.base import utc_now


def reserve(session: Session, run_ids: Collection[str], *, seconds: float) -> set[str]:
    """Keep others from finding these runs until they have begun. Returns those that nobody else was faster with.

    It is no lease: a run that has not begun by then is found again.
    """
    now = utc_now()
    is_left = or_(PipelineRun.lease_expires_at.is_(None), PipelineRun.lease_expires_at < now)
    taken = session.scalars(
        update(PipelineRun)
        .where(PipelineRun.run_id.in_(run_ids), PipelineRun.completed_at.is_(None), is_left)
        .values(lease_owner="", lease_expires_at=now + timedelta(seconds=seconds))
        .returning(PipelineRun.run_id)
        .execution_options(synchronize_session=False)
    )
    return set(taken)
