"""Configured destinations."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.records import ChannelConfig
from storage.tables import NotificationChannel


class ChannelExistsError(Exception):
    """A channel of that name is there already."""


def add_channel(
    session: Session, *, name: str, driver: str, config: Mapping[str, Any], description: str = ""
) -> ChannelConfig:
    """Store a new active channel. Raises ChannelExistsError."""
    if session.scalar(select(NotificationChannel.id).where(NotificationChannel.name == name)):
        raise ChannelExistsError(f"there is a channel {name!r} already")
    channel = NotificationChannel(name=name, driver=driver, config=dict(config), description=description)
    session.add(channel)
    session.flush()
    return _record(channel)


def set_active(session: Session, name: str, *, is_active: bool) -> bool:
    """Switch a channel on or off. False when there is none of that name."""
    channel = session.scalar(select(NotificationChannel).where(NotificationChannel.name == name))
    if channel is None:
        return False
    channel.is_active = is_active
    return True


def list_channels(session: Session) -> list[NotificationChannel]:
    """All channels in the order in which they were added."""
    return list(session.scalars(select(NotificationChannel).order_by(NotificationChannel.id)))


def active_channels(session: Session) -> list[ChannelConfig]:
    """The channels that messages may go to."""
    return [_record(channel) for channel in list_channels(session) if channel.is_active]


def _record(channel: NotificationChannel) -> ChannelConfig:
    return ChannelConfig(id=channel.id, name=channel.name, driver=channel.driver, config=channel.config)
