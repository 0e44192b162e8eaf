"""What happened to alerts."""

from storage.tables import AlertHistory
from webhook_app.console.table_view import TableView


class AlertHistoryView(TableView):
    """One row: one entry."""

    table = AlertHistory
    noun = "entry"
    columns = ("created_at", "alert_id", "event", "old_status", "new_status", "trace_id")
    details = ("alert_id", "event", "old_status", "new_status", "details", "trace_id", "created_at")
    orders = (AlertHistory.created_at,)

    def __init__(self) -> None:
        super().__init__(name="Alert history", endpoint="history_rows", url="alert-history")
