"""The check stage: measure the host, and where no webhook began the run, raise alerts from what is found."""

import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, StringConstraints, field_validator, model_validator
from sqlalchemy.orm import Session

from storage import settings
from storage.checks import add_check_runs, checked_since
from storage.notifications import untold
from storage.records import CheckResult, ChecksResult, IncidentChange, IngestResult, ParsedPayload
from storage.storable import storable, storable_text
from storage.tables import PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import CheckStatus, RunStatus, Stage
from tasks.attempt import StageContext, StageKind
from tasks.check import apart
from tasks.check.alerts import RESERVED_LABELS, SOURCE, Host, alerts_of
from tasks.check.checkers.base import Checker
from tasks.check.checks import build_checkers
from tasks.errors import PermanentError
from tasks.ingest.apply import Arrival, apply

PERCENT = "%"
HOSTNAME_MAX_CHARS = 255
# That something is over is no news after this long.
TOLD_LATE = timedelta(days=1)
# A checker that did not run for so long is no longer configured, and not just another definition's.
LATELY = timedelta(days=1)
# Of a node's time, what is kept for starting the measurement and storing what came of it.
RESERVE_SECONDS = 5.0


class ContextConfig(BaseModel, extra="forbid"):
    """`checker_names`, or `include`: which checkers (None: the default ones, and those that are configured).

    `checkers`: their config by name, each key before the installation's. `warning_threshold` and
    `critical_threshold`: those of all chosen checkers that measure per cent of something. `incidents`: whether
    findings become alerts and incidents; None means where the run has no ingest stage. `hostname` and `labels`
    stand on what is stored; None means this host's own name.
    """

    checker_names: list[str] | None = None
    checkers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    warning_threshold: FiniteFloat | None = None
    critical_threshold: FiniteFloat | None = None
    incidents: bool | None = None
    hostname: Annotated[str, StringConstraints(strip_whitespace=True)] | None = Field(
        default=None, min_length=1, max_length=HOSTNAME_MAX_CHARS
    )
    labels: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _by_its_other_name(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "include" not in given:
            return given
        names = {"checker_names": given["include"]}
        return names | {key: value for key, value in given.items() if key != "include"}

    @field_validator("hostname", "labels")
    @classmethod
    def _is_storable(cls, given: Any) -> Any:
        return storable(given)

    @field_validator("labels")
    @classmethod
    def _names_no_host(cls, labels: dict[str, str]) -> dict[str, str]:
        if taken := sorted(RESERVED_LABELS & labels.keys()):
            raise ValueError(f"{', '.join(taken)} cannot be set: it says which host or check the alert is of")
        return labels


@dataclass(frozen=True)
class Findings:
    """What the host looks like now."""

    host: Host
    results: list[CheckResult]
    evidence: dict[str, Any]


def work(context: StageContext) -> Findings:
    """Run the checkers side by side and take a snapshot. A checker that fails is a result, not an error."""
    config: ContextConfig = context.config
    checkers, configs = plan(config, settings.load().checkers)
    within = max(context.timeout_seconds - RESERVE_SECONDS, context.timeout_seconds / 2)
    measured = apart.measure([checker.kind for checker in checkers], configs, within_seconds=within)
    host = Host(
        hostname=config.hostname or storable_text(socket.gethostname())[:HOSTNAME_MAX_CHARS],
        labels=config.labels,
        confirmations={checker.kind: checker.config.confirmations for checker in checkers},
    )
    return Findings(host, measured.results, {**measured.evidence, "hostname": host.hostname})


def plan(
    config: ContextConfig, installed: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Checker], dict[str, dict[str, Any]]]:
    """The checkers that a node asks for, and their configs. Raises PermanentError for what is wrong in them."""
    names = {*installed, *config.checkers}
    configs = {name: {**installed.get(name, {}), **config.checkers.get(name, {})} for name in sorted(names)}
    limits = {"warning_threshold": config.warning_threshold, "critical_threshold": config.critical_threshold}
    given = {key: limit for key, limit in limits.items() if limit is not None}
    checkers = build_checkers(config.checker_names, configs)
    if not given:
        return checkers, configs
    in_percent = [checker.kind for checker in checkers if getattr(checker.config, "unit", "") == PERCENT]
    if not in_percent:
        raise PermanentError(f"{' and '.join(given)}: none of the chosen checkers measures per cent")
    configs |= {name: {**configs.get(name, {}), **given} for name in in_percent}
    return build_checkers([checker.kind for checker in checkers], configs), configs


def store(session: Session, context: StageContext, findings: Findings) -> ChecksResult:
    """Write the check runs and, in local monitoring, the alerts that follow from them."""
    trace_id = context.run.trace_id
    rows = add_check_runs(session, findings.results, hostname=findings.host.hostname, trace_id=trace_id)
    ref = f"run:{context.run.run_id}:checks"
    run = session.get_one(PipelineRun, context.run.pk)
    run.checker_output_ref = ref
    result = _summary(findings, ref)
    if not _raises_alerts(context):
        return result
    host = findings.host
    if context.config.checker_names is None:
        lately = checked_since(session, hostname=host.hostname, since=utc_now() - LATELY)
        host = replace(host, lately_checked=lately)
    alerts = alerts_of(session, findings.results, host)
    arrival = Arrival(
        payload=ParsedPayload(source=SOURCE, alerts=list(alerts.values())),
        trace_id=trace_id,
        environment=context.run.environment,
        received_at=utc_now(),
    )
    window = timedelta(minutes=settings.load().reopen_minutes)
    ingested, stored = apply(session, [arrival], reopen_window=window)
    worst = {target[0]: alert for target, alert in reversed(alerts.items())}
    for row in rows:
        if row.checker_name in worst:
            row.alert_id = stored[SOURCE, worst[row.checker_name].fingerprint].id
    if not context.outputs(IngestResult):
        run.incident_id = ingested.incident_id
        run.alert_fingerprint = ingested.alert_fingerprint
        run.source = SOURCE
    changes = [*ingested.changes, *_untold(session, findings.host)]
    return result.model_copy(
        update={"incident_ids": ingested.incident_ids, "changes": list(dict.fromkeys(changes))}
    )


def _untold(session: Session, host: Host) -> list[IncidentChange]:
    """What earlier runs found and told nobody, since they broke off or there was no channel."""
    return untold(session, source=SOURCE, prefix=f"{host.hostname}:", since=utc_now() - TOLD_LATE)


def _raises_alerts(context: StageContext) -> bool:
    if context.config.incidents is not None:
        return bool(context.config.incidents)
    return not context.outputs(IngestResult)


def _summary(findings: Findings, ref: str) -> ChecksResult:
    statuses = Counter(result.status for result in findings.results)
    passed, skipped = statuses[CheckStatus.OK], statuses[CheckStatus.SKIPPED]
    return ChecksResult(
        hostname=findings.host.hostname,
        checks=findings.results,
        evidence=findings.evidence,
        checks_run=len(findings.results),
        checks_passed=passed,
        checks_failed=len(findings.results) - passed - skipped,
        checks_skipped=skipped,
        checker_output_ref=ref,
        errors=[f"{result.checker_name}: {result.error}" for result in findings.results if result.error],
    )


CHECK = StageKind(
    stage=Stage.CHECK, reached=RunStatus.CHECKED, config=ContextConfig, work=work, store=store, is_waiting=True
)
