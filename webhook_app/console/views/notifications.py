"""Messages to channels, and what became of them."""

from storage.tables import Notification
from webhook_app.console.table_view import TableView


class NotificationView(TableView):
    """One row: one notification."""

    table = Notification
    noun = "notification"
    columns = ("status", "channel", "reason", "incident_id", "created_at")
    details = (
        "channel",
        "driver",
        "incident_id",
        "episode",
        "reason",
        "sequence",
        "status",
        "idempotency_key",
        "run_id",
        "sender_run_id",
        "trace_id",
        "instead_of",
        "due_at",
        "waiting_since",
        "title",
        "message",
        "claim",
        "attempts",
        "provider_id",
        "error_type",
        "error_message",
        "created_at",
        "updated_at",
        "claimed_at",
        "knew_until",
        "sent_at",
    )
    orders = (Notification.created_at,)

    def __init__(self) -> None:
        super().__init__(name="Notifications", endpoint="notification_rows", url="notifications")
