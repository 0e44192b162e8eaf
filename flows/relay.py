"""From the inbox to runs: claims waiting deliveries, starts their runs, and resumes what was left lying.

Quiet times: one delivery, one run, at once. While all of a pipeline's places are taken, deliveries pile up
and what has piled up becomes few runs. Several relays may work on one inbox: each claims only what it has
free places for.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import httpx
from prefect import get_client
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from flows.beats import keep_beating
from flows.execution import only_unended
from flows.executor import Executor, run_in_prefect, run_without_prefect
from flows.followups import keep_following_up
from flows.owner import is_dead, this_process
from flows.pipeline import PipelineFlow
from flows.prefect_link import (
    FlowRunCancelledError,
    FlowRunOrder,
    NoDeploymentError,
    PrefectAwayError,
    PrefectLink,
)
from flows.reconcile import close_finished
from flows.report import TAG, tags_of
from flows.watch_definitions import DefinitionWatch
from storage import database, handover, inbox, reservations, runs, stages
from storage.settings import Settings
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from tasks import signals
from tasks.definition.checking import DefinitionError
from tasks.definition.library import UnknownPipelineError, find_definition
from tasks.definition.presets import REDELIVERY
from tasks.notify.schedule import given_up_before

log = logging.getLogger("watchkeeper.relay")

SWEEP_SECONDS = 2.0
PROBE_SECONDS = 1.0
CANCEL_SECONDS = 1.0
RECONCILE_SECONDS = 20.0
# A run that nobody holds and that has not moved for this long was let go of by a crash.
IDLE_SECONDS = 5.0
MAX_EXECUTIONS = 20
# How long a run that was found lying is left to the worker that found it.
RESERVED_SECONDS = 5.0


class GivenUpError(Exception):
    """A run whose executions never end by themselves."""


class Relay:
    """One per worker process. All methods belong to the worker's run loop; `ring` may be called from it only."""

    def __init__(
        self,
        settings: Settings,
        *,
        link: PrefectLink,
        executor: Executor,
        flow_of: Callable[[str], PipelineFlow],
    ) -> None:
        self._settings = settings
        self._link = link
        self._executor = executor
        self._flow_of = flow_of
        self._bell = asyncio.Event()
        self._definitions = DefinitionWatch(link)
        self._is_stopping = False
        self._swept_at = 0.0

    def ring(self) -> None:
        """There may be something to do."""
        self._bell.set()
        self._definitions.ring()

    def stop(self) -> None:
        """Claim nothing more."""
        self._is_stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Work until stopped. The database being away is waited out."""
        watches = (
            self._probe(),
            self._watch_cancels(),
            self._watch_ends(),
            self._definitions.keep(),
            keep_beating(self._link, self._executor),
            keep_following_up(),
        )
        watchers = [asyncio.create_task(watch) for watch in watches]
        try:
            while not self._is_stopping:
                self._bell.clear()
                try:
                    await self._look()
                except SQLAlchemyError as error:
                    log.warning("database away", extra={"error": type(error).__name__})
                    await asyncio.sleep(1)
                except Exception:  # the relay must outlive whatever one delivery brings about
                    log.exception("relay stumbled")
                    await asyncio.sleep(1)
                try:
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await self._bell.wait()
                except TimeoutError:
                    continue
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def _probe(self) -> None:
        async with httpx.AsyncClient() as client:
            while True:
                was_reached = self._link.is_reached
                await self._link.probe(client)
                if self._link.is_reached:
                    await self._share_client()
                if self._link.is_reached and not was_reached:
                    self.ring()
                await asyncio.sleep(PROBE_SECONDS)

    async def _share_client(self) -> None:
        try:
            await self._executor.client.open()
        except Exception as error:  # noqa: BLE001  (runs then make clients of their own; tried again in a moment)
            log.warning("no shared client yet", extra={"error": type(error).__name__})

    async def _watch_cancels(self) -> None:
        """While runs are in flight, pass on the cancels that people ask for in Prefect.

        Prefect's own observer tells a worker only of the flow runs that it is just submitting.
        """
        while True:
            await asyncio.sleep(CANCEL_SECONDS)
            if not self._link.is_reached or not self._executor.in_flight:
                continue
            try:
                async with get_client() as client:
                    while self._executor.in_flight:
                        await asyncio.to_thread(_request_cancels, await self._link.cancelling(client))
                        await asyncio.sleep(CANCEL_SECONDS)
            except Exception as error:  # noqa: BLE001  (it is asked again in a moment)
                log.warning("cancels not read", extra={"error": type(error).__name__})

    async def _watch_ends(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE_SECONDS)
            if not self._link.is_reached:
                continue
            try:
                async with get_client() as client:
                    closed = await close_finished(client, tag=TAG)
                if closed:
                    log.warning("prefect was told of ended runs", extra={"runs": closed})
            except Exception as error:  # noqa: BLE001  (it is tried again in a moment)
                log.warning("ends not told", extra={"error": type(error).__name__})

    async def _look(self) -> None:
        is_direct = self._link.away_seconds() >= self._settings.direct_after_seconds
        if not self._link.is_reached and not is_direct:
            return  # deliveries are safe where they are
        is_sweep = time.monotonic() - self._swept_at >= SWEEP_SECONDS
        if is_sweep:
            self._swept_at = time.monotonic()
            await self._drop_orphans()
        if is_sweep or await asyncio.to_thread(_has_queued):
            for order in await asyncio.to_thread(self._find_left):
                self._start(order, is_direct=is_direct)
        has_place = self._executor.slots.free(REDELIVERY) > 0
        if has_place and (is_sweep or await asyncio.to_thread(self._has_new)):
            for order in await asyncio.to_thread(self._take_unsent):
                self._start(order, is_direct=is_direct)
        waiting = await asyncio.to_thread(_count_waiting)
        for pipeline, count in waiting.items():
            await self._take(pipeline, count, is_direct=is_direct)

    async def _take(self, pipeline: str, waiting: int, *, is_direct: bool) -> None:
        """Spread what waits over the free places, one run for each."""
        free = self._executor.slots.free(pipeline)
        if free <= 0:
            return
        size = min(math.ceil(waiting / free), self._settings.batch_limit)
        for _ in range(min(free, waiting)):
            if self._is_stopping:
                return
            order = await asyncio.to_thread(self._claim, pipeline, size)
            if order is None:
                return
            self._start(order, is_direct=is_direct)

    def _claim(self, pipeline: str, size: int) -> FlowRunOrder | None:
        with database.get().write() as session:
            deliveries = inbox.claim(session, pipeline=pipeline, limit=size)
            if not deliveries:
                return None
            try:
                version = find_definition(session, pipeline).version
            except (UnknownPipelineError, DefinitionError) as error:
                log.warning(
                    "deliveries quarantined",
                    extra={"pipeline": pipeline, "count": len(deliveries), "error": str(error)},
                )
                for delivery in deliveries:
                    inbox.quarantine(session, delivery.id, str(error))
                return None
            run = runs.create_run(
                session,
                definition_name=pipeline,
                definition_version=version,
                deliveries=deliveries,
                max_retries=self._settings.max_retries_per_stage,
            )
            run.lease_owner = this_process()
            run.lease_expires_at = utc_now() + timedelta(seconds=self._settings.lease_seconds)
            return _order(run)

    async def _drop_orphans(self) -> None:
        """Let go of runs that are leased to this process and not in flight: the database was away at their end."""
        held = await asyncio.to_thread(_find_held)
        if orphans := [run_id for run_id in held if not self._executor.is_running(run_id)]:
            log.warning("runs orphaned", extra={"runs": len(orphans)})
            await asyncio.to_thread(_expire, orphans)

    def _find_left(self) -> list[FlowRunOrder]:
        """Runs that nobody works on: their worker died, crashed, or put them down until now."""
        with database.get().write() as session:
            for owner in runs.find_holders(session):
                if is_dead(owner):
                    count = runs.expire_leases(session, owner=owner)
                    log.warning("worker found dead", extra={"owner": owner, "runs": count})
            found = runs.find_unheld(session, idle_before=utc_now() - timedelta(seconds=IDLE_SECONDS))
            for run in found:
                if run.unended_attempts >= MAX_EXECUTIONS:
                    self._give_up(session, run)
            wanted = [run.run_id for run in found if not self._executor.is_running(run.run_id)]
            ours = reservations.reserve(session, wanted, seconds=RESERVED_SECONDS)
            return [_order(run) for run in found if run.run_id in ours]

    @staticmethod
    def _give_up(session: Session, run: PipelineRun) -> None:
        message = f"given up after {run.unended_attempts} executions that did not end"
        for row in stages.abandon_running(session, run.id, GivenUpError(message)):
            signals.stage_ended(session, run, row)
        runs.fail(run, error_type="GivenUp", message=message, retryable=True)
        signals.run_ended(session, run)

    def _has_new(self) -> bool:
        """Whether somebody may have rung for a message. What runs left behind is left to the sweep."""
        now = utc_now()
        with database.get().read() as session:
            return handover.has_new(session, now=now, given_up_before=self._given_up_before(now))

    def _given_up_before(self, now: datetime) -> datetime:
        return given_up_before(now, delays=self._settings.notify_retry_seconds)

    def _take_unsent(self) -> list[FlowRunOrder]:
        """A run with the messages in hand that are due and that no other run has, where there are any."""
        with database.get().write() as session:
            now = utc_now()
            waiting = handover.find_waiting(
                session, now=now, limit=self._settings.batch_limit, given_up_before=self._given_up_before(now)
            )
            if not waiting:
                return []
            trace_ids = {row.trace_id for row in waiting}
            run = runs.create_run(
                session,
                definition_name=REDELIVERY,
                definition_version=0,
                trace_id=trace_ids.pop() if len(trace_ids) == 1 else "",
                environment=self._settings.environment,
                max_retries=self._settings.max_retries_per_stage,
            )
            for row in waiting:
                row.sender_run_id = run.run_id
            run.lease_owner = this_process()
            run.lease_expires_at = utc_now() + timedelta(seconds=self._settings.lease_seconds)
            return [_order(run)]

    def _start(self, order: FlowRunOrder, *, is_direct: bool) -> None:
        if self._executor.is_running(order.run_id):
            return
        slot = self._executor.slots.place(order.pipeline)
        is_direct = order.is_adhoc or (is_direct and not self._link.take_trial())
        self._executor.spawn(order.run_id, slot, self._execute(order, is_direct=is_direct))

    async def _execute(self, order: FlowRunOrder, *, is_direct: bool) -> None:
        only_unended.set(True)
        if await asyncio.to_thread(_is_over, order.run_id):
            return  # ended by another worker while this one had no place for it
        await (run_without_prefect(order.run_id) if is_direct else self._run_in_prefect(order))

    async def _run_in_prefect(self, order: FlowRunOrder) -> None:
        try:
            flow_run = await self._link.flow_run_for(order)
        except PrefectAwayError as error:
            log.warning("prefect refused a run", extra={"run_id": order.run_id, "error": str(error)})
            await asyncio.to_thread(_put_down, order.run_id, 1.0)
            return
        except NoDeploymentError:
            # A run goes on with the version it began with, also when its pipeline is gone.
            log.info("run goes on without prefect: no deployment", extra={"run_id": order.run_id})
            await run_without_prefect(order.run_id)
            return
        except FlowRunCancelledError as cancelled:
            # It begins all the same, to end as cancelled at its first stage boundary, in Prefect and here.
            flow_run = cancelled.flow_run
            await asyncio.to_thread(_request_cancel, order.run_id)
        if str(flow_run.id) != order.flow_run_id:
            # Before the engine begins: whoever ordered the run waits for the address of its page.
            await asyncio.to_thread(_note_flow_run, order.run_id, str(flow_run.id))
        await run_in_prefect(self._flow_of(order.pipeline), flow_run)


def _count_waiting() -> dict[str, int]:
    with database.get().read() as session:
        return inbox.count_waiting(session)


def _is_over(run_id: str) -> bool:
    with database.get().read() as session:
        run = runs.find_run(session, run_id)
        return run is None or run.completed_at is not None


def _has_queued() -> bool:
    with database.get().read() as session:
        return runs.has_queued(session)


def _find_held() -> list[str]:
    with database.get().read() as session:
        return runs.find_held(session, owner=this_process())


def _expire(run_ids: list[str]) -> None:
    with database.get().write() as session:
        runs.expire_leases(session, owner=this_process(), run_ids=run_ids)


def _request_cancel(run_id: str) -> None:
    with database.get().write() as session:
        runs.request_cancel_of(session, run_id)


def _note_flow_run(run_id: str, flow_run_id: str) -> None:
    with database.get().write() as session:
        runs.note_flow_run(session, run_id, flow_run_id=flow_run_id)


def _request_cancels(flow_run_ids: list[str]) -> None:
    if not flow_run_ids:
        return
    with database.get().write() as session:
        for flow_run_id in flow_run_ids:
            runs.request_cancel(session, flow_run_id=flow_run_id)


def _put_down(run_id: str, delay_seconds: float) -> None:
    with database.get().write() as session:
        runs.put_down(session, run_id, owner=this_process(), delay_seconds=delay_seconds)


def _order(run: PipelineRun) -> FlowRunOrder:
    return FlowRunOrder(
        run_id=run.run_id,
        pipeline=run.definition_name,
        flow_run_id=run.flow_run_id,
        tags=tags_of(run),
        is_resumed=run.resumed_at is not None and run.unended_attempts == 0,
        is_adhoc=run.definition_config is not None,
    )
