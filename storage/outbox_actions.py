"""The outbox as people see it and put it right: look through it, retry a message, discard one.

What a run has in hand belongs to that run. Whoever changes a message locks its run first, as the run's own sender
does: so a message that is just being claimed is not pulled out of its hands.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, defer

from storage import channels, inbox
from storage.inbox import REASON_MAX_CHARS
from storage.redaction import redact_text
from storage.storable import storable_text
from storage.tables import Notification, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus

RETRYABLE = (
    NotificationStatus.DEAD,
    NotificationStatus.FAILED,
    NotificationStatus.PENDING,
    NotificationStatus.DISCARDED,
)
DISCARDABLE = (NotificationStatus.PENDING, NotificationStatus.FAILED, NotificationStatus.DEAD)


class NotificationNotFoundError(Exception):
    """There is no message of that id."""


class NotificationStateError(Exception):
    """What is asked of a message does not go with how it stands; the message says why."""

    def __init__(self, message: str, *, row: Notification, holder: PipelineRun | None = None) -> None:
        super().__init__(message)
        self.status = row.status
        self.allowed = allowed(row, holder=holder)


def allowed(row: Notification, *, holder: PipelineRun | None) -> list[str]:
    """What people may do about a message. `holder` is the run that has it in hand, if that is not over."""
    may_retry = row.status in RETRYABLE and holder is None
    return [*(["retry"] if may_retry else []), *(["discard"] if row.status in DISCARDABLE else [])]


def find(session: Session, pk: int) -> Notification | None:
    """One message."""
    return session.get(Notification, pk)


def list_notifications(
    session: Session,
    *,
    statuses: Collection[NotificationStatus] = (),
    reasons: Collection[NotificationReason] = (),
    channel: str = "",
    incident_id: int | None = None,
    trace_id: str = "",
    since: datetime | None = None,
    before_id: int | None = None,
    limit: int,
) -> list[Notification]:
    """Messages without the text that was said, newest first, below `before_id`, made at `since` or later."""
    query = select(Notification).order_by(Notification.id.desc()).limit(limit).options(defer(Notification.message))
    if statuses:
        query = query.where(Notification.status.in_(statuses))
    if reasons:
        query = query.where(Notification.reason.in_(reasons))
    if channel:
        query = query.where(Notification.channel == channel)
    if incident_id is not None:
        query = query.where(Notification.incident_id == incident_id)
    if trace_id:
        query = query.where(Notification.trace_id == trace_id)
    if since is not None:
        query = query.where(Notification.created_at >= since)
    if before_id is not None:
        query = query.where(Notification.id < before_id)
    return list(session.scalars(query))


def count_by_status(session: Session) -> dict[NotificationStatus, int]:
    """How many messages there are of each status but sent: those only grow in number, and need nobody."""
    counted = [status for status in NotificationStatus if status is not NotificationStatus.SENT]
    rows = session.execute(
        select(Notification.status, func.count())
        .where(Notification.status.in_(counted))
        .group_by(Notification.status)
    )
    found = {status: count for status, count in rows}  # noqa: C416  (a row is no tuple to the type checker)
    return {status: found.get(status, 0) for status in counted}


def dead_ids(session: Session, *, channel: str = "") -> list[int]:
    """The dead letters, of one channel or of all, oldest first."""
    query = select(Notification.id).where(Notification.status == NotificationStatus.DEAD).order_by(Notification.id)
    return list(session.scalars(query.where(Notification.channel == channel) if channel else query))


def runs_of(session: Session, row: Notification) -> list[PipelineRun]:
    """The run that a message comes from, and the one that has or had it in hand."""
    ids = {row.run_id, row.sender_run_id or ""} - {""}
    return list(session.scalars(select(PipelineRun).where(PipelineRun.run_id.in_(ids)).order_by(PipelineRun.id)))


def stand_ins(session: Session, row: Notification) -> list[Notification]:
    """The messages to other channels that stand in for this one, in order."""
    return list(
        session.scalars(
            select(Notification)
            .where(
                Notification.incident_id == row.incident_id,
                Notification.episode == row.episode,
                Notification.reason == row.reason,
                Notification.sequence == row.sequence,
                Notification.instead_of == row.channel,
            )
            .order_by(Notification.id)
            .options(defer(Notification.message))
        )
    )


def stood_in_for(session: Session, row: Notification) -> Notification | None:
    """The message for which this one stands in."""
    if not row.instead_of:
        return None
    return session.scalar(
        select(Notification)
        .where(
            Notification.channel == row.instead_of,
            Notification.incident_id == row.incident_id,
            Notification.episode == row.episode,
            Notification.reason == row.reason,
            Notification.sequence == row.sequence,
        )
        .options(defer(Notification.message))
    )


def retry(session: Session, pk: int) -> Notification:
    """Let a message be sent now, with all its tries before it, also to a channel that is left alone for a moment.

    It keeps its idempotency key, so a destination that has it already may know it again. Raises
    NotificationNotFoundError, or NotificationStateError: also while a run that is not over has it in hand.
    """
    row, holder = _hold(session, pk)
    if row.status in RETRYABLE and holder is not None:
        raise NotificationStateError(
            f"notification {pk} is {row.status} and in the hands of run {holder.run_id}, which is not over",
            row=row,
            holder=holder,
        )
    now = utc_now()
    values = {"status": NotificationStatus.PENDING, "attempts": 0, "due_at": now, "waiting_since": now}
    channels.wake(session, [row.channel])
    row = _change(
        session, row, RETRYABLE, done="retried", **values, sender_run_id=None, error_type="", error_message=""
    )
    inbox.wake(session.connection())
    return row


def discard(session: Session, pk: int, *, reason: str = "") -> Notification:
    """Have a message sent no more; a reason is cut to REASON_MAX_CHARS, without one its last error stays.

    Raises NotificationNotFoundError, or NotificationStateError.
    """
    row, _ = _hold(session, pk)
    values: dict[str, object] = {"status": NotificationStatus.DISCARDED}
    if reason := redact_text(storable_text(reason)):
        kept = reason if len(reason) <= REASON_MAX_CHARS else f"{reason[: REASON_MAX_CHARS - 1]}…"
        values |= {"error_type": "", "error_message": kept}
    return _change(session, row, DISCARDABLE, done="discarded", **values)


def _hold(session: Session, pk: int) -> tuple[Notification, PipelineRun | None]:
    """The message, and the run that has it in hand if that is not over. That stays so to the transaction's end."""
    sender_run_id = session.scalar(select(Notification.sender_run_id).where(Notification.id == pk))
    holder = None
    if sender_run_id:
        # The run before the message, as its own sender locks them: two that wait for one another would not end.
        held = select(PipelineRun).where(PipelineRun.run_id == sender_run_id).with_for_update(read=True)
        holder = session.scalar(held.execution_options(populate_existing=True))
    row = _as_it_is(session, pk)
    if (row.sender_run_id or None) != (sender_run_id or None):
        raise NotificationStateError(
            f"notification {pk} is {row.status} and was just taken in hand by run {row.sender_run_id}", row=row
        )
    return row, holder if holder is not None and holder.completed_at is None else None


def _change(
    session: Session, row: Notification, wanted: Sequence[NotificationStatus], *, done: str, **values: object
) -> Notification:
    result = session.execute(
        update(Notification)
        .where(
            Notification.id == row.id,
            Notification.status.in_(wanted),
            Notification.sender_run_id.is_not_distinct_from(row.sender_run_id),
        )
        .values(**values, updated_at=utc_now()),
        execution_options={"synchronize_session": False},
    )
    changed = result.rowcount if isinstance(result, CursorResult) else 0
    row = _as_it_is(session, row.id)
    if not changed:
        takes = f"; that takes one of {', '.join(wanted)}" if row.status not in wanted else ": a run just took it"
        raise NotificationStateError(f"notification {row.id} is {row.status} and cannot be {done}{takes}", row=row)
    return row


def _as_it_is(session: Session, pk: int) -> Notification:
    query = select(Notification).where(Notification.id == pk).execution_options(populate_existing=True)
    row = session.scalar(query)
    if row is None:
        raise NotificationNotFoundError(f"there is no notification {pk}")
    return row
