"""Which host an alert's labels speak of, and whether that is the host that Watchkeeper's readings are of."""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum, auto

from storage.hostname import bare_host, is_address
from storage.records import AlertView
from storage.vocabulary import AlertStatus

HOST_LABELS = ("hostname", "host", "instance")


class Origin(Enum):
    """Whose the readings beside an incident are."""

    AFFECTED_HOST = auto()
    OTHER_HOST = auto()
    UNCLEAR = auto()
    NONE = auto()


def instance_of(labels: Mapping[str, str]) -> str:
    """The thing that the alert is about: label instance, else host or hostname, else none."""
    return labels.get("instance") or labels.get("host") or labels.get("hostname") or ""


def host_of(labels: Mapping[str, str]) -> str:
    """The host of an alert: its instance without the port."""
    instance = instance_of(labels)
    name, colon, port = instance.rpartition(":")
    is_address_with_port = colon and port.isdigit() and (":" not in name or name.endswith("]"))
    return name.strip("[]") if is_address_with_port else instance


def origin_of(alerts: Sequence[AlertView], own_hosts: Collection[str]) -> Origin:
    """AFFECTED_HOST only if every live alert is about the host that has one of these names.

    An address says nothing either way, since readings carry names only, and nor does `localhost`, which is
    whatever host the sender meant.
    """
    if not any(own_hosts):
        return Origin.NONE
    origins = {_origin_of_names(host_names(alert.labels), own_hosts) for alert in _live(alerts)}
    if Origin.OTHER_HOST in origins:
        return Origin.OTHER_HOST
    return Origin.AFFECTED_HOST if origins == {Origin.AFFECTED_HOST} else Origin.UNCLEAR


def affected_hosts(alerts: Sequence[AlertView]) -> list[str]:
    """The hosts that the live alerts name, each once."""
    named = (host_names(alert.labels) for alert in _live(alerts))
    return list(dict.fromkeys(names[0] for names in named if names))


def unread_hosts(alerts: Sequence[AlertView], own_hosts: Collection[str]) -> list[str]:
    """Those of the affected hosts that the readings are not of."""
    return [host for host in affected_hosts(alerts) if not _is_any_of(host, own_hosts)]


def host_names(labels: Mapping[str, str]) -> list[str]:
    """The names that an alert's labels give its host, without scheme, port and path."""
    names = (bare_host(labels.get(label, "")) for label in HOST_LABELS)
    return [name for name in names if name]


def _live(alerts: Sequence[AlertView]) -> Sequence[AlertView]:
    """Those that fire, or all where none does."""
    return [alert for alert in alerts if alert.status is AlertStatus.FIRING] or alerts


def _origin_of_names(names: Sequence[str], own_hosts: Collection[str]) -> Origin:
    if any(_is_any_of(name, own_hosts) for name in names):
        return Origin.AFFECTED_HOST
    is_named = any(not is_address(name) and name.lower() != "localhost" for name in names)
    return Origin.OTHER_HOST if is_named else Origin.UNCLEAR


def _is_any_of(name: str, others: Collection[str]) -> bool:
    return any(other and _is_same_host(name, other) for other in others)


def _is_same_host(name: str, other: str) -> bool:
    """Whether two names can only mean one host: equal, or equal but for a domain that one of them lacks."""
    ours, theirs = name.lower(), other.lower()
    is_short = "." not in ours or "." not in theirs
    return ours == theirs or (is_short and ours.split(".")[0] == theirs.split(".")[0])
