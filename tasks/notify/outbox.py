"""Messages into the outbox and out of it: each function is one transaction's part, or one transaction.

A message is reserved before it is sent, so that no retry, resume or second delivery sends it twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from storage import channels, incidents, notifications
from storage.notifications import ClaimedNotification, NewNotification
from storage.records import ChannelConfig, IncidentChange, PassedOver
from storage.runs import HeldRun
from storage.tables import ChannelState, Notification
from storage.tables.base import utc_now
from storage.vocabulary import ALARMS, NotificationReason, NotificationStatus
from tasks.notify.admission import admit
from tasks.notify.audience import audience_of
from tasks.notify.channels import rate_of

RESTING = "the channel failed several times in a row and is left alone for a moment"


@dataclass
class Claimed:
    """What is to be sent now, and the alarms that must wait because their channel is resting."""

    messages: list[ClaimedNotification] = field(default_factory=list)
    held_up: list[Notification] = field(default_factory=list)


def announce(
    session: Session,
    changes: Sequence[IncidentChange],
    *,
    chosen: Iterable[str] | None = None,
    run: HeldRun | None = None,
    trace_id: str = "",
) -> list[PassedOver]:
    """Reserve a message to every channel that is to be told of the changes. Returns who is not, and why.

    `chosen` names the channels meant, None all active ones. Without a run nobody has the messages in hand, and
    the relay gives them to one.
    """
    episodes = {(change.incident_id, change.episode) for change in changes}
    active = channels.active_channels(session)
    found = incidents.by_ids(session, {change.incident_id for change in changes})
    audience = audience_of(
        changes,
        active=active,
        chosen={channel.name for channel in active} if chosen is None else chosen,
        severities={pk: incident.severity for pk, incident in found.items()},
        alarms=notifications.of_episodes(session, episodes, reasons=ALARMS),
    )
    notifications.reserve(
        session,
        audience.wanted,
        run_id=run.run_id if run else "",
        trace_id=run.trace_id if run else trace_id,
        sender_run_id=run.run_id if run else None,
    )
    return audience.passed_over


def claim(
    session: Session, run: HeldRun, active: Mapping[str, ChannelConfig], *, tried: Collection[int] = ()
) -> Claimed:
    """Take what the run has in hand, is due, and may go now, save what was `tried`. The caller holds its fence."""
    now = utc_now()
    behind = notifications.behind_others(session, run.run_id) | set(tried)
    ready = list(_ready(notifications.unsent_in_hand(session, run.run_id), behind, now))
    _discard_unbegun(session, ready)
    by_channel: dict[str, list[Notification]] = defaultdict(list)
    for row in ready:
        if row.status is not NotificationStatus.DISCARDED:
            by_channel[row.channel].append(row)
    states = channels.lock_states(session, by_channel)
    claimed = Claimed()
    for name, rows in by_channel.items():
        _claim_of(claimed, states[name], rows, active.get(name), now)
    claimed.messages.sort(key=lambda message: message.pk)
    return claimed


def _claim_of(
    claimed: Claimed,
    state: ChannelState,
    rows: Sequence[Notification],
    channel: ChannelConfig | None,
    now: datetime,
) -> None:
    admission = admit(state, rows, rate_per_minute=rate_of(channel) if channel else 0.0, now=now)
    claimed.messages += [notifications.claim(row, send_at=send_at) for row, send_at in admission.admitted]
    for row, due_at in admission.postponed:
        row.due_at = due_at
        if admission.is_resting:
            row.error_message = RESTING
            claimed.held_up.append(row)


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
    later = [row for row in rows if row.reason not in ALARMS]
    if not later:
        return
    episodes = {(row.incident_id, row.episode) for row in later}
    by_episode: dict[tuple[int, int], list[Notification]] = defaultdict(list)
    for alarm in notifications.of_episodes(session, episodes, reasons=ALARMS):
        by_episode[alarm.incident_id, alarm.episode].append(alarm)
    for row in later:
        if not notifications.is_begun(by_episode[row.incident_id, row.episode], channel=row.channel):
            notifications.discard(row, why="its alarm was not delivered")


def stand_in_for(session: Session, message: ClaimedNotification, *, is_permanent: bool, run: HeldRun) -> str:
    """Let another channel have an alarm that its own cannot be told. Returns its name, or nothing.

    That is the fallback channel. Without one, what was refused for good goes to the first active channel that
    has not heard of the episode.
    """
    if message.reason not in (NotificationReason.FIRING, NotificationReason.ESCALATED):
        return ""
    active = {channel.name: channel for channel in channels.active_channels(session)}
    own = channels.find(session, message.channel)
    fallback = channels.record_of(own).policy.fallback if own else ""
    alarms = notifications.of_episodes(session, {(message.incident_id, message.episode)}, reasons=ALARMS)
    others = [name for name in active if not any(row.channel == name for row in alarms)]
    name = fallback if fallback in active else next(iter(others), "") if is_permanent else ""
    if not name or name == message.channel:
        return ""
    change = IncidentChange(
        incident_id=message.incident_id,
        episode=message.episode,
        reason=message.reason,
        sequence=message.sequence,
    )
    notifications.reserve(
        session,
        [NewNotification(channel=name, driver=active[name].driver, change=change, instead_of=message.channel)],
        run_id=message.run_id,
        trace_id=message.trace_id,
        sender_run_id=run.run_id,
    )
    return name
