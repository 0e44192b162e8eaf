"""Advice that needs nothing but this host: what is measured of it now, and what the local rules make of that.

On the command line it should come at once, so nothing here brings the database or an HTTP client.
"""

import socket
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from storage import settings
from storage.records import IncidentAnalysis, Record
from storage.redaction import redact
from storage.settings import SettingsError
from storage.vocabulary import CheckStatus
from tasks.analyze.providers import build
from tasks.analyze.request import AnalysisRequest
from tasks.check.apart import Measured, measure
from tasks.check.checks import build_checkers
from tasks.errors import PermanentError, TransientError
from tasks.hosts import Origin, origin_of

# Somebody waits for it. A host that is too busy to start a process may add twenty seconds to the first.
MEASURE_SECONDS = 10.0
# A quick look at the processors, of half a second.
CPU_SAMPLES = 1
RULES = "local"


class Part(StrEnum):
    """What of this host is asked about."""

    MEMORY = "memory"
    DISK = "disk"


# Those that do not apply to the host are left out of the question.
CHECKERS_OF = {
    Part.MEMORY: ("memory", "swap_io"),
    Part.DISK: ("disk", "disk_inodes", "disk_common", "disk_linux", "disk_macos"),
}


class Measure(Protocol):
    """Runs checkers and takes a snapshot, as tasks/check/apart.py does."""

    def __call__(
        self, names: Sequence[str], configs: Mapping[str, Mapping[str, Any]], *, within_seconds: float
    ) -> Measured:
        """What was measured, by that time."""


class Advised(Record):
    """An answer, and how it came about.

    `provider_error` says why the provider that was chosen did not give it. `is_cached`: it was given before, to
    just the same question, and is not paid for again.
    """

    result: IncidentAnalysis
    analyzed_at: datetime
    provider_error: str = ""
    is_cached: bool = False

    def as_json(self) -> dict[str, Any]:
        """What may be shown of it, without layers."""
        about = self.result.model_dump(mode="json", exclude={"analysis"})
        answer = self.result.analysis.model_dump(mode="json")
        came_about = self.model_dump(mode="json", exclude={"result"})
        form: dict[str, Any] = redact({**about, **answer, "count": len(answer["recommendations"]), **came_about})
        return form


def about_host(parts: Collection[Part] = (), *, by: Measure | None = None) -> AnalysisRequest:
    """A question about this host, measured now: these parts of it, or what is checked by default and configured.

    `by` measures in another way than in a process apart. Raises SettingsError where a checker's configuration
    is wrong.
    """
    names = [name for part in dict.fromkeys(parts) for name in CHECKERS_OF[part]]
    return _measured(AnalysisRequest(incident=None), names, by or measure)


def with_readings(request: AnalysisRequest) -> AnalysisRequest:
    """The question with readings of this host, unless the incident is about another one. Raises SettingsError."""
    shown = request.incident.alerts if request.incident else []
    if origin_of(shown, [socket.gethostname()]) is Origin.OTHER_HOST:
        return request
    return _measured(request, [], measure)


def by_rules(
    request: AnalysisRequest, *, instead_of: str = "", fault: PermanentError | TransientError | None = None
) -> Advised:
    """The local rules' answer, which is not stored: this needs no database.

    With a fault they stand in for this kind of provider, which could not even be asked.
    """
    result = IncidentAnalysis(
        incident_id=request.incident.id if request.incident else None,
        provider=RULES,
        fallback_used=fault is not None,
        instead_of=instead_of,
        failure=fault and fault.kind,
        ai_output_ref="",
        analysis=build(RULES, {}).analyze(request),
    )
    return Advised(result=result, analyzed_at=datetime.now(UTC), provider_error=str(fault or ""))


def _measured(request: AnalysisRequest, names: Collection[str], by: Measure) -> AnalysisRequest:
    installed = settings.load().checkers
    configs = {**installed, "cpu": {**installed.get("cpu", {}), "samples": CPU_SAMPLES}}
    try:
        wanted = list(names) or [checker.kind for checker in build_checkers(None, configs)]
        measured = by(wanted, configs, within_seconds=MEASURE_SECONDS)
    except PermanentError as error:
        raise SettingsError(f"WATCHKEEPER_CHECKERS: {error}") from None
    applying = [check for check in measured.results if check.status is not CheckStatus.SKIPPED]
    return request.model_copy(update={"checks": applying, "evidence": measured.evidence})
