"""The channel drivers, and how a configured channel becomes one of them."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from storage.records import ChannelConfig
from tasks.errors import PermanentError, faults_of
from tasks.notify.channels.apprise import Apprise
from tasks.notify.channels.base import Channel, DriverConfig
from tasks.notify.channels.email import Email
from tasks.notify.channels.generic import Generic
from tasks.notify.channels.pagerduty import PagerDuty
from tasks.notify.channels.slack import Slack
from tasks.secrets import resolve

CHANNELS: dict[str, type[Channel]] = {
    "email": Email,
    "slack": Slack,
    "pagerduty": PagerDuty,
    "generic": Generic,
    "apprise": Apprise,
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
    try:
        return construct(config.driver, resolve(config.config))
    except PermanentError as error:
        raise PermanentError(f"channel {config.name!r}: {error}") from None


def construct(kind: str, config: Mapping[str, Any]) -> Channel:
    """A driver with a config that is taken as it is: what looks like a reference is none, and does not fit.

    Raises PermanentError naming the fields that are wrong, never a value.
    """
    driver = CHANNELS.get(kind)
    if driver is None:
        raise PermanentError(f"driver: {kind!r} is none of {', '.join(CHANNELS)}")
    try:
        # On the class, Config is the nested class itself; see base.py.
        schema = cast("type[DriverConfig]", driver.Config)
        return driver(schema.model_validate(config))
    except ValidationError as error:  # not chained: it holds the values
        raise PermanentError(faults_of(error)) from None
