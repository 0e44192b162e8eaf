"""Who is told of a change, and who is not and why. Pure.

A channel is told that something burns if its policy wants it. How it went on is told where the alarm was
delivered or is on its way, whichever pipeline brings the news.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from storage.notifications import UNSENT, NewNotification
from storage.records import ChannelConfig, IncidentChange, PassedOver
from storage.tables import Notification
from storage.vocabulary import ALARMS, CHOSEN_REASONS, NotificationReason, NotificationStatus, Severity

FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED
ESCALATED = NotificationReason.ESCALATED

# A channel and an episode of an incident.
Place = tuple[str, int, int]


@dataclass
class Audience:
    """The messages to be sent, and the channels that were left out."""

    wanted: list[NewNotification] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)


@dataclass
class _Known:
    """What a channel knows of an episode. `is_begun`: an alarm was delivered or is on its way."""

    has_firing: bool = False
    is_begun: bool = False
    is_stand_in: bool = False


def audience_of(
    changes: Sequence[IncidentChange],
    *,
    active: Sequence[ChannelConfig],
    switched_off: Sequence[ChannelConfig] = (),
    chosen: Iterable[str],
    severities: Mapping[int, Severity],
    alarms: Iterable[Notification],
) -> Audience:
    """Who is told of the changes, in their order.

    `active` are all channels that may be told of anything, those `switched_off` may only be told how it went on,
    `chosen` the names of those that the node means,
    `alarms` the rows of `ALARMS` about the incidents' episodes, over all channels.
    """
    known, names, audience = _known(alarms), set(chosen), Audience()
    for change in changes:
        for channel in active if change.reason in ALARMS else [*active, *switched_off]:
            place = (channel.name, change.incident_id, change.episode)
            now_known = known.get(place, _Known())
            if channel.name not in names and not now_known.is_begun:
                continue
            told = _as_told(channel, change, now_known)
            if why := _why_not(channel, told, now_known, severities.get(change.incident_id)):
                audience.passed_over.append(
                    PassedOver(channel=channel.name, incident_id=change.incident_id, reason=change.reason, why=why)
                )
                continue
            audience.wanted.append(NewNotification(channel=channel.name, driver=channel.driver, change=told))
            if told.reason in ALARMS:
                has_firing = now_known.has_firing or told.reason is FIRING
                known[place] = _Known(has_firing=has_firing, is_begun=True, is_stand_in=now_known.is_stand_in)
    return audience


def _known(alarms: Iterable[Notification]) -> dict[Place, _Known]:
    known: dict[Place, _Known] = {}
    for row in alarms:
        if row.reason not in ALARMS:
            continue
        each = known.setdefault((row.channel, row.incident_id, row.episode), _Known())
        each.has_firing = each.has_firing or row.reason is FIRING
        each.is_begun = each.is_begun or row.status in (NotificationStatus.SENT, *UNSENT)
        each.is_stand_in = each.is_stand_in or bool(row.instead_of)
    return known


def _as_told(channel: ChannelConfig, change: IncidentChange, known: _Known) -> IncidentChange:
    """To a channel that it has passed by so far, an incident that got worse has just begun."""
    if change.reason is ESCALATED and not known.has_firing and FIRING in channel.policy.on:
        return change.model_copy(update={"reason": FIRING, "sequence": 0})
    return change


def _why_not(channel: ChannelConfig, change: IncidentChange, known: _Known, severity: Severity | None) -> str:
    """Why the channel is not told; empty if it is. What began on a stand-in goes on there."""
    policy = channel.policy
    if change.reason not in ALARMS and not known.is_begun:
        return "it was not told that it fires"
    if known.is_stand_in:
        return ""
    # Reminders and updates go where firing goes.
    if (change.reason if change.reason in CHOSEN_REASONS else FIRING) not in policy.on:
        return f"it is not told of {change.reason}"
    is_below = severity is not None and severity.rank < policy.min_severity.rank
    if change.reason in ALARMS and is_below:
        return f"{severity} is below its min_severity, {policy.min_severity}"
    return ""
