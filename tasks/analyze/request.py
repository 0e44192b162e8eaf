"""What a provider is asked: an incident, what was measured, and what is known from before."""

from typing import Any

from pydantic import Field

from storage.records import AlertView, CheckResult, EarlierIncident, IncidentView, Record
from tasks.hosts import Origin, affected_hosts, origin_of, unread_hosts


class AnalysisRequest(Record):
    """The question what is wrong, and what to do next.

    `checks` and `evidence` are readings of Watchkeeper's own host, whatever host the incident is about; see
    `origin`. `earlier` are incidents of the same group, newest first; `previous` holds what other nodes of the
    run made of it, by node id. Without an incident the question is about the readings themselves.
    """

    incident: IncidentView | None
    checks: list[CheckResult] = Field(default_factory=list)
    evidence: dict[str, Any] = Field(default_factory=dict)
    earlier: list[EarlierIncident] = Field(default_factory=list)
    previous: dict[str, Any] = Field(default_factory=dict)

    @property
    def own_host(self) -> str:
        """The name of the host that the readings are of; empty where there are none."""
        return str(self.evidence.get("hostname") or "")

    @property
    def affected_hosts(self) -> list[str]:
        """The hosts that the incident's alerts name, each once."""
        return affected_hosts(self._alerts)

    @property
    def unread_hosts(self) -> list[str]:
        """Those of the affected hosts that the readings are not of."""
        return unread_hosts(self._alerts, [self.own_host])

    @property
    def origin(self) -> Origin:
        """Whether the readings are the affected host's."""
        if self.incident is None:
            return Origin.AFFECTED_HOST
        return origin_of(self._alerts, [self.own_host])

    @property
    def _alerts(self) -> list[AlertView]:
        return self.incident.alerts if self.incident else []
