"""Another channel is told what a channel cannot be."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from sqlalchemy.orm import Session

from storage import channels, incidents, notifications, stand_ins
from storage.notifications import ClaimedNotification, NewNotification
from storage.records import ChannelConfig, IncidentChange
from storage.tables import Incident
from storage.vocabulary import NotificationReason, Severity
from tasks.notify.channel_alert import subjects

STOOD_IN_FOR = (NotificationReason.FIRING, NotificationReason.ESCALATED)

# An incident and an episode of it.
Episode = tuple[int, int]


def tell_others(
    session: Session,
    *,
    waiting: Iterable[ClaimedNotification] = (),
    lost: Iterable[ClaimedNotification] = (),
    sender_run_id: str,
) -> None:
    """Let others have the alarms that their channels cannot be told: one that waits the channel's fallback.

    One that is lost goes to the fallback too, or else to a channel that has not heard: one that wants such
    messages, or where nobody else has the alarm any other.
    """
    alarms = [(each, False) for each in waiting] + [(each, True) for each in lost]
    alarms = [(each, is_lost) for each, is_lost in alarms if each.reason in STOOD_IN_FOR]
    if not alarms:
        return
    stand_ins.lock(session, {each.incident_id for each, _ in alarms})
    known = _look_up(session, [each for each, _ in alarms])
    # Two that stand in for the same ones do so in the same order, or each might wait for the other.
    alarms.sort(key=lambda alarm: (alarm[0].incident_id, alarm[0].channel, alarm[0].pk))
    chosen = [(each, found) for each, is_lost in alarms if (found := known.choose(each, is_lost=is_lost))]
    chosen.sort(key=lambda pair: (pair[0].incident_id, pair[1].name))
    for (run_id, trace_id), pairs in groupby(chosen, key=lambda pair: (pair[0].run_id, pair[0].trace_id)):
        wanted = [_stand_in(message, channel) for message, channel in pairs]
        notifications.reserve(session, wanted, run_id=run_id, trace_id=trace_id, sender_run_id=sender_run_id)


def _stand_in(message: ClaimedNotification, channel: ChannelConfig) -> NewNotification:
    change = IncidentChange(
        incident_id=message.incident_id,
        episode=message.episode,
        reason=message.reason,
        sequence=message.sequence,
    )
    return NewNotification(channel=channel.name, driver=channel.driver, change=change, instead_of=message.channel)


@dataclass
class _Known:
    """What decides who stands in.

    `heard` are the channels that an alarm of the episode was meant for, `begun` those of them that have it or may
    still get it; `subjects` the channels that incidents are about.
    """

    active: Mapping[str, ChannelConfig]
    fallbacks: Mapping[str, str]
    incidents: Mapping[int, Incident]
    subjects: Mapping[int, str]
    heard: dict[Episode, set[str]] = field(default_factory=lambda: defaultdict(set))
    begun: dict[Episode, set[str]] = field(default_factory=lambda: defaultdict(set))

    def choose(self, message: ClaimedNotification, *, is_lost: bool) -> ChannelConfig | None:
        """Who is to have the message now, if anybody; from then on it counts as told."""
        episode = (message.incident_id, message.episode)
        excluded = {message.channel, self.subjects.get(message.incident_id, "")}
        begun = self.begun[episode] - excluded
        fallback = self.active.get(self.fallbacks.get(message.channel, ""))
        if fallback and fallback.name in begun:
            return None
        candidates = [fallback] if fallback else []
        if is_lost:
            candidates += self._others(message.incident_id, begun)
        tried = excluded | self.heard[episode]
        chosen = next((each for each in candidates if each.name not in tried), None)
        if chosen:
            self.heard[episode].add(chosen.name)
            self.begun[episode].add(chosen.name)
        return chosen

    def _others(self, incident_id: int, begun: Collection[str]) -> list[ChannelConfig]:
        """Better one that does not want such messages than nobody."""
        incident = self.incidents.get(incident_id)
        severity = incident.severity if incident else Severity.CRITICAL
        wanting = [each for each in self.active.values() if _wants(each, severity)]
        return wanting if begun else [*wanting, *self.active.values()]


def _wants(channel: ChannelConfig, severity: Severity) -> bool:
    return NotificationReason.FIRING in channel.policy.on and severity.rank >= channel.policy.min_severity.rank


def _look_up(session: Session, alarms: Collection[ClaimedNotification]) -> _Known:
    """For all of them at once: thousands may wait for a channel, and SQLite has one writer."""
    saved = [(channels.record_of(row), row.is_active) for row in channels.list_channels(session)]
    known = _Known(
        active={channel.name: channel for channel, is_active in saved if is_active},
        fallbacks={channel.name: channel.policy.fallback for channel, _ in saved},
        incidents=incidents.by_ids(session, {each.incident_id for each in alarms}),
        subjects=subjects(session),
    )
    for heard in stand_ins.who_heard(session, {(each.incident_id, each.episode) for each in alarms}):
        known.heard[heard.incident_id, heard.episode].add(heard.channel)
        if heard.is_begun:
            known.begun[heard.incident_id, heard.episode].add(heard.channel)
    return known
