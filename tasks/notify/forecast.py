"""Who would be told of changes, if they came now: nothing is reserved and nothing sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from storage import channels
from storage.records import ChannelConfig, IncidentChange
from storage.vocabulary import NotificationReason
from tasks.notify.audience import Audience, audience_of
from tasks.notify.outbox import audience_for
from tasks.notify.stage import NotifyConfig

# What stands for the news where none is known yet.
ANY_ALARM = IncidentChange(incident_id=0, episode=1, reason=NotificationReason.FIRING)
DISABLED = "its config says disabled"


@dataclass(frozen=True)
class Forecast:
    """A channel: what it would be told (reasons), and what not, and why. Without a driver it is not there."""

    channel: str
    driver: str = ""
    told: tuple[str, ...] = ()
    not_told: tuple[str, ...] = ()


def forecast(session: Session, config: NotifyConfig, changes: Sequence[IncidentChange]) -> Iterator[Forecast]:
    """Every channel that a node means, or that began with an alarm before; then what it names that is not there.

    Without changes: who would be told that something fires, however bad it is.
    """
    active = channels.active_channels(session)
    chosen = [channel for channel in active if config.selects(channel)]
    audience = _audience(session, changes, active, {channel.name for channel in chosen})
    drivers = {channel.name: channel.driver for channel in active}
    drivers |= {each.channel: each.driver for each in audience.wanted}
    off = {channel.name for channel in active if channel.is_disabled}
    names = [channel.name for channel in chosen] + [each.channel for each in audience.wanted]
    for name in dict.fromkeys(names):
        told = tuple(str(each.change.reason) for each in audience.wanted if each.channel == name)
        not_told = tuple(each.why for each in audience.passed_over if each.channel == name)
        if name in off:
            told, not_told = (), (DISABLED,)
        yield Forecast(name, drivers.get(name, ""), tuple(dict.fromkeys(told)), tuple(dict.fromkeys(not_told)))
    yield from (Forecast(absent) for absent in config.missing(active))


def _audience(
    session: Session, changes: Sequence[IncidentChange], active: Sequence[ChannelConfig], chosen: set[str]
) -> Audience:
    if changes:
        return audience_for(session, changes, chosen=chosen)
    return audience_of([ANY_ALARM], active=active, chosen=chosen, severities={}, alarms=())
