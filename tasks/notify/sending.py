"""Sending what a run has in hand: channels side by side, one incident's messages to one channel in order."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage import channels, database, notifications, runs, settings
from storage.notifications import ClaimedNotification, Said
from storage.records import ChannelConfig
from storage.redaction import redact_text
from storage.storable import storable_text
from storage.tables.base import utc_now
from tasks.attempt import StageContext
from tasks.errors import PermanentError, TransientError, is_retryable
from tasks.notify import outbox
from tasks.notify.admission import note_failure
from tasks.notify.channels import build
from tasks.notify.channels.base import Channel
from tasks.notify.facts import Facts, gather
from tasks.notify.schedule import is_within_run, next_try_at

log = logging.getLogger("watchkeeper.notify")

# Messages on their way to one channel at a time.
SENDERS = 10
# Of the node's time limit, what is left when no new message is begun: the last ones must end within it.
SPARE = 0.25


@dataclass
class _Sender:
    """One channel during a try: its driver or why there is none, and since when nothing more is sent to it."""

    driver: Channel | None
    refusal: Exception | None
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Try:
    context: StageContext
    facts: Facts
    senders: Mapping[str, _Sender]
    ends_at: float


def send_in_hand(context: StageContext, *, ends_at: float) -> None:
    """Send every message that the run has in hand and that is due, each once, until none is left.

    What fails is written down with its next try; what is still unsent at `ends_at` (monotonic) is left for later.
    """
    with database.get().read() as session:
        active = {channel.name: channel for channel in channels.active_channels(session)}
    tried: set[int] = set()
    while time.monotonic() < ends_at:
        with database.get().write() as session:
            runs.check_fence(session, run_pk=context.run.pk, fence=context.run.fence)
            claimed = outbox.claim(session, context.run, active, tried=tried)
            for row in claimed.held_up:
                outbox.stand_in_for(session, notifications.as_claimed(row), is_permanent=False, run=context.run)
        if not claimed.messages and not claimed.held_up:
            return
        tried |= {message.pk for message in claimed.messages}
        if claimed.messages:
            senders = {name: _sender(active.get(name), name) for name in {m.channel for m in claimed.messages}}
            _send_all(_Try(context, gather(claimed.messages), senders, ends_at), claimed.messages)


def _sender(channel: ChannelConfig | None, name: str) -> _Sender:
    if channel is None:
        return _Sender(None, TransientError(f"channel {name} is not active"))
    try:
        return _Sender(build(channel), None)
    except (PermanentError, TransientError) as error:
        return _Sender(None, error)


def _send_all(attempt: _Try, claimed: Sequence[ClaimedNotification]) -> None:
    """Each channel has senders of its own, so that none waits for a slow one."""
    lanes: dict[str, dict[int, list[ClaimedNotification]]] = defaultdict(lambda: defaultdict(list))
    for message in claimed:
        lanes[message.channel][message.incident_id].append(message)
    pools = []
    for name, of_channel in lanes.items():
        pool = ThreadPoolExecutor(min(SENDERS, len(of_channel)), thread_name_prefix=f"notify-{name}")
        pools.append((pool, [pool.submit(_send_lane, attempt, lane) for lane in of_channel.values()]))
    for pool, futures in pools:
        pool.shutdown()
        for future in futures:
            future.result()


def _send_lane(attempt: _Try, lane: Iterable[ClaimedNotification]) -> None:
    """In order; after one that does not go out the others wait."""
    is_open = True
    for message in lane:
        sender = attempt.senders[message.channel]
        if is_open and _waited(sender, message.send_at, attempt.ends_at):
            is_open = _send(attempt, message, sender)
        else:
            _put_back(message)


def _waited(sender: _Sender, send_at: datetime, ends_at: float) -> bool:
    """Wait for the message's turn in the channel's limit; False where nothing more may be sent."""
    pause = (send_at - utc_now()).total_seconds()
    if pause > 0:
        sender.stopped.wait(pause)
    return not sender.stopped.is_set() and time.monotonic() < ends_at


def _put_back(message: ClaimedNotification) -> None:
    with database.get().write() as session:
        notifications.put_back(session, message, due_at=utc_now())


def _send(attempt: _Try, message: ClaimedNotification, sender: _Sender) -> bool:
    said = Said()
    try:
        if sender.driver is None:
            raise sender.refusal or PermanentError(f"channel {message.channel} is gone")  # noqa: TRY301
        notification = attempt.facts.message(message)
        said = Said(title=notification.title, message=notification.message)
        receipt = sender.driver.deliver(notification)
    except Exception as error:  # noqa: BLE001  (the edge that records why a message did not go out)
        _record_failure(attempt.context, message, sender, said, error)
        return False
    with database.get().write() as session:
        notifications.mark_sent(session, message, said=said, provider_id=receipt.provider_id)
        channels.forget_failures(session, message.channel)
    return True


def _record_failure(
    context: StageContext, message: ClaimedNotification, sender: _Sender, said: Said, error: Exception
) -> None:
    text = redact_text(storable_text(str(error))) or type(error).__name__
    now = utc_now()
    due_at = next_try_at(error, attempts=message.attempts, now=now, delays=settings.load().notify_retry_seconds)
    with database.get().write() as session:
        state = channels.lock_states(session, [message.channel])[message.channel]
        if note_failure(state, error=text, now=now):
            sender.stopped.set()
            due_at = max(due_at, state.rests_until or now) if due_at else None
        notifications.mark_failed(
            session, message, said=said, error_type=type(error).__name__, error=text, due_at=due_at
        )
        leaves_run = due_at is None or context.is_last_attempt or not is_within_run(due_at, now=now)
        if leaves_run:
            outbox.stand_in_for(session, message, is_permanent=not is_retryable(error), run=context.run)
    log.warning(
        "notification failed",
        extra={"trace_id": message.trace_id, "channel": message.channel, "incident_id": message.incident_id,
               "error": text, "is_dead": due_at is None},
    )  # fmt: skip


def deadline_of(context: StageContext) -> float:
    """When no new message is begun any more, by the monotonic clock."""
    return time.monotonic() + timedelta(seconds=context.timeout_seconds * (1 - SPARE)).total_seconds()
