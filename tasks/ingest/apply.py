"""From parsed alerts to rows: alerts, their history, and the incidents they open, join or resolve.

One transaction takes all deliveries of a run. The incident's group is locked first, so that two deliveries
of one group are worked one after the other, whichever process has them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from storage import alerts as alert_rows
from storage import incidents as incident_rows
from storage.records import IncidentChange, IngestResult, ParsedAlert, ParsedPayload
from storage.tables import Alert, Incident
from storage.vocabulary import (
    LIVE_INCIDENT,
    AlertEvent,
    AlertStatus,
    IncidentStatus,
    NotificationReason,
    Severity,
)
from tasks.ingest.body import storable
from tasks.ingest.episodes import Step, Stored, decide, end_of, start_of
from tasks.ingest.grouping import group_of, host_of

TITLE_MAX_CHARS = 300


@dataclass(frozen=True)
class Arrival:
    """One payload with when and where it came in."""

    payload: ParsedPayload
    trace_id: str
    environment: str
    received_at: datetime


@dataclass
class Tally:
    """What the transaction has done so far."""

    history: list[tuple[Alert, dict[str, Any]]] = field(default_factory=list)
    touched: dict[int, Incident] = field(default_factory=dict)
    unsettled: dict[int, Incident] = field(default_factory=dict)
    changes: list[IncidentChange] = field(default_factory=list)
    created: int = 0
    updated: int = 0
    resolved: int = 0
    incidents_created: int = 0
    ended_at: dict[int, datetime] = field(default_factory=dict)


def apply(
    session: Session, arrivals: Sequence[Arrival], *, reopen_window: timedelta
) -> tuple[IngestResult, dict[tuple[str, str], Alert]]:
    """Store every alert of every arrival, in order, and settle the incidents they touch.

    Returns what happened, and the alerts by (source, fingerprint).
    """
    groups = [
        [group_of(alert, source=arrival.payload.source, environment=arrival.environment) for alert in alerts]
        for arrival, alerts in ((arrival, arrival.payload.alerts) for arrival in arrivals)
    ]
    incident_rows.lock_groups(session, {key for keys in groups for key, _ in keys})
    stored = _lock_stored(session, arrivals)
    joinable: dict[str, Incident] = {}
    tally = Tally()
    for arrival, keys in zip(arrivals, groups, strict=True):
        for parsed, (group_key, group_label) in zip(arrival.payload.alerts, keys, strict=True):
            identity = (arrival.payload.source, parsed.fingerprint)
            alert, step = _apply_alert(session, stored.get(identity), parsed, arrival, tally)
            stored[identity] = alert
            if step is not Step.STALE:
                _attend_incident(
                    session,
                    alert,
                    step,
                    parsed,
                    arrival,
                    (group_key, group_label),
                    joinable,
                    reopen_window,
                    tally,
                )
        _settle(session, tally, arrival.received_at)
    session.flush()
    alert_rows.add_history(session, [{"alert_id": alert.id, **row} for alert, row in tally.history])
    return _result(arrivals, tally), stored


def _lock_stored(session: Session, arrivals: Iterable[Arrival]) -> dict[tuple[str, str], Alert]:
    wanted: dict[str, set[str]] = defaultdict(set)
    for arrival in arrivals:
        wanted[arrival.payload.source].update(alert.fingerprint for alert in arrival.payload.alerts)
    return {
        (source, fingerprint): alert
        for source in sorted(wanted)
        for fingerprint, alert in alert_rows.lock_alerts(session, source, wanted[source]).items()
    }


def _apply_alert(
    session: Session, alert: Alert | None, parsed: ParsedAlert, arrival: Arrival, tally: Tally
) -> tuple[Alert, Step]:
    before = Stored(alert.status, alert.started_at, alert.ended_at, alert.episode) if alert else None
    started_at = start_of(parsed, received_at=arrival.received_at)
    if parsed.started_at is not None:
        parsed = parsed.model_copy(update={"started_at": started_at})
    step = decide(before, parsed)
    if alert is None:
        alert = Alert(source=arrival.payload.source, fingerprint=parsed.fingerprint)
        session.add(alert)
        tally.created += 1
    else:
        tally.updated += 1
    old_severity = alert.severity
    if step is not Step.STALE:
        _write_alert(alert, parsed, arrival, step, started_at)
    if parsed.status is AlertStatus.RESOLVED and step in (Step.RESOLVED, Step.CREATED):
        tally.resolved += 1
    _note(tally, alert, AlertEvent(step.value), before, arrival)
    if before and step is not Step.STALE and old_severity is not alert.severity:
        details = {"old_severity": old_severity.value, "new_severity": alert.severity.value}
        _note(tally, alert, AlertEvent.SEVERITY_CHANGED, before, arrival, details)
    return alert, step


def _write_alert(alert: Alert, parsed: ParsedAlert, arrival: Arrival, step: Step, started_at: datetime) -> None:
    is_new_episode = step in (Step.CREATED, Step.REFIRED) or (
        parsed.started_at is not None and parsed.started_at > alert.started_at
    )
    alert.name = storable(parsed.name)
    alert.status = parsed.status
    if parsed.status is AlertStatus.FIRING or step is Step.CREATED:  # a resolve never rewrites severity
        alert.severity = parsed.severity
        alert.raw_severity = storable(parsed.raw_severity)
    if parsed.description or step is Step.CREATED:
        alert.description = storable(parsed.description)
    alert.labels = storable(parsed.labels)
    alert.annotations = storable(parsed.annotations)
    alert.raw_payload = storable(parsed.raw_payload)
    alert.environment = arrival.environment
    alert.trace_id = arrival.trace_id
    if is_new_episode:
        alert.started_at = started_at
        alert.episode = parsed.episode or ""
    if step is not Step.REFRESHED or parsed.status is AlertStatus.FIRING:
        alert.ended_at = end_of(parsed, started_at=alert.started_at, received_at=arrival.received_at)


def _note(
    tally: Tally,
    alert: Alert,
    event: AlertEvent,
    before: Stored | None,
    arrival: Arrival,
    details: dict[str, Any] | None = None,
) -> None:
    row = {
        "event": event,
        "old_status": before.status.value if before else "",
        "new_status": alert.status.value,
        "details": {"trace_id": arrival.trace_id, **(details or {})},
        "created_at": arrival.received_at,
    }
    tally.history.append((alert, row))


def _attend_incident(
    session: Session,
    alert: Alert,
    step: Step,
    parsed: ParsedAlert,
    arrival: Arrival,
    group: tuple[str, str],
    joinable: dict[str, Incident],
    reopen_window: timedelta,
    tally: Tally,
) -> None:
    """Join the alert to the incident of its group, or let the incident know that the alert ended."""
    needs_incident = alert.status is AlertStatus.FIRING and (
        step in (Step.CREATED, Step.REFIRED) or alert.incident_id is None
    )
    incident = session.get(Incident, alert.incident_id) if alert.incident_id else None
    if needs_incident:
        incident = joinable.get(group[0])
        if incident is None or incident.status not in LIVE_INCIDENT:
            incident = _join_or_open(session, alert, arrival, group, reopen_window, tally)
            joinable[group[0]] = incident
        alert.incident_id = incident.id
    if incident is None:
        return
    tally.touched[incident.id] = tally.unsettled[incident.id] = incident
    if arrival.payload.truncated_alerts:
        incident.truncated_alerts = arrival.payload.truncated_alerts
        details = {"truncated_alerts": arrival.payload.truncated_alerts}
        _note(tally, alert, AlertEvent.TRUNCATED, None, arrival, details)
    if parsed.lifecycle == "acknowledged":
        incident_rows.acknowledge(incident)
    if alert.ended_at:
        tally.ended_at[incident.id] = max(tally.ended_at.get(incident.id, alert.ended_at), alert.ended_at)


def _join_or_open(
    session: Session,
    alert: Alert,
    arrival: Arrival,
    group: tuple[str, str],
    reopen_window: timedelta,
    tally: Tally,
) -> Incident:
    incident = incident_rows.find_joinable(
        session, group[0], reopen_window=reopen_window, started_at=alert.started_at
    )
    if incident and incident.status in LIVE_INCIDENT:
        return incident
    if incident:
        incident_rows.reopen(incident, started_at=alert.started_at)
    else:
        incident = _new_incident(alert, arrival, group)
        session.add(incident)
        tally.incidents_created += 1
    session.flush()
    tally.changes.append(
        IncidentChange(incident_id=incident.id, episode=incident.episode, reason=NotificationReason.FIRING)
    )
    return incident


def _new_incident(alert: Alert, arrival: Arrival, group: tuple[str, str]) -> Incident:
    host = host_of(alert.labels)
    title = f"{alert.name} on {host}" if host and host not in alert.name else alert.name
    return Incident(
        title=title[:TITLE_MAX_CHARS],
        status=IncidentStatus.OPEN,
        severity=alert.severity,
        description=alert.description,
        environment=arrival.environment,
        group_key=group[0],
        group_label=storable(group[1]),
        episode=1,
        started_at=alert.started_at,
    )


def _settle(session: Session, tally: Tally, received_at: datetime) -> None:
    """Severity from the alerts that fire; resolved when none does. Once per arrival, so that an episode
    that begins and ends within one run is told as both."""
    live = {pk: incident for pk, incident in tally.unsettled.items() if incident.status in LIVE_INCIDENT}
    tally.unsettled = {}
    if not live:
        return
    session.flush()
    highest = incident_rows.firing_severities(session, live)
    for pk, incident in live.items():
        severity: Severity | None = highest.get(pk)
        if severity:
            incident.severity = severity
            continue
        incident_rows.resolve(incident, resolved_at=tally.ended_at.get(pk, received_at))
        tally.changes.append(
            IncidentChange(incident_id=pk, episode=incident.episode, reason=NotificationReason.RESOLVED)
        )


def _result(arrivals: Sequence[Arrival], tally: Tally) -> IngestResult:
    seen = [alert for arrival in arrivals for alert in arrival.payload.alerts]
    incidents = sorted(tally.touched.values(), key=lambda incident: (-incident.severity.rank, incident.id))
    return IngestResult(
        incident_id=incidents[0].id if incidents else None,
        incident_ids=[incident.id for incident in incidents],
        changes=tally.changes,
        alert_fingerprint=seen[0].fingerprint if seen else "",
        severity=incidents[0].severity if incidents else None,
        alerts_seen=len(seen),
        alerts_created=tally.created,
        alerts_updated=tally.updated,
        alerts_resolved=tally.resolved,
        incidents_created=tally.incidents_created,
        incidents_updated=len(incidents) - tally.incidents_created,
    )
