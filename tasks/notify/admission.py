"""Which messages may go to a channel now: its limit per minute, and its circuit. Pure but for the row it updates.

The circuit opens when several tries in a row have failed. Nothing is tried for a while then, and after that one
message shows whether the channel is back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage.tables import ChannelState, Notification

OPEN_AFTER_FAILURES = 5
FIRST_REST_SECONDS = 30.0
MAX_REST_SECONDS = 600.0
# While the one message is on its way that shows whether the channel is back.
TRIAL_SECONDS = 60.0
# What may not go within this is left to a later run.
PATIENCE_SECONDS = 20.0
# Of a minute's messages so many may go at once. The pace of the others is the slower for it, so that no minute,
# wherever it begins, sees more than the limit.
BURST = 1 / 6
MINUTE_SECONDS = 60.0
# Of limits that are hardly more than none: a slot must be a time that there is.
MAX_INTERVAL_SECONDS = 86_400.0


@dataclass
class Admission:
    """When each message may go: those that may now or soon, and those that are to wait until then."""

    admitted: list[tuple[Notification, datetime]] = field(default_factory=list)
    postponed: list[tuple[Notification, datetime]] = field(default_factory=list)
    is_resting: bool = False


def admit(
    state: ChannelState, rows: Sequence[Notification], *, rate_per_minute: float, now: datetime
) -> Admission:
    """Let messages through, in their order, and write down in the locked `state` that they are on their way.

    A rate of 0 is no limit.
    """
    if state.rests_until and state.rests_until > now:
        until = state.rests_until
        return Admission(postponed=[(row, until) for row in rows], is_resting=True)
    admission = Admission()
    if state.failures >= OPEN_AFTER_FAILURES and rows:
        state.rests_until = now + timedelta(seconds=TRIAL_SECONDS)
        admission.is_resting = True
        admission.postponed = [(row, state.rests_until) for row in rows[1:]]
        rows = rows[:1]
    _pace(admission, state, rows, rate_per_minute, now)
    return admission


def _pace(
    admission: Admission, state: ChannelState, rows: Sequence[Notification], rate_per_minute: float, now: datetime
) -> None:
    """The generic cell rate algorithm (ITU-T I.371): an even pace, with a burst allowed."""
    interval, tolerance = _interval_and_tolerance(rate_per_minute)
    patience = timedelta(seconds=PATIENCE_SECONDS)
    slot = state.next_slot_at
    for row in rows:
        send_at = max(now, slot - tolerance) if slot else now
        slot = max(slot or now, now) + interval if interval else slot
        if send_at <= now + patience:
            state.next_slot_at = slot
            admission.admitted.append((row, send_at))
        else:
            # Together with the others of the same while, so that one later run takes them all.
            admission.postponed.append((row, now + (send_at - now) // patience * patience))


def _interval_and_tolerance(rate_per_minute: float) -> tuple[timedelta, timedelta]:
    if not rate_per_minute:
        return timedelta(), timedelta()
    at_once = rate_per_minute * BURST
    even_rate = rate_per_minute if at_once <= 1 else rate_per_minute - at_once
    interval = timedelta(seconds=min(MINUTE_SECONDS / even_rate, MAX_INTERVAL_SECONDS))
    return interval, interval * max(at_once - 1, 0)


def note_failure(state: ChannelState, *, error: str, now: datetime) -> bool:
    """Write down that a try failed. Returns whether the circuit opened with it, or stays open."""
    state.failures += 1
    state.failing_since = state.failing_since or now
    state.last_error = error
    if state.failures < OPEN_AFTER_FAILURES:
        return False
    # As long again as it has failed for: those that fail side by side do not add up to a long rest.
    failed_for = (now - state.failing_since).total_seconds()
    rest = min(max(failed_for, FIRST_REST_SECONDS), MAX_REST_SECONDS)
    state.rests_until = now + timedelta(seconds=rest)
    return True


def note_wish(state: ChannelState, *, retry_after_seconds: float, rate_per_minute: float, now: datetime) -> None:
    """Write down that the destination wants to be left alone for so long: that holds for all messages to it."""
    pause = timedelta(seconds=min(retry_after_seconds, MAX_REST_SECONDS))
    _, tolerance = _interval_and_tolerance(rate_per_minute)
    state.next_slot_at = max(state.next_slot_at or now, now + pause + tolerance)
