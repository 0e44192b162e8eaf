"""Accepted webhooks, and what became of them."""

from storage.tables import Delivery
from webhook_app.console.table_view import TableView


class DeliveryView(TableView):
    """One row: one delivery."""

    table = Delivery
    noun = "delivery"
    columns = ("status", "source", "pipeline", "trace_id", "received_at")
    details = (
        "delivery_id",
        "trace_id",
        "source",
        "pipeline",
        "environment",
        "route",
        "headers",
        "body_bytes",
        "sha256",
        "sender_delivery_id",
        "status",
        "reason",
        "received_at",
        "finished_at",
    )
    orders = (Delivery.received_at,)

    def __init__(self) -> None:
        super().__init__(name="Deliveries", endpoint="delivery_rows", url="deliveries")
