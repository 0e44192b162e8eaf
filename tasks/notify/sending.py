"""Sending what a run has in hand: channels side by side, one incident's messages to one channel in order."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage import channels, database, notifications, runs, settings
from storage.log_fields import in_context
from storage.notifications import ClaimedNotification, Said
from storage.records import ChannelConfig
from storage.redaction import redact_text
from storage.storable import storable_text
from storage.tables.base import utc_now
from tasks.attempt import StageContext
from tasks.errors import PermanentError, TransientError, is_retryable
from tasks.notify import channel_alert, outbox, stand_in
from tasks.notify.admission import note_failure, note_wish
from tasks.notify.channels import build, rate_of
from tasks.notify.channels.base import Channel
from tasks.notify.facts import Facts, gather
from tasks.notify.message import Notification
from tasks.notify.schedule import is_within_run, next_try_at

log = logging.getLogger("watchkeeper.notify")

# Messages on their way to one channel at a time.
SENDERS = 10
# The longest that a driver may be told to wait for a destination.
LONGEST_TIMEOUT_SECONDS = 300.0
# For what a delivery does besides, such as starting a child process.
SPARE_SECONDS = 30.0
# Of a node's time limit: after so much no new message is begun, and after so much nobody waits for one any more.
BEGIN_SHARE = 0.75
WAIT_SHARE = 0.95


@dataclass(frozen=True)
class TimeLimit:
    """Until when a try begins messages, and until when it waits for them, by the monotonic clock."""

    begin_until: float
    wait_until: float

    @classmethod
    def of(cls, context: StageContext) -> "TimeLimit":
        """The limit of an attempt that begins now."""
        now = time.monotonic()
        return cls(now + context.timeout_seconds * BEGIN_SHARE, now + context.timeout_seconds * WAIT_SHARE)

    def lost_at(self) -> datetime:
        """When no message that this attempt begins can be on its way any more."""
        begins_for = max(self.begin_until - time.monotonic(), 0.0)
        return utc_now() + timedelta(seconds=begins_for + LONGEST_TIMEOUT_SECONDS + SPARE_SECONDS)


@dataclass
class _Sender:
    """One channel during a try: its driver or why there is none, and whether no more is to be sent to it."""

    driver: Channel | None
    refusal: Exception | None
    rate_per_minute: float
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Try:
    """`begun` holds the messages that a sender has begun to send."""

    context: StageContext
    limit: TimeLimit
    facts: Facts
    senders: Mapping[str, _Sender]
    begun: set[int] = field(default_factory=set)


class _OnTheirWay:
    """The messages that this process is sending. A sender may outlast the attempt that it belongs to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pks: set[int] = set()

    @contextmanager
    def holding(self, pk: int) -> Iterator[None]:
        """This one is on its way in the block."""
        with self._lock:
            self._pks.add(pk)
        try:
            yield
        finally:
            with self._lock:
                self._pks.discard(pk)

    def all(self) -> set[int]:
        """The ids of all of them."""
        with self._lock:
            return set(self._pks)


_on_their_way = _OnTheirWay()


def send_in_hand(context: StageContext, limit: TimeLimit) -> None:
    """Send every message that the run has in hand and that is due, each once, until none is left.

    What fails is written down with its next try; what the time does not suffice for is left for later.
    """
    with database.get().read() as session:
        active = {channel.name: channel for channel in channels.active_channels(session)}
    left_out: set[int] = set()
    while time.monotonic() < limit.begin_until:
        claimed = _claim(context, active, left_out, lost_at=limit.lost_at())
        if not claimed:
            return
        left_out |= {row.id for row in claimed.held_back}
        if claimed.messages:
            # Those only that are active can be claimed.
            senders = {name: _sender(active[name]) for name in {each.channel for each in claimed.messages}}
            attempt = _Try(context, limit, gather(claimed.messages), senders)
            _send_all(attempt, claimed.messages)
            left_out |= attempt.begun


def _claim(
    context: StageContext, active: Mapping[str, ChannelConfig], left_out: set[int], *, lost_at: datetime
) -> outbox.Claimed:
    run_id, on_their_way = context.run.run_id, _on_their_way.all()
    with database.get().write() as session:
        runs.check_fence(session, run_pk=context.run.pk, fence=context.run.fence)
        claimed = outbox.claim(session, context.run, active, lost_at=lost_at, left_out=left_out | on_their_way)
        notifications.keep_on_their_way(session, on_their_way, run_id=run_id, lost_at=lost_at)
        stand_in.tell_others(
            session,
            waiting=map(notifications.as_claimed, claimed.held_back),
            lost=map(notifications.as_claimed, claimed.given_up),
            sender_run_id=run_id,
        )
    return claimed


def _sender(channel: ChannelConfig) -> _Sender:
    try:
        return _Sender(build(channel), None, rate_of(channel))
    except (PermanentError, TransientError) as error:
        return _Sender(None, error, rate_of(channel))


def _send_all(attempt: _Try, claimed: Sequence[ClaimedNotification]) -> None:
    """Each channel has senders of its own, so that none waits for a slow one."""
    lanes: dict[str, dict[int, list[ClaimedNotification]]] = defaultdict(lambda: defaultdict(list))
    for message in claimed:
        lanes[message.channel][message.incident_id].append(message)
    pools: list[ThreadPoolExecutor] = []
    futures: list[Future[None]] = []
    for name, of_channel in lanes.items():
        pools.append(ThreadPoolExecutor(min(SENDERS, len(of_channel)), thread_name_prefix=f"notify-{name}"))
        futures += [pools[-1].submit(in_context(_send_lane), attempt, lane) for lane in of_channel.values()]
    done, _ = wait(futures, timeout=max(attempt.limit.wait_until - time.monotonic(), 0))
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)
    _put_back([message for message in claimed if message.pk not in attempt.begun])
    for future in done:
        future.result()


def _put_back(messages: Sequence[ClaimedNotification]) -> None:
    if not messages:
        return
    with database.get().write() as session:
        for message in messages:
            notifications.put_back(session, message, due_at=utc_now())


def _send_lane(attempt: _Try, lane: Iterable[ClaimedNotification]) -> None:
    """In order; after one that does not go out the others wait."""
    for message in lane:
        if not _waited(attempt, message):
            return
        attempt.begun.add(message.pk)
        with _on_their_way.holding(message.pk):
            is_sent = _send(attempt, message)
        if not is_sent:
            return


def _waited(attempt: _Try, message: ClaimedNotification) -> bool:
    """Wait for the message's turn in the channel's limit; False where nothing more may be sent."""
    sender, until = attempt.senders[message.channel], attempt.limit.begin_until
    pause = (message.send_at - utc_now()).total_seconds()
    is_in_time = time.monotonic() + max(pause, 0) < until
    if is_in_time and pause > 0:
        sender.stopped.wait(pause)
    return is_in_time and not sender.stopped.is_set()


def _send(attempt: _Try, message: ClaimedNotification) -> bool:
    try:
        notification = attempt.facts.message(message)
    except Exception as error:  # noqa: BLE001  (one incident's odd data is no fault of the channel, nor of the others)
        _record_unwritten(message, error)
        return False
    return _deliver(attempt, message, notification)


def _deliver(attempt: _Try, message: ClaimedNotification, notification: Notification) -> bool:
    sender = attempt.senders[message.channel]
    said = Said(title=notification.title, message=notification.message)
    try:
        if sender.driver is None:
            raise sender.refusal or PermanentError("it has no driver")  # noqa: TRY301
        receipt = sender.driver.deliver(notification)
    except Exception as error:  # noqa: BLE001  (the edge that records why a message did not go out)
        _record_failure(attempt, message, said, error)
        return False
    with database.get().write() as session:
        notifications.mark_sent(session, message, said=said, provider_id=receipt.provider_id)
        is_back = channels.is_failing(session, message.channel)
    log.info("notification sent", extra=_fields(message) | {"detail": receipt.detail})
    if is_back:
        _alert(message, channel_alert.say_recovered)
    return True


def _record_unwritten(message: ClaimedNotification, error: Exception) -> None:
    """A message that cannot be composed is tried again like any other; its channel has nothing to do with it."""
    text = f"the message could not be composed: {_text_of(error)}"
    due_at = next_try_at(
        error, attempts=message.attempts, now=utc_now(), delays=settings.load().notify_retry_seconds
    )
    with database.get().write() as session:
        notifications.mark_failed(
            session, message, said=Said(), error_type=type(error).__name__, error=text, due_at=due_at
        )
    # No traceback, since its last line may hold what a message must not.
    log.error("notification not composed", extra=_fields(message) | {"error": text})


def _record_failure(attempt: _Try, message: ClaimedNotification, said: Said, error: Exception) -> None:
    text, now, sender = _text_of(error), utc_now(), attempt.senders[message.channel]
    due_at = next_try_at(error, attempts=message.attempts, now=now, delays=settings.load().notify_retry_seconds)
    wish = error.retry_after_seconds if isinstance(error, TransientError) else None
    with database.get().write() as session:
        state = channels.lock_states(session, [message.channel])[message.channel]
        is_open = note_failure(state, error=text, now=now)
        if wish:
            note_wish(state, retry_after_seconds=wish, rate_per_minute=sender.rate_per_minute, now=now)
        if is_open and due_at:
            due_at = max(due_at, state.rests_until or now)
        is_mine = notifications.mark_failed(
            session, message, said=said, error_type=type(error).__name__, error=text, due_at=due_at
        )
        if is_mine and due_at is None:
            stand_in.tell_others(session, lost=[message], sender_run_id=attempt.context.run.run_id)
        elif is_mine and due_at and (attempt.context.is_last_attempt or not is_within_run(due_at, now=now)):
            stand_in.tell_others(session, waiting=[message], sender_run_id=attempt.context.run.run_id)
    if is_open or wish:
        sender.stopped.set()
    log.warning("notification failed", extra=_fields(message) | {"error": text, "is_dead": due_at is None})
    if is_open or not is_retryable(error):
        _alert(message, channel_alert.say_failing)


def _alert(message: ClaimedNotification, say: channel_alert.Saying) -> None:
    """In a transaction of its own: it locks incidents, which nobody may who holds a channel's state."""
    try:
        say(message.channel, trace_id=message.trace_id)
    except Exception:  # the message is recorded; the next try of the channel says it
        log.exception("channel alert not stored", extra=_fields(message))


def _text_of(error: Exception) -> str:
    return redact_text(storable_text(str(error))) or type(error).__name__


def _fields(message: ClaimedNotification) -> dict[str, object]:
    return {"trace_id": message.trace_id, "channel": message.channel, "incident_id": message.incident_id}
