"""Durable accept: what is answered 202 is on disk, or the answer is 503 within a few seconds.

All requests hand their delivery to one writer thread, which commits whatever has gathered in one
transaction. So many requests share one disk flush, the receiver needs one connection however many clients
there are, and a request whose commit hangs can still be answered in time.
"""

import logging
import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from storage import inbox
from storage.database import Database
from storage.inbox import NewDelivery

log = logging.getLogger("watchkeeper.receiver")

BATCH = 64
QUEUE = 1024


class NotStoredError(Exception):
    """The delivery could not be committed in time; the sender should try again."""


@dataclass(frozen=True)
class Accepted:
    """A stored delivery, or the first one of the same sender's id."""

    delivery_id: str
    trace_id: str
    is_duplicate: bool = False


@dataclass
class _Ticket:
    delivery: NewDelivery
    answer: Future[Accepted] = field(default_factory=Future)


class Acceptor:
    """Stores deliveries through one writer thread, which starts with the first one."""

    def __init__(self, database: Database, *, timeout_seconds: float) -> None:
        self._connection = database.writer()
        self._must_wake = not database.is_sqlite
        self._timeout_seconds = timeout_seconds
        self._tickets: queue.Queue[_Ticket | None] = queue.Queue(QUEUE)
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None
        self._writing_since: float | None = None

    def accept(self, delivery: NewDelivery) -> Accepted:
        """Commit a delivery. Raises NotStoredError when that cannot be done in time.

        A commit that hangs is waited for once, not once more by each request that comes behind it: those may
        have waited for a thread already.
        """
        self._ensure_writer()
        patience_seconds = self._patience_seconds()
        if patience_seconds <= 0:
            raise NotStoredError("the database does not answer")
        ticket = _Ticket(delivery)
        try:
            self._tickets.put_nowait(ticket)
            return ticket.answer.result(timeout=patience_seconds)
        except queue.Full:
            raise NotStoredError("too many deliveries wait to be stored") from None
        except FutureTimeoutError:
            # Still in the queue: withdrawn. Already being written: it may be stored, and the sender's
            # repeat is then a second delivery of the same alerts, which changes nothing.
            ticket.answer.cancel()
            raise NotStoredError("the database did not answer in time") from None

    def close(self) -> None:
        """Write what waits and end the writer."""
        if self._writer is not None:
            self._tickets.put(None)
            self._writer.join(timeout=self._timeout_seconds)

    def _patience_seconds(self) -> float:
        since = self._writing_since
        return self._timeout_seconds - (time.monotonic() - since if since is not None else 0)

    def _ensure_writer(self) -> None:
        with self._starting:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._write, name="inbox-writer", daemon=True)
                self._writer.start()

    def _write(self) -> None:
        while (ticket := self._tickets.get()) is not None:
            batch = [ticket, *self._gathered()]
            # A ticket that was withdrawn cannot be taken; one that is taken is answered below.
            taken = [t for t in batch if t.answer.set_running_or_notify_cancel()]
            if taken:
                self._writing_since = time.monotonic()
                self._store(taken)
                self._writing_since = None

    def _gathered(self) -> list[_Ticket]:
        gathered: list[_Ticket] = []
        while len(gathered) < BATCH - 1:
            try:
                ticket = self._tickets.get_nowait()
            except queue.Empty:
                break
            if ticket is None:
                self._tickets.put(None)
                break
            gathered.append(ticket)
        return gathered

    def _store(self, tickets: list[_Ticket]) -> None:
        try:
            answers = self._commit([ticket.delivery for ticket in tickets])
        except SQLAlchemyError as error:
            log.warning("deliveries not stored", extra={"error": type(error).__name__, "count": len(tickets)})
            self._fail(tickets, NotStoredError("the database refused the delivery"))
        except Exception as error:
            log.exception("deliveries not stored", extra={"count": len(tickets)})
            self._fail(tickets, NotStoredError(type(error).__name__))
        else:
            for ticket, answer in zip(tickets, answers, strict=True):
                ticket.answer.set_result(answer)
            if self._must_wake:
                self._wake_relay()

    def _wake_relay(self) -> None:
        # After the answers: it looks by itself every few seconds, should this fail.
        with suppress(SQLAlchemyError), self._connection.connection() as connection:
            inbox.wake(connection)

    @staticmethod
    def _fail(tickets: list[_Ticket], error: NotStoredError) -> None:
        for ticket in tickets:
            ticket.answer.set_exception(error)

    def _commit(self, deliveries: list[NewDelivery]) -> list[Accepted]:
        try:
            return self._commit_once(deliveries)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The kept connection was stale: the database was restarted since. What that transaction may
            # have stored all the same is left out by its delivery id.
            return self._commit_once(deliveries)

    def _commit_once(self, deliveries: list[NewDelivery]) -> list[Accepted]:
        with self._connection.connection() as connection:
            stored = inbox.accept_over(connection, deliveries)
            return [
                Accepted(delivery.delivery_id, delivery.trace_id)
                if delivery.delivery_id in stored or not delivery.sender_delivery_id
                else _first_of(connection, delivery)
                for delivery in deliveries
            ]


def _first_of(connection: Connection, delivery: NewDelivery) -> Accepted:
    """What to answer for a delivery that was there already: the one that first had its sender's id."""
    with Session(connection) as session:
        first = inbox.find_repeated(
            session, source=delivery.source, sender_delivery_id=delivery.sender_delivery_id or ""
        )
    if first is None or first.delivery_id == delivery.delivery_id:
        return Accepted(delivery.delivery_id, delivery.trace_id)
    return Accepted(first.delivery_id, first.trace_id, is_duplicate=True)
