"""Places for runs in a worker, so many for each pipeline.

A run that waits out a backoff gives its place back, and so does one that only waits for a measurement. Of runs
in flight, those included that wait so, there are at most twice as many as there are places, or a storm would
begin all its measurements at once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

IN_FLIGHT_PER_PLACE = 2


class Slots:
    """The places of one worker. Used from one event loop only."""

    def __init__(self, per_pipeline: int, *, on_free: Callable[[], None] = lambda: None) -> None:
        most = IN_FLIGHT_PER_PLACE * per_pipeline
        self.per_pipeline = per_pipeline
        self._max_in_flight = most
        self._on_free = on_free
        self._places: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(per_pipeline))
        self._flights: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(most))
        self._held: dict[str, int] = defaultdict(int)
        self._in_flight: dict[str, int] = defaultdict(int)

    def free(self, pipeline: str) -> int:
        """How many more runs may begin; none while others wait to."""
        if self._places[pipeline].locked() or self._flights[pipeline].locked():
            return 0
        places = self.per_pipeline - self._held[pipeline]
        return min(places, self._max_in_flight - self._in_flight[pipeline])

    def place(self, pipeline: str) -> "RunSlot":
        """A place for a run, still to be taken."""
        return RunSlot(self, pipeline)

    async def _begin(self, pipeline: str) -> None:
        await self._flights[pipeline].acquire()
        self._in_flight[pipeline] += 1

    async def _acquire(self, pipeline: str) -> None:
        await self._places[pipeline].acquire()
        self._held[pipeline] += 1

    def _release(self, pipeline: str) -> None:
        self._held[pipeline] -= 1
        self._places[pipeline].release()
        self._on_free()

    def _end(self, pipeline: str) -> None:
        self._in_flight[pipeline] -= 1
        self._flights[pipeline].release()
        self._on_free()


class RunSlot:
    """One run's place. Each method is harmless where there is nothing to do."""

    def __init__(self, slots: Slots, pipeline: str) -> None:
        self._slots = slots
        self._pipeline = pipeline
        self._is_in_flight = False
        self._is_held = False

    async def take(self) -> None:
        """Wait for the place, unless it is held."""
        # In this order only: who holds a place is in flight, so nobody that others wait for waits himself.
        if not self._is_in_flight:
            await self._slots._begin(self._pipeline)  # noqa: SLF001  (the two are one)
            self._is_in_flight = True
        if not self._is_held:
            await self._slots._acquire(self._pipeline)  # noqa: SLF001
            self._is_held = True

    def rest(self) -> None:
        """Let another run have it while this one waits for a measurement; it still counts as in flight."""
        if self._is_held:
            self._is_held = False
            self._slots._release(self._pipeline)  # noqa: SLF001

    def give_back(self) -> None:
        """Let another run have it, and begin."""
        self.rest()
        if self._is_in_flight:
            self._is_in_flight = False
            self._slots._end(self._pipeline)  # noqa: SLF001
