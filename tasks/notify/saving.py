"""What may be saved as a channel. Whatever is wrong is refused by the name of the field."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from storage import channels
from storage.records import ChannelPolicy
from tasks.errors import PermanentError
from tasks.notify.channels import construct
from tasks.notify.driver_keys import masked_paths
from tasks.secrets import resolve

NAME_MAX_CHARS = 128
READABLE_WHERE = "a secret must be readable here, and also where the worker runs (`watchkeeper up`)"


def check_name(name: str) -> None:
    """Refuse a name that could not be stored, typed, or stand in a URL of the API."""
    if not 1 <= len(name) <= NAME_MAX_CHARS or not name.isprintable() or name != name.strip():
        raise PermanentError(f"name: must be printable text of 1 to {NAME_MAX_CHARS} characters")
    if "/" in name or name in {".", ".."}:
        raise PermanentError("name: must hold no slash, and not be . or ..")


def check_config(kind: str, config: Mapping[str, Any]) -> None:
    """Refuse a config that no message could be sent with, such as one whose secrets cannot be read here.

    Raises PermanentError naming the field; TransientError where a secret's keeper cannot be reached.
    """
    if masked := masked_paths(kind, config):
        raise PermanentError(
            f"{masked[0]}: stands for a secret that is not shown; give the secret, or a reference"
        )
    try:
        resolved = resolve(config)
    except PermanentError as error:
        raise PermanentError(f"{error}; {READABLE_WHERE}") from None
    construct(kind, resolved)


def check_fallback(session: Session, name: str, policy: ChannelPolicy) -> None:
    """Refuse a fallback that is not there, or is the channel itself."""
    if policy.fallback == name:
        raise PermanentError("fallback: a channel cannot be its own")
    if policy.fallback and channels.find(session, policy.fallback) is None:
        raise PermanentError(f"fallback: there is no channel {policy.fallback!r}")


def fallback_of(session: Session, name: str) -> list[str]:
    """The channels that count on this one to stand in for them."""
    rows = channels.list_channels(session)
    return [row.name for row in rows if row.policy.get("fallback") == name]
