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
# Of a minute's messages so many may go at once.
BURST = 1 / 6


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
    for row in rows:
        send_at = _slot(state, rate_per_minute, now)
        if send_at > now + timedelta(seconds=PATIENCE_SECONDS):
            admission.postponed.append((row, send_at))
            continue
        if rate_per_minute:
            interval = timedelta(seconds=60 / rate_per_minute)
            state.next_slot_at = max(state.next_slot_at or now, now) + interval
        admission.admitted.append((row, send_at))
    return admission


def _slot(state: ChannelState, rate_per_minute: float, now: datetime) -> datetime:
    """The generic cell rate algorithm (ITU-T I.371): an even pace, with a burst allowed."""
    if not rate_per_minute or state.next_slot_at is None:
        return now
    tolerance = timedelta(seconds=60 * BURST)
    return max(now, state.next_slot_at - tolerance)


def note_failure(state: ChannelState, *, error: str, now: datetime) -> bool:
    """Write down that a try failed. Returns whether the circuit opened with it, or stays open."""
    state.failures += 1
    state.failing_since = state.failing_since or now
    state.last_error = error
    beyond = state.failures - OPEN_AFTER_FAILURES
    if beyond < 0:
        return False
    rest = min(FIRST_REST_SECONDS * 2 ** min(beyond, 10), MAX_REST_SECONDS)
    state.rests_until = now + timedelta(seconds=rest)
    return True
