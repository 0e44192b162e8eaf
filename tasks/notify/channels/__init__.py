"""The channel drivers, and how a configured channel becomes one of them."""

from typing import cast

from pydantic import ValidationError

from storage.records import ChannelConfig
from tasks.errors import PermanentError, faults_of
from tasks.notify.channels.base import Channel, DriverConfig
from tasks.notify.channels.email import Email
from tasks.notify.channels.generic import Generic
from tasks.secrets import resolve

CHANNELS: dict[str, type[Channel]] = {
    "email": Email,
    "generic": Generic,
}


def rate_of(config: ChannelConfig) -> float:
    """How many messages a minute a channel may get; 0 is no limit."""
    if config.policy.rate_per_minute is not None:
        return config.policy.rate_per_minute
    driver = CHANNELS.get(config.driver)
    return driver.rate_per_minute if driver else 0.0


def build(config: ChannelConfig) -> Channel:
    """The driver of a configured channel, with its secrets resolved.

    Raises PermanentError naming the channel and the fields that are wrong, never a value; TransientError
    where a secret's keeper cannot be reached.
    """
    driver = CHANNELS.get(config.driver)
    if driver is None:
        raise PermanentError(
            f"channel {config.name!r}: driver: {config.driver!r} is none of {', '.join(CHANNELS)}"
        )
    try:
        # On the class, Config is the nested class itself; see base.py.
        schema = cast("type[DriverConfig]", driver.Config)
        return driver(schema.model_validate(resolve(config.config)))
    except PermanentError as error:
        raise PermanentError(f"channel {config.name!r}: {error}") from None
    except ValidationError as error:  # not chained: it holds the values
        raise PermanentError(f"channel {config.name!r}: {faults_of(error)}") from None
