"""One-off messages: somebody's own words to one destination, sent while they wait, about no incident.

No row is written: the caller has the answer. A saved channel's limit and circuit count for them as for all
messages, and how they fare counts for the channel.
"""

import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, Field, field_validator

from storage import channels, database, tables
from storage.records import ChannelConfig, Receipt
from storage.redaction import redact, redact_text
from storage.storable import storable, storable_text
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason
from tasks.errors import PermanentError, TransientError
from tasks.ingest.severity import BY_WORD
from tasks.notify import channel_alert
from tasks.notify.admission import admit, note_failure, note_wish
from tasks.notify.channels import build, rate_of
from tasks.notify.channels.base import Channel
from tasks.notify.message import MAX_MESSAGE_CHARS, Notification
from tasks.notify.selection import DEFAULT_CHANNEL
from tasks.notify.text import MAX_LINE_CHARS, bounded_line, one_line, plain_text, shorten

Severity = Literal["critical", "warning", "info", "success"]
SUCCESS_WORDS = frozenset({"success", "successful", "ok", "okay", "good", "resolved", "recovered", "recovery"})
# So long somebody waits for their message's turn in the channel's limit.
MAX_TURN_SECONDS = 5.0
MAX_TAGS = 50
MAX_CONTEXT_BYTES = 64 * 1024
# Redaction may make a text much shorter.
READ_FACTOR = 4

log = logging.getLogger("watchkeeper.notify")


class RestingError(TransientError):
    """The channel failed several times in a row, and nothing is tried for a while."""


class RateError(TransientError):
    """The channel's limit of messages a minute is reached."""


class UnjudgedError(TransientError):
    """The driver stumbled, perhaps over a context of an odd shape: that says nothing of the channel."""


def normalise(word: str) -> Severity:
    """The severity that a word stands for. Raises ValueError for a word that stands for none."""
    plain = word.strip().casefold()
    if plain in SUCCESS_WORDS:
        return "success"
    if plain not in BY_WORD:
        raise ValueError("one of critical, warning, info, success, or a common word for one of them")
    return BY_WORD[plain].value


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("says nothing")
    return text


Words = Annotated[str, AfterValidator(_says_something)]


class OneOff(BaseModel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True):
    """What somebody wants to say (seeds, NotificationMessage). `channel` is what the message names as its own."""

    title: Words
    message: Words
    severity: str = "info"
    channel: str = Field(default="", max_length=MAX_LINE_CHARS)
    tags: dict[str, str] = Field(default_factory=dict, max_length=MAX_TAGS)
    context: dict[str, Any] = Field(default_factory=dict)

    @field_validator("severity")
    @classmethod
    def _is_known(cls, word: str) -> str:
        return normalise(word)

    @field_validator("context")
    @classmethod
    def _is_bounded(cls, context: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(context).encode()) > MAX_CONTEXT_BYTES:
            raise ValueError(f"more than {MAX_CONTEXT_BYTES:,} bytes of JSON")
        return context


@dataclass(frozen=True)
class Sent:
    """What came of a message that the destination has."""

    receipt: Receipt
    notification: Notification
    duration_seconds: float


def compose_one_off(wish: OneOff, *, channel: str = DEFAULT_CHANNEL) -> Notification:
    """The message as drivers get it: redacted, cleaned and bounded as those about incidents are."""
    read_tags = {_read(name, MAX_LINE_CHARS): _read(value, MAX_LINE_CHARS) for name, value in wish.tags.items()}
    tags = {bounded_line(name): bounded_line(value) for name, value in redact(read_tags).items()}
    return Notification(
        reason=NotificationReason.MESSAGE,
        title=redact_text(storable_text(_read(wish.title, MAX_LINE_CHARS))),
        message=_body(wish.message),
        severity=normalise(wish.severity),
        channel=bounded_line(wish.channel or channel),
        tags=tags,
        context=_clean(redact(storable(wish.context))),
        idempotency_key=str(uuid4()),
    )


def try_out(channel: ChannelConfig) -> Sent:
    """Send a real message through a saved channel, to see whether it works. Raises as `build` and `send` do."""
    message = compose_one_off(trial_of(channel.name), channel=channel.name)
    return send(channel, build(channel), message)


def trial_of(channel: str) -> OneOff:
    """What is sent to see whether a channel works."""
    can = f"Watchkeeper on {socket.gethostname()} can reach you here."
    return OneOff(
        title=f"Test of channel {channel}", message=f"{can} Nothing is wrong; nobody has to do anything."
    )


def send(channel: ChannelConfig, driver: Channel, notification: Notification) -> Sent:
    """Send through a saved channel, in its turn.

    Raises RestingError and RateError where that is not now; else what the driver raises. What may pass is written
    down as the channel's failure; what is refused for good may be the fault of these words, and must not make the
    channel rest for alerts.
    """
    _wait_until(_turn(channel))
    try:
        sent = send_plainly(driver, notification)
    except UnjudgedError:
        raise
    except TransientError as error:
        _note_failure(channel, error, trace_id=notification.idempotency_key)
        raise
    _note_success(channel, trace_id=notification.idempotency_key)
    return sent


def send_plainly(driver: Channel, notification: Notification) -> Sent:
    """Send through a driver that is nobody's channel. Raises PermanentError or TransientError."""
    started = time.monotonic()
    try:
        receipt = driver.deliver(notification)
    except PermanentError as error:
        raise PermanentError(_told(error)) from None
    except TransientError as error:
        raise TransientError(_told(error), retry_after_seconds=error.retry_after_seconds) from None
    except Exception as error:  # noqa: BLE001  (an edge: whoever waits is told)
        # No traceback, since its last line may hold what a message must not.
        where = {"channel": notification.channel, "driver": driver.kind}
        log.error("driver stumbled", extra={**where, "error": _told(error), "error_type": type(error).__name__})  # noqa: TRY400
        raise UnjudgedError(f"the message could not be made or sent: {_told(error)}") from None
    return Sent(receipt, notification, time.monotonic() - started)


def _told(error: Exception) -> str:
    return redact_text(storable_text(str(error))) or type(error).__name__


def _turn(channel: ChannelConfig) -> datetime:
    """When the message may go. Where it is refused nothing is written down, so that it takes nobody's turn."""
    now = utc_now()
    with database.get().write() as session:
        state = channels.lock_states(session, [channel.name])[channel.name]
        # The rows are only handed through; this one is never stored.
        row = tables.Notification(channel=channel.name)
        admission = admit(state, [row], rate_per_minute=rate_of(channel), now=now)
        [(_, send_at)] = admission.admitted or admission.postponed
        wait_seconds = (send_at - now).total_seconds()
        if not admission.admitted and admission.is_resting:
            told = _told_of_rest(channel.name, send_at, state.last_error)
            raise RestingError(told, retry_after_seconds=wait_seconds)
        if not admission.admitted or send_at - now > timedelta(seconds=MAX_TURN_SECONDS):
            raise RateError(_told_of_rate(channel, wait_seconds), retry_after_seconds=wait_seconds)
    return send_at


def _told_of_rest(name: str, until: datetime, last_error: str) -> str:
    why = f": {redact_text(last_error)}" if last_error else ""
    return f"channel {name!r} failed several times in a row and rests until {until:%H:%M:%S} UTC{why}"


def _told_of_rate(channel: ChannelConfig, wait_seconds: float) -> str:
    rate = rate_of(channel)
    why = f"may have {rate:g} messages a minute" if rate else "asked to be left alone"
    return f"channel {channel.name!r} {why}; the next may go in {wait_seconds:.0f} s"


def _note_success(channel: ChannelConfig, *, trace_id: str) -> None:
    with _bookkeeping(channel, trace_id):
        with database.get().read() as session:
            is_back = channels.is_failing(session, channel.name)
        if is_back:
            channel_alert.say_recovered(channel.name, trace_id=trace_id)


def _note_failure(channel: ChannelConfig, error: TransientError, *, trace_id: str) -> None:
    now, wish = utc_now(), error.retry_after_seconds
    with _bookkeeping(channel, trace_id):
        with database.get().write() as session:
            state = channels.lock_states(session, [channel.name])[channel.name]
            is_open = note_failure(state, error=str(error), now=now)
            if wish:
                note_wish(state, retry_after_seconds=wish, rate_per_minute=rate_of(channel), now=now)
        # One message that is refused is its sender's to know of; that nothing goes through any more, everybody's.
        if is_open:
            channel_alert.say_failing(channel.name, trace_id=trace_id)


@contextmanager
def _bookkeeping(channel: ChannelConfig, trace_id: str) -> Iterator[None]:
    """What is written down after a message; whoever waits for the answer gets it in any case."""
    try:
        yield
    except Exception:
        log.exception("how a channel fares is not stored", extra={"channel": channel.name, "trace_id": trace_id})


def _wait_until(send_at: datetime) -> None:
    time.sleep(max((send_at - utc_now()).total_seconds(), 0))


def _body(text: str) -> str:
    read = _read(text, MAX_MESSAGE_CHARS)
    told = plain_text(redact_text(storable_text(read)))
    # The spaces stand for what was not read, so that it counts as left out.
    return shorten(told + " " * (len(text) - len(read)), MAX_MESSAGE_CHARS)


def _read(text: str, max_chars: int) -> str:
    """As much as is looked at of a text of which no more than `max_chars` are told: redaction takes its time.

    The end is that of a word, since a secret that is cut through may not be known as one.
    """
    end = max_chars * READ_FACTOR
    if len(text) <= end:
        return text
    last_words = text[end - max_chars : end]
    whole, *_ = last_words.rsplit(None, 1) or [""]
    return text[: end - max_chars] + whole


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, Mapping):
        return {one_line(str(name)): _clean(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(held) for held in value]
    return value
