"""Messages into the outbox and out of it: each function is one transaction's part.

A message is reserved before it is sent, so that no retry, resume or second delivery sends it twice. Whoever locks
several things does so in this order: an incident's group, a run, channel states, messages.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from storage import channels, held_back, incidents, notifications, settings
from storage.notifications import ClaimedNotification
from storage.records import ChannelConfig, IncidentChange, PassedOver
from storage.runs import HeldRun
from storage.tables import ChannelState, Notification
from storage.tables.base import utc_now
from storage.vocabulary import ALARMS, NotificationReason, NotificationStatus
from tasks.notify.admission import admit
from tasks.notify.audience import Audience, audience_of
from tasks.notify.channels import rate_of
from tasks.notify.schedule import given_up_before

RESTING = "the channel failed several times in a row and is left alone for a moment"
SWITCHED_OFF = "the channel is switched off"
DISABLED_LOOK_SECONDS = 600.0
GONE = "there is no such channel any more"


@dataclass
class Claimed:
    """What is to be sent now, the messages that were held back, and those that were given up."""

    messages: list[ClaimedNotification] = field(default_factory=list)
    held_back: list[Notification] = field(default_factory=list)
    given_up: list[Notification] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.messages or self.held_back or self.given_up)


def announce(
    session: Session,
    changes: Sequence[IncidentChange],
    *,
    chosen: Iterable[str] | None = None,
    run: HeldRun | None = None,
    trace_id: str = "",
) -> list[PassedOver]:
    """Reserve a message to every channel that is to be told of the changes. Returns who is not, and why.

    `chosen` names the channels meant, None all active ones. How it went on is also for those that had the alarm
    and are switched off since: it waits until they are on again. Without a run nobody has the messages in hand,
    and the relay gives them to one.
    """
    audience = audience_for(session, changes, chosen=chosen)
    notifications.reserve(
        session,
        audience.wanted,
        run_id=run.run_id if run else "",
        trace_id=run.trace_id if run else trace_id,
        sender_run_id=run.run_id if run else None,
    )
    return audience.passed_over


def audience_for(
    session: Session, changes: Sequence[IncidentChange], *, chosen: Iterable[str] | None = None
) -> Audience:
    """Who is to be told of the changes as things stand, and who is not, and why; `chosen` as in `announce`."""
    episodes = {(change.incident_id, change.episode) for change in changes}
    every = channels.list_channels(session)
    active = [channels.record_of(channel) for channel in every if channel.is_active]
    found = incidents.by_ids(session, {change.incident_id for change in changes})
    return audience_of(
        changes,
        active=active,
        switched_off=[channels.record_of(channel) for channel in every if not channel.is_active],
        chosen={channel.name for channel in active} if chosen is None else chosen,
        severities={pk: incident.severity for pk, incident in found.items()},
        alarms=notifications.of_episodes(session, episodes, reasons=ALARMS),
    )


def claim(
    session: Session,
    run: HeldRun,
    active: Mapping[str, ChannelConfig],
    *,
    lost_at: datetime,
    left_out: Collection[int] = (),
) -> Claimed:
    """Take what the run has in hand, is due, and may go now. The caller holds the run's fence.

    Not before `lost_at` does another run take it for lost. `left_out` are messages that are not looked at again,
    nor what comes after them in their lanes.
    """
    now = utc_now()
    behind = notifications.behind_others(session, run.run_id) | set(left_out)
    ready = list(_ready(notifications.unsent_in_hand(session, run.run_id), behind, now))
    states = channels.lock_states(session, {row.channel for row in ready})
    # What a person or a late sender has just changed holds up its lane for now.
    unchanged = notifications.lock_unchanged(session, ready, run_id=run.run_id)
    ready = list(_ready(ready, {row.id for row in ready} - unchanged, now))
    _discard_unbegun(session, ready)
    by_channel: dict[str, list[Notification]] = defaultdict(list)
    for row in ready:
        if row.status is not NotificationStatus.DISCARDED:
            by_channel[row.channel].append(row)
    claimed = Claimed()
    for name, rows in by_channel.items():
        if name in active:
            _claim_of(claimed, states[name], rows, active[name], now=now, lost_at=lost_at)
        elif channel := channels.find(session, name):
            # A channel that is switched off no run looks at; that a config says so is seen only here.
            look_at = now + timedelta(seconds=DISABLED_LOOK_SECONDS) if channel.is_active else None
            _hold_back(claimed, [(row, look_at or row.due_at) for row in rows], SWITCHED_OFF, now)
        else:
            _give_up(claimed, rows, GONE)
    claimed.messages.sort(key=lambda message: message.pk)
    notifications.note_known(session, [message.pk for message in claimed.messages])
    return claimed


def _claim_of(
    claimed: Claimed,
    state: ChannelState,
    rows: Sequence[Notification],
    channel: ChannelConfig,
    *,
    now: datetime,
    lost_at: datetime,
) -> None:
    is_well = not state.rests_until or state.rests_until <= now
    admission = admit(state, rows, rate_per_minute=rate_of(channel), now=now)
    claimed.messages += [
        notifications.claim(row, send_at=send_at, lost_at=lost_at) for row, send_at in admission.admitted
    ]
    if admission.is_resting and not is_well:
        _hold_back(claimed, admission.postponed, f"{RESTING}: {state.last_error}", now)
        return
    for row, due_at in admission.postponed:
        if admission.is_resting:
            held_back.hold(row, why=RESTING, due_at=due_at)
        else:
            held_back.postpone(row, due_at=due_at)


def _hold_back(
    claimed: Claimed, postponed: Iterable[tuple[Notification, datetime]], why: str, now: datetime
) -> None:
    """Leave messages for later, save those that have waited for as long as all their tries would have taken."""
    oldest = given_up_before(now, delays=settings.load().notify_retry_seconds)
    for row, due_at in postponed:
        if row.waiting_since < oldest:
            _give_up(claimed, [row], why)
        else:
            held_back.hold(row, why=why, due_at=due_at)
            claimed.held_back.append(row)


def _give_up(claimed: Claimed, rows: Iterable[Notification], why: str) -> None:
    for row in rows:
        held_back.give_up(row, why=why)
        claimed.given_up.append(row)


def _ready(rows: Iterable[Notification], behind: set[int], now: datetime) -> Iterable[Notification]:
    """Those that are due. One that is not holds up what comes after it in its lane."""
    held_up: set[tuple[str, int]] = set()
    for row in rows:
        lane = (row.channel, row.incident_id)
        # One that is being sent was cut off: its sender is no more.
        is_due = row.due_at <= now or row.status is NotificationStatus.SENDING
        if lane in held_up or row.id in behind or not is_due:
            held_up.add(lane)
        else:
            yield row


def _discard_unbegun(session: Session, rows: Sequence[Notification]) -> None:
    """Nobody is told of the end of what he was never told of: its alarm has become a dead letter meanwhile."""
    later = [row for row in rows if row.reason not in ALARMS and row.reason is not NotificationReason.MESSAGE]
    if not later:
        return
    episodes = {(row.incident_id, row.episode) for row in later}
    by_episode: dict[tuple[int, int], list[Notification]] = defaultdict(list)
    for alarm in notifications.of_episodes(session, episodes, reasons=ALARMS):
        by_episode[alarm.incident_id, alarm.episode].append(alarm)
    for row in later:
        if not notifications.is_begun(by_episode[row.incident_id, row.episode], channel=row.channel):
            notifications.discard_unbegun(row)
