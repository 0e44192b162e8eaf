"""How many requests may do what takes long at a time.

The receiver has more threads than all of these together: people who look at a database that hangs, or wait for
advice, must not keep webhooks from being answered.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from flask import Flask, Response, current_app, g, request

from webhook_app.answers import error_answer
from webhook_app.console.pages import error_page
from webhook_app.console.paths import is_console_page, is_file

READERS = 6
ADVISERS = 2
SENDERS = 4
WAITERS = 4
ORDERERS = 2
# A password takes a core for a tenth of a second, and 32 MiB.
TRIERS = 2
# The blueprints whose requests read from the database.
READING = frozenset(
    {
        "alerts",
        "channels",
        "definitions",
        "deliveries",
        "incident_actions",
        "incidents",
        "intelligence",
        "notifications",
        "notify",
        "orchestration",
        "routes",
        "run_orders",
    }
)

ADVISING = "watchkeeper.advising"
SENDING = "watchkeeper.sending"
WAITING = "watchkeeper.waiting"
ORDERING = "watchkeeper.ordering"
TRYING = "watchkeeper.trying"


class BusyError(Exception):
    """All places are taken; when to try again."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def install(app: Flask) -> None:
    """Have every request that reads take a place."""
    readers = threading.BoundedSemaphore(READERS)
    app.extensions[ADVISING] = threading.BoundedSemaphore(ADVISERS)
    app.extensions[SENDING] = threading.BoundedSemaphore(SENDERS)
    app.extensions[WAITING] = threading.BoundedSemaphore(WAITERS)
    app.extensions[ORDERING] = threading.BoundedSemaphore(ORDERERS)
    app.extensions[TRYING] = threading.BoundedSemaphore(TRIERS)
    app.register_error_handler(BusyError, _refuse)

    @app.before_request
    def take_place() -> None:
        # The style of the page that says that all places are taken needs none.
        is_page = is_console_page() and not is_file(request.path)
        if request.blueprint in READING or is_page:
            if not readers.acquire(blocking=False):
                raise BusyError("too many requests read at this moment, try again", retry_after_seconds=5)
            g.leave_place = readers.release

    @app.teardown_request
    def leave_place(_error: BaseException | None) -> None:
        _leave_readers()


@contextmanager
def advising() -> Iterator[None]:
    """A place among those who measure and ask, in exchange for the one among the readers."""
    with _place(ADVISING, "too many requests wait for advice at this moment, try again", retry_after_seconds=15):
        yield


@contextmanager
def sending() -> Iterator[None]:
    """A place among those who wait for a destination's answer, in exchange for the one among the readers."""
    with _place(SENDING, "too many messages are being sent at this moment, try again", retry_after_seconds=5):
        yield


@contextmanager
def waiting() -> Iterator[None]:
    """A place among those who wait for a run's end, in exchange for the one among the readers."""
    with _place(WAITING, "too many requests wait for their runs at this moment, try again", retry_after_seconds=5):
        yield


@contextmanager
def ordering() -> Iterator[None]:
    """A place among those who wait a moment for a flow run, in exchange for the one among the readers."""
    with _place(ORDERING, "too many requests wait for their flow runs at this moment", retry_after_seconds=5):
        yield


@contextmanager
def trying() -> Iterator[None]:
    """A place among those who try a password, in exchange for the one among the readers."""
    with _place(TRYING, "too many people sign in at this moment, try again", retry_after_seconds=2):
        yield


@contextmanager
def _place(name: str, message: str, *, retry_after_seconds: int) -> Iterator[None]:
    _leave_readers()
    places = cast("threading.BoundedSemaphore", current_app.extensions[name])
    if not places.acquire(blocking=False):
        raise BusyError(message, retry_after_seconds=retry_after_seconds)
    try:
        yield
    finally:
        places.release()


def _leave_readers() -> None:
    leave = g.pop("leave_place", None)
    if leave:
        leave()


def _refuse(error: BusyError) -> Response:
    response = error_page(503, str(error)) if is_console_page() else error_answer(503, str(error))
    response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response
