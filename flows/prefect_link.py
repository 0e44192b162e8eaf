"""The relay's dealings with Prefect's server: whether it is there, and the flow run of a run."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectException, PrefectHTTPStatusError
from prefect.states import Pending

log = logging.getLogger("watchkeeper.relay")

CALL_SECONDS = 5.0
PROBE_SECONDS = 2.0


# How long a server that is there but fails is left alone between two tries.
TRIAL_SECONDS = 30.0


class PrefectAwayError(Exception):
    """Prefect's server did not answer as it should."""


class NoDeploymentError(Exception):
    """Prefect has no deployment for a pipeline: nobody can run it any more, but a run that began may go on."""


class FlowRunCancelledError(Exception):
    """Somebody has cancelled the flow run."""

    def __init__(self, flow_run: FlowRun) -> None:
        super().__init__(f"flow run {flow_run.id} was cancelled")
        self.flow_run = flow_run


@dataclass(frozen=True)
class FlowRunOrder:
    """A run that needs its flow run.

    One that was resumed goes on even where its flow run was cancelled: that cancel is done with. An ad-hoc one,
    whose definition is saved under no name, has no flow run.
    """

    run_id: str
    pipeline: str
    flow_run_id: str | None
    tags: Sequence[str]
    is_resumed: bool = False
    is_adhoc: bool = False


class PrefectLink:
    """`register` makes the work pool and the deployments, returning deployment ids by pipeline name."""

    def __init__(
        self,
        *,
        api_url: str,
        headers: dict[str, str],
        register: Callable[[PrefectClient], Awaitable[dict[str, UUID]]],
    ) -> None:
        self._health_url = f"{api_url.rstrip('/')}/health"
        self._headers = headers
        self._register = register
        self._deployments: dict[str, UUID] = {}
        self._turn = asyncio.Lock()
        # Reached or not, and answering orders or not, are told apart: a server whose database is gone
        # may still say that it is healthy.
        self._unreached_since: float | None = time.monotonic()
        self._failing_since: float | None = None
        self._tried_at = time.monotonic()

    def away_seconds(self) -> float:
        """For how long the server has been of no use; 0 while it works."""
        now = time.monotonic()
        return max((now - since for since in (self._unreached_since, self._failing_since) if since), default=0.0)

    @property
    def is_reached(self) -> bool:
        """Whether the last probe got an answer."""
        return self._unreached_since is None

    def take_trial(self) -> bool:
        """Whether the caller's order is to find out if a server that is there, but failed orders, works again.

        True for one order in TRIAL_SECONDS. Without it a server that failed for long would never be asked again.
        """
        is_due = self._failing_since is not None and time.monotonic() - self._tried_at >= TRIAL_SECONDS
        if not (self.is_reached and is_due):
            return False
        self._tried_at = time.monotonic()
        return True

    async def probe(self, client: httpx.AsyncClient) -> None:
        """Ask the server whether it is there, and note the answer."""
        try:
            response = await client.get(self._health_url, headers=self._headers, timeout=PROBE_SECONDS)
            is_there = response.status_code == httpx.codes.OK
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            is_there = False
        if is_there:
            if self._unreached_since is not None:
                log.info("prefect server reached")
                self._failing_since = None  # what failed was the server that went away
            self._unreached_since = None
        elif self._unreached_since is None:
            log.warning("prefect server away")
            self._unreached_since = time.monotonic()

    async def flow_run_for(self, order: FlowRunOrder) -> FlowRun:
        """The run's flow run, pending and about to be executed here; made if there is none.

        Raises PrefectAwayError, NoDeploymentError where there is none and none can be made, and
        FlowRunCancelledError when it was cancelled, once it is pending all the same.
        """
        self._tried_at = time.monotonic()
        is_cancelled = False
        try:
            async with asyncio.timeout(CALL_SECONDS), get_client() as client:
                flow_run = await self._find(client, order) or await self._create(client, order)
                state = flow_run.state
                was_cancelled = bool(state and (state.is_cancelled() or state.is_cancelling()))
                is_cancelled = was_cancelled and not order.is_resumed
                if not (flow_run.state and flow_run.state.is_pending()):
                    await client.set_flow_run_state(flow_run.id, Pending(), force=True)
                    flow_run = await client.read_flow_run(flow_run.id)
        except NoDeploymentError:
            self._failing_since = None
            raise
        except (httpx.HTTPError, PrefectException, TimeoutError, OSError) as error:
            self._failing_since = self._failing_since or time.monotonic()
            status = f" {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
            raise PrefectAwayError(type(error).__name__ + status) from error
        self._failing_since = None
        if is_cancelled:
            raise FlowRunCancelledError(flow_run)
        return flow_run

    async def cancelling(self, client: PrefectClient) -> list[str]:
        """The flow runs that somebody wants to be cancelled, of ours and of others. Raises PrefectAwayError."""
        wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING])))
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return [str(flow_run.id) for flow_run in await client.read_flow_runs(flow_run_filter=wanted)]
        except (httpx.HTTPError, PrefectException, TimeoutError, OSError) as error:
            raise PrefectAwayError(type(error).__name__) from error

    async def deployments(
        self, client: PrefectClient, *, instead_of: dict[str, UUID] | None = None
    ) -> dict[str, UUID]:
        """Deployment ids by pipeline name; registered anew unless they are others than `instead_of` by now.

        So of many runs that lack theirs one registers, and the others wait for it.
        """
        async with self._turn:
            if instead_of is None or self._deployments is instead_of:
                self._deployments = await self._register(client)
            return self._deployments

    async def _find(self, client: PrefectClient, order: FlowRunOrder) -> FlowRun | None:
        if order.flow_run_id is None:
            return None
        try:
            return await client.read_flow_run(UUID(order.flow_run_id))
        except ObjectNotFound:
            return None  # Prefect's database was wiped or vacuumed; ours is the truth

    async def _create(self, client: PrefectClient, order: FlowRunOrder) -> FlowRun:
        known = self._deployments
        try:
            return await self._create_once(client, order, known)
        except (ObjectNotFound, PrefectHTTPStatusError, KeyError) as error:
            # Prefect's database was wiped, or this is another server; of a deployment it says 404 in either form.
            if isinstance(error, PrefectHTTPStatusError) and error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            deployments = await self.deployments(client, instead_of=known)
            if order.pipeline not in deployments:
                raise NoDeploymentError(order.pipeline) from None
            return await self._create_once(client, order, deployments)

    @staticmethod
    async def _create_once(client: PrefectClient, order: FlowRunOrder, deployments: dict[str, UUID]) -> FlowRun:
        return await client.create_flow_run_from_deployment(
            deployments[order.pipeline],
            parameters={"run_id": order.run_id},
            # Pending, not Scheduled: this worker runs it itself, no other is to pick it up.
            state=Pending(),
            idempotency_key=order.run_id,
            tags=order.tags,
        )
