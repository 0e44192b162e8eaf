"""Places for runs in a worker, so many for each pipeline. A run that waits out a backoff gives its place back."""

import asyncio
from collections import defaultdict
from collections.abc import Callable


class Slots:
    """The places of one worker. Used from one event loop only."""

    def __init__(self, per_pipeline: int, *, on_free: Callable[[], None] = lambda: None) -> None:
        self.per_pipeline = per_pipeline
        self._on_free = on_free
        self._places: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(per_pipeline))
        self._held: dict[str, int] = defaultdict(int)

    def free(self, pipeline: str) -> int:
        """How many places nobody holds or waits for."""
        return 0 if self._places[pipeline].locked() else self.per_pipeline - self._held[pipeline]

    def place(self, pipeline: str) -> "RunSlot":
        """A place for a run, still to be taken."""
        return RunSlot(self, pipeline)

    async def _acquire(self, pipeline: str) -> None:
        await self._places[pipeline].acquire()
        self._held[pipeline] += 1

    def _release(self, pipeline: str) -> None:
        self._held[pipeline] -= 1
        self._places[pipeline].release()
        self._on_free()


class RunSlot:
    """One run's place. Taking it twice, or giving it back twice, is harmless."""

    def __init__(self, slots: Slots, pipeline: str) -> None:
        self._slots = slots
        self._pipeline = pipeline
        self._is_held = False

    async def take(self) -> None:
        """Wait for the place, unless it is held."""
        if not self._is_held:
            await self._slots._acquire(self._pipeline)  # noqa: SLF001  (the two are one)
            self._is_held = True

    def give_back(self) -> None:
        """Let another run have it."""
        if self._is_held:
            self._is_held = False
            self._slots._release(self._pipeline)  # noqa: SLF001
