"""Health checks, and what they found."""

from storage.tables import CheckRun
from webhook_app.console.table_view import TableView


class CheckView(TableView):
    """One row: one check run."""

    table = CheckRun
    noun = "check run"
    columns = ("status", "checker_name", "hostname", "message", "executed_at")
    details = (
        "checker_name",
        "hostname",
        "status",
        "message",
        "metrics",
        "error",
        "warning_threshold",
        "critical_threshold",
        "alert_id",
        "duration_ms",
        "executed_at",
        "trace_id",
    )
    orders = (CheckRun.executed_at,)

    def __init__(self) -> None:
        super().__init__(name="Checks", endpoint="check_rows", url="checks")
