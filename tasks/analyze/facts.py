"""What a model is told of a request, in parts: everything that speaks, once, and nothing else.

Times are told relative to the incident's start, as models reckon badly with dates.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from storage.records import AlertView, CheckResult, EarlierIncident, IncidentView
from storage.vocabulary import AlertStatus, CheckStatus
from tasks.analyze.request import AnalysisRequest
from tasks.hosts import Origin

MAX_ALERTS = 60
MAX_HOSTS = 20
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

# None may be longer than what is never cut, see fit.py.
WHOSE_READINGS = {
    Origin.AFFECTED_HOST: "The readings are of the affected host.",
    Origin.OTHER_HOST: "The readings are of Watchkeeper's own host and say nothing about the hosts not measured.",
    Origin.UNCLEAR: "The readings are of Watchkeeper's own host. Whether it is the affected host is not known.",
    Origin.NONE: "It is not known which host the readings are of.",
}
NO_READINGS = "No host was measured."


def facts(request: AnalysisRequest) -> dict[str, Any]:
    """The parts by name, what is worth most first. They may hold empty values, which say nothing."""
    request = _with_worst_alerts(request)
    incident = request.incident
    start = incident.started_at if incident else None
    return {
        "incident": _incident(incident) if incident else {"title": "None: what do the readings of this host say?"},
        "hosts": _hosts(request),
        "earlier_incidents": [_earlier(earlier, incident) for earlier in request.earlier],
        "alerts": _alerts(incident) if incident else {},
        "checks": [_check(check) for check in _by_concern(request.checks)],
        "snapshot": _snapshot(request, start),
        "previous_steps": request.previous,
    }


def _with_worst_alerts(request: AnalysisRequest) -> AnalysisRequest:
    """The request with a bounded number of alerts: those that fire first, then the worst."""
    if request.incident is None:
        return request
    worst_first = sorted(
        request.incident.alerts, key=lambda alert: (alert.status is not AlertStatus.FIRING, -alert.severity.rank)
    )
    incident = request.incident.model_copy(update={"alerts": worst_first[:MAX_ALERTS]})
    return request.model_copy(update={"incident": incident})


def _incident(incident: IncidentView) -> dict[str, Any]:
    return {
        "title": incident.title,
        "severity": incident.severity.value,
        "status": incident.status.value,
        "description": incident.description,
        "environment": incident.environment,
        "started_at": f"{incident.started_at:%Y-%m-%d %H:%M} UTC",
        "lasted_minutes": _minutes(incident.started_at, incident.resolved_at),
        "alerts": incident.alert_count,
        "alerts_firing": incident.firing_alert_count,
        "alerts_by_severity": incident.severity_counts if len(incident.severity_counts) > 1 else {},
        "alerts_cut_by_sender": incident.truncated_alerts or None,
        "times_it_fired": incident.episode if incident.episode > 1 else None,
    }


def _hosts(request: AnalysisRequest) -> dict[str, Any]:
    """Which host is which. The names end as those do under which concealment.py looks for hosts."""
    has_readings = bool(request.checks or request.evidence)
    unread = request.unread_hosts if has_readings else []
    return {
        "readings": WHOSE_READINGS[request.origin] if has_readings else NO_READINGS,
        "readings_taken_on_host": request.own_host,
        "affected_hosts": request.affected_hosts[:MAX_HOSTS],
        "not_measured_hosts": unread[:MAX_HOSTS],
    }


def _earlier(earlier: EarlierIncident, incident: IncidentView | None) -> dict[str, Any]:
    return {
        "title": "" if incident and earlier.title == incident.title else earlier.title,
        "people_wrote": earlier.notes,
        "probable_cause_then": earlier.probable_cause,
        "severity": earlier.severity.value,
        "days_before": round((incident.started_at - earlier.started_at) / DAY, 1) if incident else None,
        "lasted_minutes": _minutes(earlier.started_at, earlier.resolved_at),
    }


def _alerts(incident: IncidentView) -> dict[str, Any]:
    """Each alert, with what they all have in common told once."""
    common, own = _apart([_alert(alert, incident) for alert in incident.alerts])
    return {"same_in_all": common, "each": own, "not_told": max(incident.alert_count - len(own), 0) or None}


def _alert(alert: AlertView, incident: IncidentView) -> dict[str, Any]:
    said = {alert.description, incident.description}
    repeated = {("alertname", alert.name), ("severity", alert.severity.value)}
    return {
        "name": alert.name,
        "severity": alert.severity.value,
        "status": alert.status.value,
        "source": alert.source,
        "description": "" if alert.description == incident.description else alert.description,
        "labels": {name: value for name, value in alert.labels.items() if (name, value) not in repeated},
        "annotations": {
            name: text for name, text in alert.annotations.items() if text not in said and not _is_link(text)
        },
        "minutes_after_start": _minutes(incident.started_at, alert.started_at) or None,
        "lasted_minutes": _minutes(alert.started_at, alert.ended_at),
    }


def _is_link(text: str) -> bool:
    return text.startswith(("http://", "https://")) and len(text.split()) == 1


def _apart(entries: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is the same in all of several mappings, also one level down, and each one's own rest."""
    if len(entries) <= 1:
        return {}, list(entries)
    first, others = entries[0], entries[1:]
    common = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    rests = [{key: value for key, value in entry.items() if key not in common} for entry in entries]
    for key in ("labels", "annotations"):
        if key not in common and all(key in rest for rest in rests):
            common[key], inner = _apart([rest[key] for rest in rests])
            rests = [{**rest, key: own} for rest, own in zip(rests, inner, strict=True)]
    return common, rests


def _by_concern(checks: Iterable[CheckResult]) -> list[CheckResult]:
    return sorted(checks, key=lambda check: -check.status.rank)


def _check(check: CheckResult) -> dict[str, Any]:
    """Of a check that is fine its message says enough."""
    told = {"checker": check.checker_name, "status": check.status.value, "message": check.message}
    if check.status is CheckStatus.OK:
        return told
    also = [reading.message for reading in check.readings if reading.message not in (check.message, check.error)]
    return {
        **told,
        "error": "" if check.error == check.message else check.error,
        "warning_at": check.warning_threshold,
        "critical_at": check.critical_threshold,
        "readings": also,
        "metrics": check.metrics,
    }


def _snapshot(request: AnalysisRequest, start: datetime | None) -> dict[str, Any]:
    """What the measured host looked like; left out where no affected host was measured, as it would mislead."""
    if request.origin is Origin.OTHER_HOST and request.unread_hosts == request.affected_hosts:
        return {}
    measured = {key: value for key, value in request.evidence.items() if key not in ("hostname", "measured_at")}
    with suppress(KeyError, TypeError, ValueError):  # what an older version stored may lack it
        taken_at = datetime.fromisoformat(request.evidence["measured_at"])
        measured = {"taken_minutes_after_start": _minutes(start, taken_at), **measured}
    return measured


def _minutes(since: datetime | None, until: datetime | None) -> float | None:
    """How long it was, by tenths below an hour."""
    if since is None or until is None:
        return None
    minutes = (until - since) / MINUTE
    return round(minutes) if abs(minutes) >= 60 else round(minutes, 1)  # noqa: PLR2004  minutes in an hour
