"""What every provider offers, what it is asked, and whose readings come with the question."""

import ipaddress
import re
from enum import Enum, auto
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, Field

from storage.records import AlertView, Analysis, CheckResult, IncidentView, Record
from storage.vocabulary import AlertStatus

HOST_LABELS = ("hostname", "host", "instance")
_SCHEME = re.compile(r"^\w+://")


class Origin(Enum):
    """Whose the readings of a request are."""

    AFFECTED_HOST = auto()
    OTHER_HOST = auto()
    UNCLEAR = auto()
    NONE = auto()


class AnalysisRequest(Record):
    """One question: what is wrong, and what next?

    `checks` and `evidence` are readings of Watchkeeper's own host, whatever host the incident is about; see
    `origin`. Without an incident the question is about the readings themselves.
    """

    incident: IncidentView | None
    checks: list[CheckResult] = Field(default_factory=list)
    evidence: dict[str, Any] = Field(default_factory=dict)

    @property
    def own_host(self) -> str:
        """The name of the host that the readings are of; empty where there are none."""
        return str(self.evidence.get("hostname") or "")

    @property
    def affected_hosts(self) -> list[str]:
        """The hosts that the incident's alerts name, each once."""
        named = (host_names(alert) for alert in self._live_alerts)
        return list(dict.fromkeys(names[0] for names in named if names))

    @property
    def origin(self) -> Origin:
        """AFFECTED_HOST only if every live alert is about Watchkeeper's own host.

        An address says nothing either way, since readings carry names only, and nor does `localhost`, which
        is whatever host the sender meant.
        """
        if not self.own_host:
            return Origin.NONE
        if self.incident is None:
            return Origin.AFFECTED_HOST
        origins = {self._origin_of(host_names(alert)) for alert in self._live_alerts}
        if Origin.OTHER_HOST in origins:
            return Origin.OTHER_HOST
        return Origin.AFFECTED_HOST if origins == {Origin.AFFECTED_HOST} else Origin.UNCLEAR

    @property
    def _live_alerts(self) -> list[AlertView]:
        alerts = self.incident.alerts if self.incident else []
        return [alert for alert in alerts if alert.status is AlertStatus.FIRING] or alerts

    def _origin_of(self, names: list[str]) -> Origin:
        if any(_is_same_host(name, self.own_host) for name in names):
            return Origin.AFFECTED_HOST
        is_named = any(not _is_address(name) and name.lower() != "localhost" for name in names)
        return Origin.OTHER_HOST if is_named else Origin.UNCLEAR


class Provider(Protocol):
    """Answers what is probably wrong. What it raises is permanent or transient as in tasks/errors.py."""

    kind: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: Any) -> None:
        """A provider that will answer by this config."""

    def analyze(self, request: AnalysisRequest) -> Analysis:
        """The probable cause and next steps."""


def host_names(alert: AlertView) -> list[str]:
    """The names that an alert's labels give its host, without scheme, port and path."""
    names = (_bare_host(alert.labels.get(label, "")) for label in HOST_LABELS)
    return [name for name in names if name]


def _bare_host(text: str) -> str:
    """`https://web-01:9100/metrics` as `web-01`, `[::1]:9100` as `::1`."""
    host = _SCHEME.sub("", text.strip()).split("/")[0].rpartition("@")[2]
    if host.startswith("["):
        return host[1:].split("]")[0]
    return host if host.count(":") > 1 else host.split(":")[0].rstrip(".")


def _is_same_host(name: str, other: str) -> bool:
    """Whether two names can only mean one host: equal, or equal but for a domain that one of them lacks."""
    ours, theirs = name.lower(), other.lower()
    is_short = "." not in ours or "." not in theirs
    return ours == theirs or (is_short and ours.split(".")[0] == theirs.split(".")[0])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
