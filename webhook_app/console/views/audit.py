"""Who did what."""

from storage.tables import AuditEntry
from webhook_app.console.table_view import TableView


class AuditView(TableView):
    """One row: one entry."""

    table = AuditEntry
    noun = "entry"
    columns = ("at", "actor", "action", "object_type", "object_id", "outcome", "detail")
    details = ("at", "actor", "action", "object_type", "object_id", "outcome", "detail", "address")
    orders = (AuditEntry.at,)

    def __init__(self) -> None:
        super().__init__(name="Audit", endpoint="audit_rows", url="audit")
