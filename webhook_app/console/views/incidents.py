"""Alerts worked together."""

from storage.tables import Incident
from webhook_app.console.table_view import TableView


class IncidentView(TableView):
    """One row: one incident."""

    table = Incident
    noun = "incident"
    columns = ("status", "severity", "title", "environment", "created_at")
    details = (
        "title",
        "status",
        "severity",
        "description",
        "summary",
        "environment",
        "group_key",
        "group_label",
        "episode",
        "truncated_alerts",
        "started_at",
        "created_at",
        "updated_at",
        "acknowledged_at",
        "resolved_at",
        "closed_at",
        "details",
    )
    orders = (Incident.created_at,)

    def __init__(self) -> None:
        super().__init__(name="Incidents", endpoint="incident_rows", url="incidents")
