"""From parsed alerts to rows: alerts, their history, and the incidents they open, join or resolve.

One transaction takes all deliveries of a run. The incident's group is locked first, so that two deliveries
of one group are worked one after the other, whichever process has them. Everything is read at the beginning
and written at the end: what a body of 5,000 alerts costs is a handful of statements.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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
)
from tasks.hosts import host_of
from tasks.ingest.body import storable
from tasks.ingest.episodes import Step, Stored, decide, end_of, start_of
from tasks.ingest.grouping import group_of

TITLE_MAX_CHARS = 300

Identity = tuple[str, str]


@dataclass(frozen=True)
class Arrival:
    """One payload with when and where it came in."""

    payload: ParsedPayload
    trace_id: str
    environment: str
    received_at: datetime


def apply(
    session: Session, arrivals: Sequence[Arrival], *, reopen_window: timedelta
) -> tuple[IngestResult, dict[Identity, Alert]]:
    """Store every alert of every arrival, in order, and settle the incidents they touch.

    Returns what happened, and the alerts by (source, fingerprint).
    """
    ingestion = Ingestion(session, arrivals, reopen_window)
    for arrival in arrivals:
        ingestion.take(arrival)
    return ingestion.finish(arrivals), ingestion.alerts


class Ingestion:
    """The alerts and incidents of one transaction, and what has been done to them so far."""

    def __init__(self, session: Session, arrivals: Sequence[Arrival], reopen_window: timedelta) -> None:
        self._session = session
        self._reopen_window = reopen_window
        self._incidents: dict[str, Incident] = self._lock_groups(arrivals)
        self.alerts: dict[Identity, Alert] = self._lock_alerts(arrivals)
        self._joined = self._load_joined()
        self._history: list[tuple[Alert, dict[str, Any]]] = []
        self._changes: list[tuple[Incident, int, NotificationReason]] = []
        self._touched: dict[str, Incident] = {}
        # What earlier arrivals and this one have done to incidents without settling them yet.
        self._unsettled: dict[str, Incident] = {}
        self._taken_now: set[str] = set()
        self._ended_at: dict[str, datetime] = {}
        self._opened: set[str] = set()
        self._created = self._updated = self._resolved = 0

    def take(self, arrival: Arrival) -> None:
        """Apply the alerts of one arrival."""
        self._taken_now = set()
        for parsed in arrival.payload.alerts:
            alert, step = self._apply_alert(parsed, arrival)
            if step is not Step.STALE:
                self._attend_incident(alert, step, parsed, arrival)

    def finish(self, arrivals: Sequence[Arrival]) -> IngestResult:
        """Settle what is open, write everything, and say what happened."""
        self._settle(list(self._unsettled))
        self._session.flush()
        alert_rows.add_history(self._session, [{"alert_id": alert.id, **row} for alert, row in self._history])
        seen = [alert for arrival in arrivals for alert in arrival.payload.alerts]
        touched = sorted(self._touched.values(), key=lambda incident: (-incident.severity.rank, incident.id))
        return IngestResult(
            incident_id=touched[0].id if touched else None,
            incident_ids=[incident.id for incident in touched],
            changes=[
                IncidentChange(incident_id=incident.id, episode=episode, reason=reason)
                for incident, episode, reason in self._changes
            ],
            alert_fingerprint=seen[0].fingerprint if seen else "",
            severity=touched[0].severity if touched else None,
            alerts_seen=len(seen),
            alerts_created=self._created,
            alerts_updated=self._updated,
            alerts_resolved=self._resolved,
            incidents_created=len(self._opened),
            incidents_updated=len(self._touched.keys() - self._opened),
        )

    def _lock_groups(self, arrivals: Sequence[Arrival]) -> dict[str, Incident]:
        keys = {
            group_of(alert, source=arrival.payload.source, environment=arrival.environment)[0]
            for arrival in arrivals
            for alert in arrival.payload.alerts
        }
        incident_rows.lock_groups(self._session, keys)
        return incident_rows.last_of_groups(self._session, keys)

    def _lock_alerts(self, arrivals: Sequence[Arrival]) -> dict[Identity, Alert]:
        wanted: dict[str, set[str]] = defaultdict(set)
        for arrival in arrivals:
            wanted[arrival.payload.source].update(alert.fingerprint for alert in arrival.payload.alerts)
        return {
            (source, fingerprint): alert
            for source in sorted(wanted)
            for fingerprint, alert in alert_rows.lock_alerts(self._session, source, wanted[source]).items()
        }

    def _load_joined(self) -> dict[Identity, Incident]:
        by_id = {incident.id: incident for incident in self._incidents.values()}
        ids = {identity: alert.incident_id for identity, alert in self.alerts.items() if alert.incident_id}
        by_id |= incident_rows.by_ids(self._session, set(ids.values()) - by_id.keys())
        return {identity: by_id[incident_id] for identity, incident_id in ids.items()}

    def _apply_alert(self, parsed: ParsedAlert, arrival: Arrival) -> tuple[Alert, Step]:
        identity = (arrival.payload.source, parsed.fingerprint)
        alert = self.alerts.get(identity)
        before = Stored(alert.status, alert.started_at, alert.ended_at, alert.episode) if alert else None
        started_at = start_of(parsed, received_at=arrival.received_at)
        if parsed.started_at is not None:
            parsed = parsed.model_copy(update={"started_at": started_at})
        step = decide(before, parsed)
        if alert is None:
            alert = Alert(source=arrival.payload.source, fingerprint=parsed.fingerprint)
            self._session.add(alert)
            self.alerts[identity] = alert
            self._created += 1
        else:
            self._updated += 1
        old_severity = alert.severity
        if step is not Step.STALE:
            _write_alert(alert, parsed, arrival, step, started_at=started_at)
        if parsed.status is AlertStatus.RESOLVED and step in {Step.RESOLVED, Step.CREATED}:
            self._resolved += 1
        self._note(alert, AlertEvent(step.value), before, arrival)
        if before and old_severity is not alert.severity:
            severities = {"old_severity": old_severity.value, "new_severity": alert.severity.value}
            self._note(alert, AlertEvent.SEVERITY_CHANGED, before, arrival, **severities)
        return alert, step

    def _attend_incident(self, alert: Alert, step: Step, parsed: ParsedAlert, arrival: Arrival) -> None:
        """Join the alert to the incident of its group, or let its incident know that it ended."""
        identity = (alert.source, alert.fingerprint)
        incident = self._joined.get(identity)
        needs_incident = step in {Step.CREATED, Step.REFIRED} or incident is None
        if alert.status is AlertStatus.FIRING and needs_incident:
            incident = self._join_or_open(alert, parsed, arrival)
            alert.incident = self._joined[identity] = incident
        if incident is None:
            return
        key = incident.group_key
        self._touched[key] = self._unsettled[key] = incident
        self._taken_now.add(key)
        if truncated := arrival.payload.truncated_alerts:
            incident.truncated_alerts = truncated
            self._note(alert, AlertEvent.TRUNCATED, None, arrival, truncated_alerts=truncated)
        if parsed.lifecycle == "acknowledged":
            incident_rows.acknowledge(incident)
        if alert.ended_at:
            self._ended_at[key] = max(self._ended_at.get(key, alert.ended_at), alert.ended_at)

    def _join_or_open(self, alert: Alert, parsed: ParsedAlert, arrival: Arrival) -> Incident:
        key, label = group_of(parsed, source=arrival.payload.source, environment=arrival.environment)
        if key in self._unsettled and key not in self._taken_now:
            # An earlier arrival of this run may have ended the incident: that is to be told on its own.
            self._settle([key])
        incident = self._incidents.get(key)
        if incident and incident.status in LIVE_INCIDENT:
            return incident
        if incident and incident_rows.may_reopen(incident, alert.started_at, window=self._reopen_window):
            incident_rows.reopen(incident, started_at=alert.started_at)
        else:
            incident = _new_incident(alert, arrival, key, label)
            self._session.add(incident)
            self._incidents[key] = incident
            self._opened.add(key)
        self._changes.append((incident, incident.episode, NotificationReason.FIRING))
        return incident

    def _settle(self, keys: Sequence[str]) -> None:
        """Severity from the alerts that fire; resolved when none does."""
        live = {key: self._unsettled.pop(key) for key in keys}
        live = {key: incident for key, incident in live.items() if incident.status in LIVE_INCIDENT}
        if not live:
            return
        self._session.flush()
        highest = incident_rows.firing_severities(self._session, [incident.id for incident in live.values()])
        for key, incident in live.items():
            if incident.id in highest:
                incident.severity = highest[incident.id]
                continue
            incident_rows.resolve(incident, resolved_at=self._ended_at.get(key))
            self._changes.append((incident, incident.episode, NotificationReason.RESOLVED))

    def _note(
        self, alert: Alert, event: AlertEvent, before: Stored | None, arrival: Arrival, **details: Any
    ) -> None:
        row = {
            "event": event,
            "old_status": before.status.value if before else "",
            "new_status": alert.status.value,
            "details": {"trace_id": arrival.trace_id, **details},
            "created_at": arrival.received_at,
        }
        self._history.append((alert, row))


def _write_alert(alert: Alert, parsed: ParsedAlert, arrival: Arrival, step: Step, *, started_at: datetime) -> None:
    is_new_episode = step in {Step.CREATED, Step.REFIRED} or (
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


def _new_incident(alert: Alert, arrival: Arrival, group_key: str, group_label: str) -> Incident:
    host = host_of(alert.labels)
    title = f"{alert.name} on {host}" if host and host not in alert.name else alert.name
    return Incident(
        title=title[:TITLE_MAX_CHARS],
        status=IncidentStatus.OPEN,
        severity=alert.severity,
        description=alert.description,
        environment=arrival.environment,
        group_key=group_key,
        group_label=storable(group_label),
        episode=1,
        started_at=alert.started_at,
    )
