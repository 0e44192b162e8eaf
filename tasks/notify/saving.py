"""What may be saved as a channel. Whatever is wrong is refused by the name of the field."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from storage import channels
from storage.records import ChannelPolicy
from tasks.errors import PermanentError
from tasks.notify.channels import CHANNELS, construct
from tasks.notify.driver_keys import masked_paths
from tasks.secrets import resolve

NAME_MAX_CHARS = 128
# About one message a day.
RATE_MIN = 0.001
READABLE_WHERE = "a secret must be readable here, and also where the worker runs (`watchkeeper up`)"


def check_name(name: str, *, kind: str) -> None:
    """Refuse a name that could not be stored, typed, or stand in a URL of the API, or means another driver."""
    if not 1 <= len(name) <= NAME_MAX_CHARS or not name.isprintable() or name != name.strip():
        raise PermanentError(f"name: must be printable text of 1 to {NAME_MAX_CHARS} characters")
    if "/" in name or name in {".", ".."}:
        raise PermanentError("name: must hold no slash, and not be . or ..")
    if name in CHANNELS and name != kind:
        raise PermanentError(f"name: {name} is a driver, and this channel is of {kind}")


def check_config(kind: str, config: Mapping[str, Any], *, stored: Mapping[str, Any] | None = None) -> None:
    """Refuse a config that no message could be sent with, such as one whose secrets cannot be read here.

    Nor may it be one as it is shown, with the mask where the `stored` one has secrets. Raises PermanentError
    naming the field; TransientError where a secret's keeper cannot be reached.
    """
    if masked := next(masked_paths(config, stored or {}), None):
        raise PermanentError(f"{masked}: stands for a secret that is not shown; give the secret, or a reference")
    try:
        resolved = resolve(config)
    except PermanentError as error:
        raise PermanentError(f"{error}; {READABLE_WHERE}") from None
    construct(kind, resolved)


def check_policy(session: Session, name: str, policy: ChannelPolicy) -> None:
    """Refuse a fallback that is not there, or is the channel itself, and a limit that is hardly more than none.

    Not a rule of ChannelPolicy's, so that no row which is stored already keeps the others from being read.
    """
    if policy.rate_per_minute and policy.rate_per_minute < RATE_MIN:
        raise PermanentError(f"rate_per_minute: 0, or at least {RATE_MIN}")
    if policy.fallback == name:
        raise PermanentError("fallback: a channel cannot be its own")
    if policy.fallback and channels.find(session, policy.fallback) is None:
        raise PermanentError(f"fallback: there is no channel {policy.fallback!r}")


def fallback_of(session: Session, name: str) -> list[str]:
    """The channels that count on this one to stand in for them."""
    return fallbacks(session).get(name, [])


def fallbacks(session: Session) -> dict[str, list[str]]:
    """The channels that count on another to stand in for them, by the name of that one."""
    found: dict[str, list[str]] = {}
    for row in channels.list_channels(session):
        if fallback := row.policy.get("fallback"):
            found.setdefault(fallback, []).append(row.name)
    return found
