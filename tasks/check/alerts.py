"""From check results to alerts (the seeds' CheckAlertBridge)."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from storage.alerts import lock_alerts
from storage.records import CheckResult, ParsedAlert
from storage.vocabulary import AlertStatus, CheckStatus, Severity

SOURCE = "checker"
SEVERITY = {CheckStatus.WARNING: Severity.WARNING, CheckStatus.CRITICAL: Severity.CRITICAL}


def alerts_of(session: Session, results: Sequence[CheckResult], *, hostname: str) -> dict[str, ParsedAlert]:
    """The alerts that results give rise to, by checker name.

    A bad result fires; a good one resolves what fires. UNKNOWN does neither: it is no news of the host.
    """
    fingerprints = {result.checker_name: f"{hostname}:{result.checker_name}" for result in results}
    stored = lock_alerts(session, SOURCE, fingerprints=fingerprints.values())
    firing = {alert.fingerprint for alert in stored if alert.status is AlertStatus.FIRING}
    return {
        result.checker_name: _alert(result, fingerprints[result.checker_name], hostname)
        for result in results
        if result.status in SEVERITY
        or (result.status is CheckStatus.OK and fingerprints[result.checker_name] in firing)
    }


def _alert(result: CheckResult, fingerprint: str, hostname: str) -> ParsedAlert:
    return ParsedAlert(
        fingerprint=fingerprint,
        name=f"{result.checker_name} check",
        status=AlertStatus.FIRING if result.status in SEVERITY else AlertStatus.RESOLVED,
        started_at=None,
        severity=SEVERITY.get(result.status),
        raw_severity=result.status,
        description=result.message,
        labels={"host": hostname, "checker": result.checker_name},
        raw_payload={"metrics": result.metrics},
    )
