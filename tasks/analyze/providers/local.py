"""The local rules: a probable cause and next steps from words and readings alone, without any AI."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, FiniteFloat, StringConstraints

from storage.records import Analysis
from tasks.analyze.providers.base import Provider, ProviderSettings
from tasks.analyze.request import AnalysisRequest
from tasks.analyze.rules.diagnosis import findings_of
from tasks.analyze.rules.finding import Support
from tasks.analyze.rules.recommendation import recall, recommend
from tasks.analyze.rules.scene import Scene
from tasks.analyze.rules.wording import cause, summary
from tasks.analyze.topic import DISK

SCANNER = "disk_common"
SCAN_PATHS = ("/var/log", "~/.cache", "/tmp", "/var/tmp")  # noqa: S108  (looked at, never written to)
# What that checker takes: absolute or in the home of the user that the process runs as.
ScanPath = Annotated[str, StringConstraints(pattern=r"^(/|~(/|$))[^\x00]*$", max_length=400)]
# What a scan may need to say that it is cut short, or that a path hangs.
SCAN_RESERVE_SECONDS = 2.0


@dataclass(frozen=True)
class Local(Provider):
    """Answer by fixed rules: the words give the kind of problem, readings of the same host its cause.

    Readings of Watchkeeper's own host are never taken for another's. The same request gives the same answer,
    unless a scan is asked for.
    """

    kind: ClassVar[str] = "local"

    class Config(ProviderSettings):
        """`top_n_processes`: how many processes, at most, a recommendation's details hold.

        With `scan`, an answer about disks looks for files on this host, in a process of its own: in `scan_paths`
        (those that exist), for `scan_seconds` at most. Files are named as large from `large_file_threshold_mb`
        (MiB) on, and as old when not written for `old_file_days`.
        """

        top_n_processes: int = Field(default=10, ge=1)
        large_file_threshold_mb: FiniteFloat = Field(default=100.0, gt=0)
        old_file_days: int = Field(default=30, ge=1, le=36_500)
        scan_paths: list[ScanPath] = Field(default=list(SCAN_PATHS), min_length=1, max_length=20)
        scan: bool = False
        scan_seconds: FiniteFloat = Field(default=5.0, gt=0, le=300)

    config: Config

    def analyze(self, request: AnalysisRequest) -> Analysis:
        """Judge the incident, or the checks where there is none."""
        if self.config.scan and _would_help(request):
            request = self._scanned(request)
        return judge(request, max_processes=self.config.top_n_processes)

    def _scanned(self, request: AnalysisRequest) -> AnalysisRequest:
        """The same question with a scan in place of an earlier one; the snapshot stays, where there is one."""
        config = self.config
        scan = {
            "paths": config.scan_paths,
            "large_file_mb": config.large_file_threshold_mb,
            "old_days": config.old_file_days,
            "max_seconds": config.scan_seconds,
            "timeout": config.scan_seconds + SCAN_RESERVE_SECONDS,
        }
        from tasks.check import apart  # noqa: PLC0415  (brings every checker, and most answers need no scan)

        measured = apart.measure([SCANNER], {SCANNER: scan})
        others = [check for check in request.checks if check.checker_name != SCANNER]
        return request.model_copy(
            update={"checks": [*others, *measured.results], "evidence": request.evidence or measured.evidence}
        )


def judge(request: AnalysisRequest, *, max_processes: int) -> Analysis:
    """What the rules make of a request: of nothing but that, and always the same."""
    scene = Scene(request)
    findings = findings_of(scene)
    recommendations = [
        recommend(scene, finding, is_first=position == 0, max_processes=max_processes)
        for position, finding in enumerate(findings)
    ]
    if findings and (recalled := recall(scene, findings[0].topic)):
        recommendations.insert(1, recalled)
    is_trouble = bool(findings) and findings[0].support is not Support.TIDYING
    return Analysis(
        summary=summary(scene, findings),
        probable_cause=cause(scene, findings[0]) if is_trouble else "",
        confidence=findings[0].support.value if is_trouble else None,
        recommendations=recommendations,
        model_name="rules",
    )


def _would_help(request: AnalysisRequest) -> bool:
    """Whether a scan of this host has to do with the question."""
    scene = Scene(request)
    return scene.is_own and (scene.incident is None or findings_of(scene)[0].topic is DISK)
