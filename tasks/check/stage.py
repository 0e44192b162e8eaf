"""The check stage: measure the host, and where no webhook began the run, raise alerts from what is found."""

import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from storage import settings
from storage.checks import add_check_runs
from storage.records import CheckResult, ChecksResult, IngestResult, ParsedPayload
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import CheckStatus, RunStatus, Stage
from tasks.attempt import StageContext, StageKind
from tasks.check.alerts import SOURCE, alerts_of
from tasks.check.checks import build_checkers, run_checkers
from tasks.check.evidence import snapshot
from tasks.ingest.apply import Arrival, apply


class ContextConfig(BaseModel, extra="forbid"):
    """`checker_names`: which checkers (None: all); `checkers`: their config by name.

    `incidents`: whether findings become alerts and incidents; None means where the run has no ingest stage.
    """

    checker_names: list[str] | None = None
    checkers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    incidents: bool | None = None


@dataclass(frozen=True)
class Findings:
    """What the host looks like now."""

    hostname: str
    results: list[CheckResult]
    evidence: dict[str, Any]


def work(context: StageContext) -> Findings:
    """Run the checkers side by side and take a snapshot. A checker that fails is a result, not an error."""
    checkers = build_checkers(context.config.checker_names, context.config.checkers)
    return Findings(socket.gethostname(), run_checkers(checkers), snapshot())


def store(session: Session, context: StageContext, findings: Findings) -> ChecksResult:
    """Write the check runs and, in local monitoring, the alerts that follow from them."""
    rows = add_check_runs(session, findings.results, hostname=findings.hostname, trace_id=context.run.trace_id)
    ref = f"run:{context.run.run_id}:checks"
    run = session.get_one(PipelineRun, context.run.pk)
    run.checker_output_ref = ref
    result = _summary(findings, ref)
    if not _raises_alerts(context):
        return result
    alerts = alerts_of(session, findings.results, hostname=findings.hostname)
    arrival = Arrival(
        payload=ParsedPayload(source=SOURCE, alerts=list(alerts.values())),
        trace_id=context.run.trace_id,
        environment=context.run.environment,
        received_at=utc_now(),
    )
    window = timedelta(minutes=settings.load().reopen_minutes)
    ingested, stored = apply(session, [arrival], reopen_window=window)
    for row in rows:
        if row.checker_name in alerts:
            row.alert_id = stored[SOURCE, alerts[row.checker_name].fingerprint].id
    run.incident_id = ingested.incident_id
    run.alert_fingerprint = ingested.alert_fingerprint
    run.source = SOURCE
    return result.model_copy(update={"incident_ids": ingested.incident_ids, "changes": ingested.changes})


def _raises_alerts(context: StageContext) -> bool:
    if context.config.incidents is not None:
        return bool(context.config.incidents)
    return not context.outputs(IngestResult)


def _summary(findings: Findings, ref: str) -> ChecksResult:
    passed = sum(result.status is CheckStatus.OK for result in findings.results)
    return ChecksResult(
        hostname=findings.hostname,
        checks=findings.results,
        evidence=findings.evidence,
        checks_run=len(findings.results),
        checks_passed=passed,
        checks_failed=len(findings.results) - passed,
        checker_output_ref=ref,
        errors=[f"{result.checker_name}: {result.error}" for result in findings.results if result.error],
    )


CHECK = StageKind(stage=Stage.CHECK, reached=RunStatus.CHECKED, config=ContextConfig, work=work, store=store)
