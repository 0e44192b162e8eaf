"""Where a one-off message goes (seeds, Notify App: channel selection priority).

The name of an active channel is that channel; no name at all is the first active channel; anything else is a
driver, with the config that came along.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from storage import channels
from storage.records import ChannelConfig
from storage.redaction import is_reference
from tasks.errors import PermanentError
from tasks.notify.channels import CHANNELS, build, construct
from tasks.notify.channels.base import Channel
from tasks.secrets import NAME_MAPS

# What a message without a destination of its own names as one (seeds, NotificationMessage).
DEFAULT_CHANNEL = "default"


class UnknownDestinationError(PermanentError):
    """There is no such channel and no such driver, or no channel at all."""


class InactiveChannelError(PermanentError):
    """The channel is there, and people have switched it off."""


class UnfitConfigError(PermanentError):
    """The config that came along cannot be used; the message names the field."""


@dataclass(frozen=True)
class Destination:
    """A saved channel, or a driver with a config that came along and is nobody's."""

    channel: ChannelConfig
    is_saved: bool

    @property
    def label(self) -> str:
        """What it is called in errors and answers."""
        return self.channel.name if self.is_saved else self.channel.driver


def select(
    session: Session, *, provider: str = "", config: Mapping[str, Any] | None = None, channel: str = ""
) -> Destination:
    """The destination by the seeds' order. Without a provider, a `channel` that is an active one counts too.

    Raises UnknownDestinationError, InactiveChannelError, UnfitConfigError.
    """
    active = {each.name: each for each in channels.active_channels(session)}
    wanted = provider or (channel if channel in active else "")
    if wanted in active or not wanted:
        if config is not None:
            said = f"channel {wanted!r} has its own" if wanted else "name the driver that it is for, as provider"
            raise UnfitConfigError(f"config: {said}")
        if not active:
            raise UnknownDestinationError("there is no active channel: add one with `watchkeeper channels add`")
        return Destination(active[wanted] if wanted else next(iter(active.values())), is_saved=True)
    if wanted in CHANNELS:
        return of_driver(wanted, config or {})
    if channels.find(session, wanted):
        raise InactiveChannelError(f"channel {wanted!r} is not active")
    raise UnknownDestinationError(
        f"{wanted!r} is neither an active channel nor a driver; drivers: {', '.join(CHANNELS)}"
    )


def of_driver(kind: str, config: Mapping[str, Any]) -> Destination:
    """A driver that there is, with a config that is saved nowhere."""
    return Destination(ChannelConfig(id=0, name=DEFAULT_CHANNEL, driver=kind, config=dict(config)), is_saved=False)


def open_saved(destination: Destination) -> Channel:
    """The driver, with the references in its config resolved. Raises as `build` does."""
    return build(destination.channel)


def open_given(destination: Destination) -> Channel:
    """The driver with a config from outside, in which nothing is resolved.

    Whoever may send a message could otherwise have any file or variable of this host sent to an address of
    theirs. Raises UnfitConfigError.
    """
    config = destination.channel.config
    if found := next(_references(config), None):
        raise UnfitConfigError(f"config: {found}: references to secrets work in saved channels only")
    try:
        return construct(destination.channel.driver, config)
    except PermanentError as error:
        raise UnfitConfigError(f"config: {error}") from None


def _references(config: Mapping[str, Any]) -> Iterator[str]:
    for name, value in config.items():
        yield from _found(value, name, may_be_one=name not in NAME_MAPS)


def _found(value: Any, path: str, *, may_be_one: bool = True) -> Iterator[str]:
    if may_be_one and is_reference(value):
        yield path
    elif isinstance(value, Mapping):
        for name, held in value.items():
            yield from _found(held, f"{path}.{name}")
    elif isinstance(value, list):
        for index, held in enumerate(value):
            yield from _found(held, f"{path}[{index}]")
