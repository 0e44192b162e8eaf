"""Deliveries, alerts and incidents."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, RootModel

from storage.records import PassedOver
from storage.vocabulary import AlertEvent, AlertStatus, DeliveryStatus, IncidentStatus, RunStatus, Severity
from webhook_app.openapi.shapes.base import Page, Shape
from webhook_app.openapi.shapes.runs import AnalysisShape, NotificationShape, RunLink


class Health(Shape):
    """Whether the receiver is up."""

    status: Literal["ok"]
    sources: list[str]


class Accepted(BaseModel, extra="forbid"):
    """What was answered so is on disk. `reason` says why nothing can be made of a quarantined one."""

    status: Literal["accepted", "duplicate", "quarantined"]
    delivery_id: str
    trace_id: str
    status_url: str


class Quarantined(Accepted):
    """What nothing can be made of."""

    reason: str


class AnyAccepted(RootModel[Accepted | Quarantined]):
    """What was kept."""


class DeliveryShape(Shape):
    """A webhook that was accepted."""

    delivery_id: str
    trace_id: str
    source: str
    pipeline: str
    route: str
    environment: str
    status: DeliveryStatus
    reason: str
    sender_delivery_id: str | None
    body_bytes: int
    sha256: str
    received_at: datetime
    finished_at: datetime | None


class DeliveryLink(DeliveryShape):
    """A delivery, and where to look for more."""

    url: str


class DeliveryRun(Shape):
    """A run that took a delivery."""

    run_id: str
    status: RunStatus
    url: str


class DeliveryCounts(Shape):
    """How many runs took it, and how many alerts it was the last to change."""

    runs: int
    alerts: int


class DeliveryDetails(DeliveryShape):
    """A delivery with the runs that took it."""

    headers: dict[str, str]
    is_body_kept: bool
    counts: DeliveryCounts
    runs: list[DeliveryRun]


class Deliveries(Page):
    """A page of deliveries."""

    deliveries: list[DeliveryShape]


class AlertShape(Shape):
    """An alert."""

    id: int
    fingerprint: str
    source: str
    name: str
    severity: Severity
    raw_severity: str
    status: AlertStatus
    environment: str
    labels: dict[str, Any]
    hostname: str
    started_at: datetime
    ended_at: datetime | None
    received_at: datetime
    updated_at: datetime
    trace_id: str
    incident_id: int | None
    url: str


class History(Shape):
    """Something that happened to an alert."""

    alert_id: int
    event: AlertEvent
    old_status: str
    new_status: str
    details: dict[str, Any]
    trace_id: str
    created_at: datetime


class IncidentLink(Shape):
    """An incident, and where to look for more."""

    id: int
    title: str
    status: IncidentStatus
    severity: Severity
    url: str


class AlertDetails(AlertShape):
    """An alert with its history, its incident, and what brought it."""

    description: str
    annotations: dict[str, Any]
    raw_payload: Any
    episode: str
    vendor_id: str
    occurred_at: datetime | None
    last_received_at: datetime | None
    joined_at: datetime | None
    incident: IncidentLink | None
    history_count: int
    history: list[History]
    deliveries: list[DeliveryLink]
    runs: list[RunLink]


class Alerts(Page):
    """A page of alerts."""

    alerts: list[AlertShape]


class IncidentShape(Shape):
    """Alerts worked together."""

    id: int
    title: str
    status: IncidentStatus
    severity: Severity
    environment: str
    group_label: str
    episode: int
    truncated_alerts: int
    started_at: datetime
    created_at: datetime
    updated_at: datetime
    acknowledged_at: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None
    alert_count: int
    firing_alert_count: int
    url: str


class WorkedIncident(IncidentShape):
    """An incident with what people have done about it, and may do now."""

    description: str
    summary: str
    notes: list[dict[str, Any]]
    notes_dropped: int
    transitions: list[dict[str, Any]]
    transitions_dropped: int
    status_counts: dict[AlertStatus, int]
    severity_counts: dict[Severity, int]
    allowed: list[str]


class ChangedIncident(WorkedIncident):
    """An incident after an action; not `changed` where that had been done before."""

    changed: bool


class IncidentDetails(WorkedIncident):
    """An incident with its first alerts, and the newest of what was done about them."""

    alerts: list[AlertShape]
    alerts_url: str
    history: list[History]
    runs: list[RunLink]
    analyses: list[AnalysisShape]
    notifications: list[NotificationShape]
    passed_over: list[PassedOver]


class Incidents(Page):
    """A page of incidents."""

    incidents: list[IncidentShape]
