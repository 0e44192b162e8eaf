"""Questions to the local rules, and what a host called hub reads."""

from datetime import UTC, datetime
from typing import Any

from storage.records import AlertView, Analysis, CheckResult, IncidentView, Reading
from storage.vocabulary import AlertStatus, CheckStatus, IncidentStatus, Severity
from tasks.analyze.providers.local import Local
from tasks.analyze.request import AnalysisRequest

STARTED = datetime(2026, 9, 14, 3, 0, tzinfo=UTC)
EVIDENCE: dict[str, Any] = {
    "hostname": "hub",
    "load_averages": [8.1, 7.2, 5.0],
    "cpu_count": 2,
    "disks": [
        {"path": "/", "file_system": "ext4", "used_percent": 97.0, "total_gb": 100.0, "free_gb": 3.0},
        {"path": "/srv", "file_system": "ext4", "used_percent": 41.0, "total_gb": 900.0, "free_gb": 531.0},
    ],
    "processes": {
        "by_memory": [{"pid": 4242, "name": "hubdb", "rss_mb": 4100.0, "memory_percent": 25.0}],
        "by_cpu": [
            {"pid": 777, "name": "hubcrunch", "cpu_percent": 182, "cpu_seconds": 9000.0},
            {"pid": 778, "name": "hubidle", "cpu_percent": 0, "cpu_seconds": 400.0},
        ],
    },
}


def alert(name: str, description: str = "", status: AlertStatus = AlertStatus.FIRING, **labels: str) -> AlertView:
    return AlertView(
        id=1,
        source="alertmanager",
        fingerprint="f",
        name=name,
        status=status,
        severity=Severity.CRITICAL,
        description=description,
        labels=labels,
        annotations={},
        started_at=STARTED,
        ended_at=None,
    )


def incident(*alerts: AlertView, **changes: Any) -> IncidentView:
    fields: dict[str, Any] = {
        "id": 7,
        "title": alerts[0].name if alerts else "Something",
        "status": IncidentStatus.OPEN,
        "severity": Severity.CRITICAL,
        "description": "",
        "episode": 1,
        "started_at": STARTED,
        "resolved_at": None,
        "environment": "",
        "alert_count": len(alerts),
        "firing_alert_count": len(alerts),
        "severity_counts": {},
        "truncated_alerts": 0,
        "alerts": list(alerts),
    }
    return IncidentView(**fields | changes)


def check(name: str, status: CheckStatus, message: str = "", **metrics: Any) -> CheckResult:
    return CheckResult(
        checker_name=name,
        status=status,
        message=message or f"{name} reading",
        metrics=metrics,
        warning_threshold=80.0,
        critical_threshold=95.0,
    )


def analyze(about: IncidentView | None, *checks: CheckResult, evidence: dict[str, Any] = EVIDENCE) -> Analysis:
    request = AnalysisRequest(incident=about, checks=list(checks), evidence=evidence)
    return Local(Local.Config()).analyze(request)


def texts(analysis: Analysis) -> str:
    return analysis.model_dump_json()


def own_alert(checker: str, target: str = "") -> AlertView:
    """An alert of our own checks on the host that is measured."""
    labels = {"host": "hub", "checker": checker} | ({"target": target} if target else {})
    return alert(f"{checker} {target or 'check'}").model_copy(update={"source": "checker", "labels": labels})


def read(checker: str, status: CheckStatus, target: str, message: str) -> CheckResult:
    reading = Reading(target=target, status=status, held=status, message=message)
    return check(checker, status, message).model_copy(update={"readings": [reading]})
