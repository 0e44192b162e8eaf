"""A question as the rules look at it, with what follows from it worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from storage.records import CheckResult, EarlierIncident, IncidentView
from tasks.analyze.request import AnalysisRequest
from tasks.analyze.topic import Words
from tasks.hosts import Origin


@dataclass(frozen=True)
class Scene:
    """An incident, if there is one, and what was read on Watchkeeper's own host."""

    request: AnalysisRequest

    @property
    def incident(self) -> IncidentView | None:
        """What is asked about; None for the readings themselves."""
        return self.request.incident

    @property
    def checks(self) -> Sequence[CheckResult]:
        """What the checkers read."""
        return self.request.checks

    @property
    def evidence(self) -> dict[str, Any]:
        """The snapshot beside them."""
        return self.request.evidence

    @property
    def earlier(self) -> Sequence[EarlierIncident]:
        """Incidents of the same group, newest first."""
        return self.request.earlier

    @property
    def own_host(self) -> str:
        """The host that the readings are of; empty where there are none."""
        return self.request.own_host

    @cached_property
    def is_own(self) -> bool:
        """Whether the readings are the affected host's."""
        return self.origin is Origin.AFFECTED_HOST

    @cached_property
    def origin(self) -> Origin:
        """Whose the readings are."""
        return self.request.origin

    @cached_property
    def affected_hosts(self) -> list[str]:
        """The hosts that the incident's alerts name."""
        return self.request.affected_hosts

    @cached_property
    def unread_hosts(self) -> list[str]:
        """Those of them that the readings are not of."""
        return self.request.unread_hosts

    @cached_property
    def words(self) -> Words | None:
        """What the incident says."""
        return Words(self.incident) if self.incident else None
