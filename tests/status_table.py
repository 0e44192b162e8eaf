"""What each answer to an HTTP driver comes to, the same for all of them.

@each_status
def test_every_status_has_its_outcome(http_sink, status, outcome):
    http_sink.answer_with(answer(status))
    assert type(outcome_of(lambda: channel(http_sink.url).deliver(NOTIFICATION))) is outcome

@each_break
def test_a_broken_connection_has_its_outcome(broken, outcome):
    with broken() as url:
        assert type(outcome_of(lambda: channel(url, timeout=0.2).deliver(NOTIFICATION))) is outcome
"""

import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from raw_server import raw_server
from sinks import Answer

from storage.records import Receipt
from tasks.errors import PermanentError, TransientError

OUTCOMES = {
    **dict.fromkeys((200, 201, 202, 204), Receipt),
    **dict.fromkeys((300, 301, 302, 303, 304, 307, 308), PermanentError),
    **dict.fromkeys((400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 451), PermanentError),
    **dict.fromkeys((408, 425, 429), TransientError),
    **dict.fromkeys((500, 501, 502, 503, 504, 507, 520, 529, 599), TransientError),
}

each_status = pytest.mark.parametrize(("status", "outcome"), OUTCOMES.items(), ids=map(str, OUTCOMES))


def answer(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    """An answer of this status; some have no body by HTTP's own rule."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=named, body=b"" if status in (204, 304) else body)


def outcome_of(deliver: Callable[[], Receipt]) -> Receipt | PermanentError | TransientError:
    """The receipt, or the error in its place; any other error is a failure of the test."""
    try:
        return deliver()
    except (PermanentError, TransientError) as error:
        return error


def told(outcome: object) -> str:
    """All that a log, a row or a person could get to see of an outcome."""
    whole = "".join(traceback.format_exception(outcome)) if isinstance(outcome, Exception) else ""
    return f"{outcome!s}\n{outcome!r}\n{whole}"


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """All that anybody logged, save the answer's headers, which httpcore's debug lines repeat."""
    messages = [record.getMessage() for record in caplog.records]
    return "\n".join(message for message in messages if not message.startswith("receive_response_headers"))


# Retry-After as it may come, and how many seconds the wait is then, give or take two; None: nobody can say.
WAITS = {
    "seconds": (lambda: "30", 30),
    "date": (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True), 90),
    "past": (lambda: "Wed, 21 Oct 2015 07:28:00 GMT", 0),
    "nonsense": (lambda: "soon", None),
}

each_wait = pytest.mark.parametrize(("wish", "seconds"), WAITS.values(), ids=WAITS)


@contextmanager
def refused() -> Iterator[str]:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def cut() -> Iterator[str]:
    """A server that hangs up in place of an answer."""
    with raw_server(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as url:
        yield url


@contextmanager
def cut_within() -> Iterator[str]:
    """A server that takes the message, says so, and hangs up before it has finished."""
    with raw_server(
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\no")
    ) as url:
        yield url


@contextmanager
def silent() -> Iterator[str]:
    """A server that never answers."""
    with raw_server(lambda connection: connection.recv(1)) as url:
        yield url


@contextmanager
def babbling() -> Iterator[str]:
    """A server that does not speak HTTP."""
    with raw_server(lambda connection: connection.sendall(b"220 mail ready\r\n")) as url:
        yield url


BREAKS = {
    refused: TransientError,
    cut: TransientError,
    cut_within: Receipt,
    silent: TransientError,
    babbling: TransientError,
}

each_break = pytest.mark.parametrize(("broken", "outcome"), BREAKS.items(), ids=[each.__name__ for each in BREAKS])
