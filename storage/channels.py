"""Configured destinations, and how they fare."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.records import ChannelConfig, ChannelPolicy
from storage.tables import ChannelState, NotificationChannel
from storage.tables.base import utc_now
from storage.upsert import insert_if_absent


class ChannelExistsError(Exception):
    """A channel of that name is there already."""


def add_channel(
    session: Session,
    *,
    name: str,
    driver: str,
    config: Mapping[str, Any],
    description: str = "",
    policy: ChannelPolicy | None = None,
    is_active: bool = True,
) -> ChannelConfig:
    """Store a new channel. Raises ChannelExistsError."""
    channel = NotificationChannel(
        name=name,
        driver=driver,
        config=dict(config),
        description=description,
        policy=_stored(policy or ChannelPolicy()),
        is_active=is_active,
    )
    try:
        with session.begin_nested():
            session.add(channel)
    except IntegrityError:
        raise ChannelExistsError(f"there is a channel {name!r} already") from None
    return record_of(channel)


def edit_channel(
    session: Session,
    name: str,
    *,
    config: Mapping[str, Any] | None = None,
    description: str | None = None,
    policy: ChannelPolicy | None = None,
) -> bool:
    """Replace a channel's config, description or policy. False when there is none of that name."""
    channel = find(session, name)
    if channel is None:
        return False
    if config is not None:
        channel.config = dict(config)
        wake(session, [name])
    if description is not None:
        channel.description = description
    if policy is not None:
        channel.policy = _stored(policy)
    session.flush()
    return True


def remove_channel(session: Session, name: str) -> bool:
    """Forget a channel and how it fared; its messages stay. False when there is none of that name."""
    channel = find(session, name)
    if channel is None:
        return False
    session.delete(channel)
    session.flush()
    session.execute(delete(ChannelState).where(ChannelState.channel == name))
    return True


def set_active(session: Session, name: str, *, is_active: bool) -> bool:
    """Switch a channel on or off. False when there is none of that name."""
    channel = find(session, name)
    if channel is None:
        return False
    channel.is_active = is_active
    if is_active:
        wake(session, [name])
    return True


def find(session: Session, name: str) -> NotificationChannel | None:
    """A channel by its name."""
    return session.scalar(select(NotificationChannel).where(NotificationChannel.name == name))


def lock(session: Session, name: str) -> NotificationChannel | None:
    """The same as it is now, and stays until the transaction ends: what is merged into it must not be old."""
    return session.scalar(
        select(NotificationChannel)
        .where(NotificationChannel.name == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def list_channels(session: Session) -> list[NotificationChannel]:
    """All channels in the order in which they were added."""
    return list(session.scalars(select(NotificationChannel).order_by(NotificationChannel.id)))


def active_channels(session: Session) -> list[ChannelConfig]:
    """The channels that messages may go to, in the order in which they were added."""
    active = [record_of(channel) for channel in list_channels(session) if channel.is_active]
    return [channel for channel in active if not channel.is_disabled]


def record_of(channel: NotificationChannel) -> ChannelConfig:
    """The channel as it crosses rooms."""
    return ChannelConfig(
        id=channel.id,
        name=channel.name,
        driver=channel.driver,
        config=channel.config,
        policy=ChannelPolicy.model_validate(channel.policy),
    )


def find_states(session: Session, names: Iterable[str]) -> dict[str, ChannelState]:
    """How these channels have fared, as far as that was written down."""
    rows = session.scalars(select(ChannelState).where(ChannelState.channel.in_(sorted(set(names)))))
    return {row.channel: row for row in rows}


def lock_states(session: Session, names: Iterable[str]) -> dict[str, ChannelState]:
    """The same for each of them, locked until the transaction ends; sorted, so that two never block each other."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    now = utc_now()
    fresh = [{"channel": name, "failures": 0, "last_error": "", "updated_at": now} for name in wanted]
    session.execute(insert_if_absent(session, ChannelState), fresh)
    rows = session.scalars(
        select(ChannelState)
        .where(ChannelState.channel.in_(wanted))
        .order_by(ChannelState.channel)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.channel: row for row in rows}


def is_failing(session: Session, name: str) -> bool:
    """Whether the last try of a message to it failed, as far as that was written down; not locked."""
    failing = select(ChannelState.channel).where(ChannelState.channel == name, ChannelState.failures > 0)
    return session.scalar(failing) is not None


def wake(session: Session, names: Iterable[str]) -> None:
    """Let the next message show at once whether a channel is back: somebody mended it, or asks for another try."""
    session.execute(
        update(ChannelState)
        .where(ChannelState.channel.in_(sorted(set(names))), ChannelState.rests_until.is_not(None))
        .values(rests_until=None)
    )


def forget_failures(session: Session, name: str) -> bool:
    """A message went well. Returns whether the tries before it had failed."""
    result = session.execute(
        update(ChannelState)
        .where(ChannelState.channel == name, ChannelState.failures > 0)
        .values(failures=0, failing_since=None, rests_until=None, last_error="", updated_at=utc_now())
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it


def _stored(policy: ChannelPolicy) -> dict[str, Any]:
    return policy.model_dump(mode="json", exclude_defaults=True)
