"""Where messages go."""

from storage.tables import NotificationChannel
from webhook_app.console.table_view import TableView


class ChannelView(TableView):
    """One row: one channel."""

    table = NotificationChannel
    noun = "channel"
    columns = ("name", "driver", "is_active", "updated_at")
    details = ("name", "driver", "config", "policy", "is_active", "description", "created_at", "updated_at")
    orders = (NotificationChannel.name,)
    is_highest_first = False

    def __init__(self) -> None:
        super().__init__(name="Channels", endpoint="channel_rows", url="channels")
