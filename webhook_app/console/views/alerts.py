"""Alerts: what the senders reported."""

from typing import Any

from sqlalchemy.orm import Session

from storage import trail
from storage.alerts import LONG_FIELDS
from storage.tables import Alert
from storage.vocabulary import AlertStatus, Severity
from webhook_app.console import filters
from webhook_app.console.links import incident_link
from webhook_app.console.table_view import Related, TableView

HISTORY_SHOWN = 50


class AlertView(TableView):
    """One row: one signal from one source, in its present or last episode."""

    table = Alert
    noun = "alert"
    columns = ("status", "severity", "name", "source", "hostname", "environment", "incident_id", "received_at")
    details = (
        "status",
        "severity",
        "raw_severity",
        "name",
        "description",
        "source",
        "hostname",
        "environment",
        "fingerprint",
        "incident_id",
        "trace_id",
        "started_at",
        "ended_at",
        "received_at",
        "updated_at",
        "labels",
        "annotations",
        "raw_payload",
    )
    labels = {"incident_id": "Incident", "received_at": "Received", "hostname": "Host"}
    orders = (Alert.received_at,)
    filters = (
        filters.words("status", Alert.status, AlertStatus),
        filters.words("severity", Alert.severity, Severity),
        filters.exactly("source", Alert.source),
        filters.since(Alert.received_at),
        filters.number("incident", Alert.incident_id),
    )
    led_by = ("status", "severity")
    list_options = LONG_FIELDS

    formatters = {
        "name": lambda view, _context, row, _name: view.link(row, row.name),
        "incident_id": lambda _view, _context, row, _name: incident_link(row.incident_id),
    }

    def __init__(self) -> None:
        super().__init__(name="Alerts", endpoint="alert_rows", url="alerts")

    def title_of(self, row: Any) -> str:
        """Its name."""
        return f"Alert {row.id}: {row.name}"

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """Its history."""
        history = trail.history_of_alert(session, row.id, limit=HISTORY_SHOWN)
        columns = ("created_at", "event", "old_status", "new_status", "details", "trace_id")
        return {"related": [Related("History", columns, history[::-1])]}
