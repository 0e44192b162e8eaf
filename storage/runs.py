"""The life of a pipeline run: created, held under a lease, advanced, ended.

A lease says who executes a run until when. Each new holder gets a higher fence; `check_fence` at the start
of every write keeps out a holder that was thought dead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from storage import handover, inbox
from storage.tables import Delivery, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus, RunVia


class RunNotFoundError(Exception):
    """There is no run of that id."""


class RunStateError(Exception):
    """What is asked of a run does not go with its status; the message says why."""

    def __init__(self, message: str, *, status: RunStatus) -> None:
        super().__init__(message)
        self.status = status


class RunHeldError(Exception):
    """Somebody else executes the run now."""


class RunOverError(Exception):
    """The run has ended since it was found lying."""


class LeaseLostError(Exception):
    """The run has a new holder; whatever this one still does must not be written."""


@dataclass(frozen=True)
class HeldRun:
    """A run as its holder knows it."""

    pk: int
    run_id: str
    fence: int
    trace_id: str
    source: str
    environment: str
    definition_name: str
    definition_version: int
    flow_run_id: str | None
    node_configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    definition_config: Mapping[str, Any] | None = None


def create_run(
    session: Session,
    *,
    definition_name: str,
    definition_version: int,
    deliveries: Sequence[Delivery] = (),
    run_id: str | None = None,
    trace_id: str = "",
    source: str = "",
    environment: str = "production",
    max_retries: int = 3,
    flow_run_id: str | None = None,
    node_configs: Mapping[str, Mapping[str, Any]] | None = None,
    definition_config: Mapping[str, Any] | None = None,
) -> PipelineRun:
    """A pending run, holding `deliveries`. One delivery lends the run its trace_id, source and environment.

    `node_configs`, by node type, hold for every node of the type, before the definition's own keys; they hold no
    secret, only references. `definition_config` is the definition of a run whose definition has no saved name.
    """
    first = deliveries[0] if deliveries else None
    sources = {delivery.source for delivery in deliveries}
    run = PipelineRun(
        run_id=run_id or str(uuid4()),
        trace_id=first.trace_id if first and len(deliveries) == 1 else trace_id or str(uuid4()),
        source=source or (sources.pop() if len(sources) == 1 else ""),
        environment=first.environment if first else environment,
        definition_name=definition_name,
        definition_version=definition_version,
        status=RunStatus.PENDING,
        max_retries=max_retries,
        flow_run_id=flow_run_id,
        node_configs={node_type: dict(config) for node_type, config in (node_configs or {}).items()},
        definition_config=None if definition_config is None else dict(definition_config),
    )
    session.add(run)
    session.flush()
    inbox.attach(session, run=run, deliveries=deliveries)
    return run


def find_run(session: Session, run_id: str) -> PipelineRun | None:
    """One run by its public id."""
    return session.scalar(select(PipelineRun).where(PipelineRun.run_id == run_id))


def lease_run(session: Session, run_id: str, *, owner: str, lease_seconds: float) -> HeldRun:
    """Take a run for execution, or take over one whose lease ran out.

    Raises RunNotFoundError, or RunHeldError while another owner's lease lasts.
    """
    now = utc_now()
    changed = _update(
        session,
        PipelineRun.run_id == run_id,
        _is_free(now, owner),
        fence=PipelineRun.fence + 1,
        lease_owner=owner,
        lease_expires_at=now + timedelta(seconds=lease_seconds),
    )
    run = find_run(session, run_id)
    if run is None:
        raise RunNotFoundError(f"no pipeline run {run_id}")
    if changed == 0:
        raise RunHeldError(f"run {run_id} is executed by {run.lease_owner}")
    session.refresh(run)
    return HeldRun(
        pk=run.id,
        run_id=run.run_id,
        fence=run.fence,
        trace_id=run.trace_id,
        source=run.source,
        environment=run.environment,
        definition_name=run.definition_name,
        definition_version=run.definition_version,
        flow_run_id=run.flow_run_id,
        node_configs=run.node_configs,
        definition_config=run.definition_config,
    )


def start(session: Session, held: HeldRun, *, via: RunVia, flow_run_id: str | None) -> None:
    """Mark the beginning of an execution; the second and later ones are retries of the same run.

    One that was over, and that somebody starts again, forgets its cancel and takes up its dead letters.
    """
    run = session.get_one(PipelineRun, held.pk)
    run.started_at = run.started_at or utc_now()
    run.total_attempts += 1
    run.unended_attempts += 1
    if run.completed_at is not None:
        run.completed_at = None
        run.resumed_at = utc_now()
        run.cancel_requested_at = None
        handover.revive(session, run_id=run.run_id)
    run.via = via
    run.flow_run_id = flow_run_id or run.flow_run_id
    if run.total_attempts > 1:
        run.status = RunStatus.RETRYING
    session.flush()


def note_flow_run(session: Session, run_id: str, *, flow_run_id: str) -> None:
    """Record which flow run shows a run, before it begins."""
    _update(session, PipelineRun.run_id == run_id, flow_run_id=flow_run_id)


def renew_lease(session: Session, held: HeldRun, *, lease_seconds: float) -> None:
    """Keep a run. Raises LeaseLostError when it has a new holder."""
    expires_at = utc_now() + timedelta(seconds=lease_seconds)
    if not _update(session, *_held(held), lease_expires_at=expires_at):
        raise LeaseLostError(f"run {held.run_id} was taken over")


def release_lease(session: Session, held: HeldRun) -> None:
    """Let go of a run; without effect when it was put down or has a new holder."""
    _update(session, *_held(held), PipelineRun.lease_owner != "", lease_owner="", lease_expires_at=None)


def put_down(session: Session, run_id: str, *, owner: str, delay_seconds: float) -> None:
    """Leave a run that could not be begun, or is not to go on here; it is found again after the delay."""
    _update(
        session,
        PipelineRun.run_id == run_id,
        PipelineRun.lease_owner == owner,
        PipelineRun.completed_at.is_(None),
        lease_owner="",
        lease_expires_at=utc_now() + timedelta(seconds=delay_seconds),
    )


def postpone(session: Session, held: HeldRun, *, delay_seconds: float) -> None:
    """Put a run down whose execution ended in good order, to go on later: nothing speaks against the next one."""
    _update(
        session,
        *_held(held),
        PipelineRun.completed_at.is_(None),
        unended_attempts=PipelineRun.unended_attempts - 1,
        lease_owner="",
        lease_expires_at=utc_now() + timedelta(seconds=delay_seconds),
    )


def check_fence(session: Session, *, run_pk: int, fence: int) -> PipelineRun:
    """The run's row, locked until the transaction ends. Raises LeaseLostError when it has a new holder."""
    run = session.scalar(
        select(PipelineRun).where(PipelineRun.id == run_pk, PipelineRun.fence == fence).with_for_update()
    )
    if run is None:
        raise LeaseLostError(f"run {run_pk} was taken over")
    return run


def see_fence(session: Session, held: HeldRun) -> PipelineRun:
    """The run's row as it stands, not locked. Raises LeaseLostError when it has a new holder."""
    run = session.get_one(PipelineRun, held.pk)
    if run.fence != held.fence:
        raise LeaseLostError(f"run {held.run_id} was taken over")
    return run


def complete(run: PipelineRun, status: RunStatus) -> None:
    """End a run well. `status` is the last stage it reached, or SKIPPED."""
    run.status = status
    run.last_error_type = run.last_error_message = ""
    run.last_error_retryable = False
    _end(run)


def fail(run: PipelineRun, *, error_type: str, message: str, retryable: bool) -> None:
    """End a run as FAILED; it can be resumed."""
    run.status = RunStatus.FAILED
    run.last_error_type = error_type
    run.last_error_message = message
    run.last_error_retryable = retryable
    _end(run)


def _end(run: PipelineRun) -> None:
    run.completed_at = utc_now()
    run.unended_attempts = 0
    run.lease_owner = ""
    run.lease_expires_at = None
    if run.started_at:
        run.total_duration_ms = (run.completed_at - run.started_at).total_seconds() * 1000


def queue(session: Session, run: PipelineRun) -> None:
    """Let a worker take up a run that nobody holds, at once where one lives."""
    run.lease_owner = ""
    run.lease_expires_at = utc_now()
    session.flush()
    inbox.wake(session.connection())


def resume(session: Session, run_id: str) -> PipelineRun:
    """Let a run that failed go on after the last stage that succeeded; wakes the relay.

    Raises RunNotFoundError, or RunStateError for a run that did not fail.
    """
    changed = _update(
        session,
        PipelineRun.run_id == run_id,
        PipelineRun.status == RunStatus.FAILED,
        PipelineRun.completed_at.is_not(None),
        status=RunStatus.RETRYING,
        completed_at=None,
        resumed_at=utc_now(),
        cancel_requested_at=None,
    )
    run = find_run(session, run_id)
    if run is None:
        raise RunNotFoundError(f"no pipeline run {run_id}")
    session.refresh(run)
    if not changed:
        goes_on = "has not ended" if run.completed_at is None else "did not fail"
        raise RunStateError(
            f"run {run_id} is {run.status} and {goes_on}: only a failed run can be resumed", status=run.status
        )
    handover.revive(session, run_id=run_id)
    queue(session, run)
    return run


def has_queued(session: Session) -> bool:
    """Whether a run waits for somebody to take it up."""
    query = select(PipelineRun.id).where(
        PipelineRun.completed_at.is_(None), PipelineRun.lease_owner == "", PipelineRun.lease_expires_at < utc_now()
    )
    return session.scalar(query.limit(1)) is not None


def request_cancel(session: Session, *, flow_run_id: str) -> bool:
    """Ask the run of a Prefect flow run to stop at its next stage boundary. False when none is going."""
    return _request_cancel(session, PipelineRun.flow_run_id == flow_run_id)


def request_cancel_of(session: Session, run_id: str) -> bool:
    """Ask a run to stop at its next stage boundary. False when it is over."""
    return _request_cancel(session, PipelineRun.run_id == run_id)


def _request_cancel(session: Session, which: ColumnElement[bool]) -> bool:
    changed = _update(
        session,
        which,
        PipelineRun.completed_at.is_(None),
        cancel_requested_at=utc_now(),
    )
    return bool(changed)


def find_unheld(session: Session, *, idle_before: datetime, limit: int = 100) -> list[PipelineRun]:
    """Unfinished runs that nobody holds: their lease ran out, or they were not begun since `idle_before`."""
    now = utc_now()
    return list(
        session.scalars(
            select(PipelineRun)
            .where(
                PipelineRun.completed_at.is_(None),
                or_(
                    PipelineRun.lease_expires_at < now,
                    and_(PipelineRun.lease_expires_at.is_(None), PipelineRun.updated_at < idle_before),
                ),
            )
            .order_by(PipelineRun.id)
            .limit(limit)
        )
    )


def find_resumed(session: Session, *, since: datetime, limit: int) -> list[str]:
    """The flow runs of runs that were resumed and then ended well without Prefect, the latest first."""
    query = select(PipelineRun.flow_run_id).where(
        PipelineRun.resumed_at >= since,
        PipelineRun.completed_at.is_not(None),
        PipelineRun.status != RunStatus.FAILED,
        PipelineRun.via == RunVia.DIRECT,
    )
    return [each for each in session.scalars(query.order_by(PipelineRun.id.desc()).limit(limit)) if each]


def find_holders(session: Session) -> list[str]:
    """The owners of all leases that still last."""
    return list(
        session.scalars(
            select(PipelineRun.lease_owner)
            .where(PipelineRun.completed_at.is_(None), PipelineRun.lease_expires_at >= utc_now())
            .distinct()
        )
    )


def find_held(session: Session, *, owner: str) -> list[str]:
    """The run ids of an owner's leases that still last."""
    return list(
        session.scalars(
            select(PipelineRun.run_id).where(
                PipelineRun.lease_owner == owner,
                PipelineRun.completed_at.is_(None),
                PipelineRun.lease_expires_at >= utc_now(),
            )
        )
    )


def expire_leases(session: Session, *, owner: str, run_ids: Sequence[str] | None = None) -> int:
    """End the leases of an owner that is known to be dead, or those on some runs. Returns how many."""
    conditions = [PipelineRun.lease_owner == owner, PipelineRun.completed_at.is_(None)]
    if run_ids is not None:
        conditions.append(PipelineRun.run_id.in_(run_ids))
    return _update(session, *conditions, lease_expires_at=utc_now() - timedelta(seconds=1))


def _is_free(now: datetime, owner: str) -> ColumnElement[bool]:
    return or_(
        PipelineRun.lease_expires_at.is_(None),
        PipelineRun.lease_expires_at < now,
        PipelineRun.lease_owner == "",
        # The relay of this process claimed it, and it has not begun.
        and_(PipelineRun.lease_owner == owner, PipelineRun.total_attempts == 0),
    )


def _held(held: HeldRun) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return PipelineRun.id == held.pk, PipelineRun.fence == held.fence


def _update(session: Session, *conditions: ColumnElement[bool], **values: Any) -> int:
    result = session.execute(
        update(PipelineRun).where(*conditions).values(**values, updated_at=utc_now()),
        execution_options={"synchronize_session": False},
    )
    return result.rowcount if isinstance(result, CursorResult) else 0
