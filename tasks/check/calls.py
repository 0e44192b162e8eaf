"""Functions that run side by side and are not waited for longer than they may take."""

import queue
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from storage.log_fields import in_context

Answer = TypeVar("Answer")
Key = TypeVar("Key", bound=Hashable)


class HungError(Exception):
    """A function did not end in time."""


class NoThreadError(Exception):
    """A function could not be begun, since the host is out of threads."""


class Call(Generic[Answer]):
    """A function running in a thread of its own, from now on.

    A thread cannot be stopped: one that hangs is left behind and keeps nobody from leaving the process, whose
    end is its end (see apart.py).
    """

    def __init__(self, function: Callable[[], Answer], *, name: str) -> None:
        self._function = function
        self._outcome: queue.SimpleQueue[tuple[Answer | None, BaseException | None]] = queue.SimpleQueue()
        try:
            threading.Thread(target=in_context(self._run), name=name, daemon=True).start()
        except RuntimeError as error:  # that is news too, not a reason to stop
            self._outcome.put((None, NoThreadError(f"no thread could be started: {error}")))

    def result(self, *, until: float) -> Answer:
        """What the function returned, by `until` (time.monotonic).

        Raises what it raised, HungError, and NoThreadError.
        """
        try:
            answer, error = self._outcome.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            raise HungError from None
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]  # an answer may be None itself

    def _run(self) -> None:
        try:
            self._outcome.put((self._function(), None))
        # The thread's edge: whatever got past it would look like a hang.
        except BaseException as error:  # noqa: BLE001
            self._outcome.put((None, error))


def side_by_side(
    functions: Mapping[Key, Callable[[], Answer]], *, timeout_seconds: float
) -> dict[Key, Answer | BaseException]:
    """What each function returned or raised, by key; HungError for one that took longer than they all may."""
    until = time.monotonic() + timeout_seconds
    calls = {key: Call(function, name=f"check {key}") for key, function in functions.items()}
    outcomes: dict[Key, Answer | BaseException] = {}
    for key, call in calls.items():
        try:
            outcomes[key] = call.result(until=until)
        except BaseException as error:  # noqa: BLE001  (an answer like any other: the caller says what it means)
            outcomes[key] = error
    return outcomes
