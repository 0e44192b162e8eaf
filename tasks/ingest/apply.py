"""From parsed alerts to rows: alerts, their history, and the incidents they open, join or resolve.

One transaction takes all deliveries of a run. The incident's group is locked first, so that two deliveries
of one group are worked one after the other, whichever process has them. Everything is read at the beginning
and written at the end: what a body of 5,000 alerts costs is a handful of statements.

What is written has passed the redaction rule, here and in alert_row.py: of a secret that a sender put into an
alert, rows hold no more than `***`. What decides (identity, group, episode) is the alert as it came. The delivery
keeps its body as it came too, so that it can be replayed, until its days are over (flows/retention.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from storage import alerts as alert_rows
from storage import incidents as incident_rows
from storage.records import IncidentChange, IngestResult, ParsedAlert, ParsedPayload
from storage.redaction import redact_text
from storage.storable import storable, storable_text
from storage.tables import Alert, Incident
from storage.tables.base import utc_now
from storage.vocabulary import (
    LIVE_INCIDENT,
    AlertEvent,
    AlertStatus,
    IncidentStatus,
    Lifecycle,
    NotificationReason,
)
from tasks.hosts import host_of
from tasks.ingest.alert_row import write_alert
from tasks.ingest.episodes import Step, Stored, clamped, decide, start_after
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
    session: Session, arrivals: Sequence[Arrival], *, reopen_window: timedelta, group_by: Sequence[str] = ()
) -> tuple[IngestResult, dict[Identity, Alert]]:
    """Store every alert of every arrival, in order, and settle the incidents they touch.

    Returns what happened, and the alerts by (source, fingerprint).
    """
    ingestion = Ingestion(session, arrivals, reopen_window, group_by)
    for arrival in arrivals:
        ingestion.take(arrival)
    return ingestion.finish(arrivals), ingestion.alerts


class Ingestion:
    """The alerts and incidents of one transaction, and what has been done to them so far."""

    def __init__(
        self,
        session: Session,
        arrivals: Sequence[Arrival],
        reopen_window: timedelta,
        group_by: Sequence[str] = (),
    ) -> None:
        self._session = session
        self._reopen_window = reopen_window
        self._group_by = group_by
        self._incidents: dict[str, Incident] = self._lock_groups(arrivals)
        self.alerts: dict[Identity, Alert] = self._lock_alerts(arrivals)
        self._by_vendor_id = {(a.source, a.vendor_id): a for a in self.alerts.values() if a.vendor_id}
        self._joined = self._load_joined()
        self._history: list[tuple[Alert, dict[str, Any]]] = []
        self._changes: list[tuple[Incident, int, NotificationReason, int]] = []
        # How bad each incident was before this transaction, where it was live then.
        self._severity_before = {
            incident: incident.severity
            for incident in {*self._incidents.values(), *self._joined.values()}
            if incident.status in LIVE_INCIDENT
        }
        self._touched: dict[Incident, None] = {}
        # What earlier arrivals and this one have done to incidents without settling them yet.
        self._unsettled: dict[Incident, None] = {}
        self._taken_now: set[Incident] = set()
        self._ended_at: dict[Incident, datetime] = {}
        self._ending: set[Incident] = set()
        self._opened: set[Incident] = set()
        self._errors: list[str] = []
        self._created = self._updated = self._resolved = 0

    def take(self, arrival: Arrival) -> None:
        """Apply the alerts of one arrival."""
        self._taken_now = set()
        for place, parsed in enumerate(arrival.payload.alerts):
            if parsed.is_partial:
                self._add_to_known(parsed, arrival, place)
                continue
            alert, step = self._apply_alert(parsed, arrival)
            if step is not Step.STALE:
                self._attend_incident(alert, step, parsed, arrival)
            self._add_note(alert, parsed, arrival)

    def finish(self, arrivals: Sequence[Arrival]) -> IngestResult:
        """Settle what is open, write everything, and say what happened."""
        self._settle(list(self._unsettled))
        self._say_what_got_worse()
        self._session.flush()
        alert_rows.add_history(self._session, [{"alert_id": alert.id, **row} for alert, row in self._history])
        seen = [alert for arrival in arrivals for alert in arrival.payload.alerts]
        touched = sorted(self._touched, key=lambda incident: (-incident.severity.rank, incident.id))
        return IngestResult(
            incident_id=touched[0].id if touched else None,
            incident_ids=[incident.id for incident in touched],
            changes=[
                IncidentChange(incident_id=incident.id, episode=episode, reason=reason, sequence=sequence)
                for incident, episode, reason, sequence in self._changes
            ],
            alert_fingerprint=seen[0].fingerprint if seen else "",
            severity=touched[0].severity if touched else None,
            alerts_seen=len(seen),
            alerts_created=self._created,
            alerts_updated=self._updated,
            alerts_resolved=self._resolved,
            incidents_created=len(self._opened),
            incidents_updated=len(self._touched.keys() - self._opened),
            errors=self._errors,
        )

    def _group_of(self, parsed: ParsedAlert, arrival: Arrival) -> tuple[str, str]:
        return group_of(
            parsed, source=arrival.payload.source, environment=arrival.environment, group_by=self._group_by
        )

    def _lock_groups(self, arrivals: Sequence[Arrival]) -> dict[str, Incident]:
        """Lock the alerts' identities and groups, and the groups that they were joined to before."""
        keys = {
            self._group_of(alert, arrival)[0]
            for arrival in arrivals
            for alert in arrival.payload.alerts
            if not alert.is_partial
        }
        identities: set[str] = set()
        for source, (fingerprints, vendor_ids) in _wanted(arrivals).items():
            keys |= alert_rows.joined_groups(
                self._session, source, fingerprints=fingerprints, vendor_ids=vendor_ids
            )
            # One alert may come in two groups at once (two routes of an Alertmanager): it is locked by itself too.
            identities |= {f"{source}/{fingerprint}" for fingerprint in fingerprints}
        incident_rows.lock_groups(self._session, keys | identities)
        return incident_rows.last_of_groups(self._session, keys)

    def _lock_alerts(self, arrivals: Sequence[Arrival]) -> dict[Identity, Alert]:
        return {
            (source, alert.fingerprint): alert
            for source, (fingerprints, vendor_ids) in _wanted(arrivals).items()
            for alert in alert_rows.lock_alerts(
                self._session, source, fingerprints=fingerprints, vendor_ids=vendor_ids
            )
        }

    def _load_joined(self) -> dict[Identity, Incident]:
        by_id = {incident.id: incident for incident in self._incidents.values()}
        ids = {identity: alert.incident_id for identity, alert in self.alerts.items() if alert.incident_id}
        by_id |= incident_rows.by_ids(self._session, set(ids.values()) - by_id.keys())
        return {identity: by_id[incident_id] for identity, incident_id in ids.items()}

    def _apply_alert(self, parsed: ParsedAlert, arrival: Arrival) -> tuple[Alert, Step]:
        identity = (arrival.payload.source, parsed.fingerprint)
        alert = self.alerts.get(identity)
        before = _stored(alert) if alert else None
        is_start_given = parsed.started_at is not None
        parsed = clamped(parsed, received_at=arrival.received_at)
        step = decide(before, parsed, received_at=arrival.received_at)
        if alert is None:
            alert = Alert(source=arrival.payload.source, fingerprint=parsed.fingerprint)
            self._session.add(alert)
            self.alerts[identity] = alert
            self._created += 1
        else:
            self._updated += 1
        if parsed.vendor_id:
            self._by_vendor_id[alert.source, parsed.vendor_id] = alert
        old_severity = alert.severity
        alert.started_at = start_after(before, parsed, step, received_at=arrival.received_at)
        if step is not Step.STALE:
            write_alert(
                alert,
                parsed,
                step,
                before=before,
                environment=arrival.environment,
                trace_id=arrival.trace_id,
                received_at=arrival.received_at,
            )
        if parsed.status is AlertStatus.RESOLVED and step in {Step.RESOLVED, Step.CREATED}:
            self._resolved += 1
        is_about_start = step in {Step.CREATED, Step.REFIRED} and not is_start_given
        details = {"started_at": "time of receipt"} if is_about_start else {}
        self._note(alert, _event_of(step, parsed), before, arrival, **_lifecycle_of(parsed), **details)
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
            left, incident = incident, self._join_or_open(alert, parsed, arrival)
            alert.incident = self._joined[identity] = incident
            # Under the group's lock: those of an incident are committed in their order (storage/news.py).
            alert.joined_at = utc_now()
            if left and left is not incident:  # its group has changed, and it may have been the last one there
                self._touched[left] = self._unsettled[left] = None
        if incident is None:
            return
        self._touched[incident] = self._unsettled[incident] = None
        if incident not in self._taken_now and (truncated := arrival.payload.truncated_alerts):
            incident.truncated_alerts = truncated
            self._note(alert, AlertEvent.TRUNCATED, None, arrival, truncated_alerts=truncated)
        self._taken_now.add(incident)
        if parsed.lifecycle is Lifecycle.ACKNOWLEDGED and incident.status is IncidentStatus.OPEN:
            incident_rows.acknowledge(incident, author=arrival.payload.source)
            self._say(incident, NotificationReason.ACKNOWLEDGED)
        if parsed.lifecycle is Lifecycle.UNACKNOWLEDGED:
            incident_rows.unacknowledge(incident)
        if step is Step.RESOLVED:
            self._ending.add(incident)
        if alert.ended_at:
            self._ended_at[incident] = max(self._ended_at.get(incident, alert.ended_at), alert.ended_at)

    def _join_or_open(self, alert: Alert, parsed: ParsedAlert, arrival: Arrival) -> Incident:
        key, label = self._group_of(parsed, arrival)
        incident = self._incidents.get(key)
        if incident and incident in self._unsettled and incident not in self._taken_now:
            # An earlier arrival of this run may have ended the incident: that is to be told on its own.
            self._settle([incident])
        if incident and incident.status in LIVE_INCIDENT:
            return incident
        if incident and incident_rows.may_reopen(incident, alert.started_at, window=self._reopen_window):
            incident_rows.reopen(incident, started_at=alert.started_at)
            self._severity_before.pop(incident, None)
        else:
            incident = _new_incident(alert, arrival, key, label)
            self._session.add(incident)
            self._incidents[key] = incident
            self._opened.add(incident)
        self._say(incident, NotificationReason.FIRING)
        return incident

    def _add_to_known(self, parsed: ParsedAlert, arrival: Arrival, place: int) -> None:
        """Write down what somebody did about an alert, where that is all that the sender says."""
        source = arrival.payload.source
        alert = self.alerts.get((source, parsed.fingerprint)) or self._by_vendor_id.get((source, parsed.vendor_id))
        if alert is None:
            self._errors.append(f"alerts[{place}]: about an alert that is not known here ({source})")
            return
        before = _stored(alert)
        is_present = decide(before, parsed, received_at=arrival.received_at) is Step.REFRESHED
        step = Step.REFRESHED if is_present else Step.STALE
        self._note(alert, _event_of(step, parsed), before, arrival, **_lifecycle_of(parsed))
        if is_present:
            self._attend_incident(alert, step, parsed, arrival)
        self._add_note(alert, parsed, arrival)

    def _add_note(self, alert: Alert, parsed: ParsedAlert, arrival: Arrival) -> None:
        """The words of the sender's people go to the incident, however often they are delivered."""
        incident = self._joined.get((alert.source, alert.fingerprint))
        if parsed.note and incident:
            incident_rows.add_note(
                incident,
                text=storable_text(parsed.note),
                author=arrival.payload.source,
                at=parsed.occurred_at or arrival.received_at,
            )

    def _settle(self, incidents: Sequence[Incident]) -> None:
        """Severity from the alerts that fire; resolved when none does.

        Where somebody resolved or closed it before, the end of its alerts is told all the same: people know
        that they fire.
        """
        for incident in incidents:
            del self._unsettled[incident]
        moved = [each for each in incidents if each.status in LIVE_INCIDENT or each in self._ending]
        if not moved:
            return
        self._session.flush()
        highest = incident_rows.firing_severities(self._session, [incident.id for incident in moved])
        for incident in moved:
            self._ending.discard(incident)
            is_live = incident.status in LIVE_INCIDENT
            if incident.id not in highest:
                if is_live:
                    incident_rows.resolve(incident, resolved_at=self._ended_at.get(incident))
                self._say(incident, NotificationReason.RESOLVED)
            elif is_live:
                incident.severity = highest[incident.id]

    def _say_what_got_worse(self) -> None:
        """Of what was live before and still is, in the same episode; once, whatever it was in between."""
        for incident, before in self._severity_before.items():
            if incident.status in LIVE_INCIDENT and incident.severity.rank > before.rank:
                self._say(incident, NotificationReason.ESCALATED, sequence=incident.severity.rank)

    def _say(self, incident: Incident, reason: NotificationReason, *, sequence: int = 0) -> None:
        self._changes.append((incident, incident.episode, reason, sequence))

    def _note(
        self, alert: Alert, event: AlertEvent, before: Stored | None, arrival: Arrival, **details: Any
    ) -> None:
        row = {
            "event": event,
            "old_status": before.status.value if before else "",
            "new_status": alert.status.value,
            "details": details,
            "trace_id": arrival.trace_id,
            "created_at": arrival.received_at,
        }
        self._history.append((alert, row))


def _wanted(arrivals: Sequence[Arrival]) -> dict[str, tuple[set[str], set[str]]]:
    """The fingerprints by source, and the vendor ids by which partial alerts name theirs; sources in order."""
    wanted: dict[str, tuple[set[str], set[str]]] = {}
    for arrival in sorted(arrivals, key=lambda arrival: arrival.payload.source):
        fingerprints, vendor_ids = wanted.setdefault(arrival.payload.source, (set(), set()))
        for alert in arrival.payload.alerts:
            if alert.fingerprint:
                fingerprints.add(alert.fingerprint)
            if alert.is_partial and alert.vendor_id:
                vendor_ids.add(alert.vendor_id)
    return wanted


def _stored(alert: Alert) -> Stored:
    return Stored(
        alert.status,
        alert.started_at,
        alert.ended_at,
        alert.episode,
        alert.occurred_at,
        alert.last_received_at,
    )


def _event_of(step: Step, parsed: ParsedAlert) -> AlertEvent:
    acted = {
        Lifecycle.ACKNOWLEDGED: AlertEvent.ACKNOWLEDGED,
        Lifecycle.UNACKNOWLEDGED: AlertEvent.UNACKNOWLEDGED,
    }
    if step is Step.REFRESHED and parsed.lifecycle in acted:
        return acted[parsed.lifecycle]
    return AlertEvent(step.value)


def _lifecycle_of(parsed: ParsedAlert) -> dict[str, str]:
    return {"lifecycle": parsed.lifecycle.value} if parsed.lifecycle else {}


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
        group_label=storable(redact_text(group_label)),
        episode=1,
        started_at=alert.started_at,
    )
