"""What happened to alerts."""

from collections.abc import Sequence
from typing import Any

from flask import g
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.redaction import redact_text
from storage.tables import Alert, AlertHistory
from storage.vocabulary import AlertEvent
from webhook_app.console import filters
from webhook_app.console.links import row_link
from webhook_app.console.table_view import TableView


class AlertHistoryView(TableView):
    """One row: one entry."""

    table = AlertHistory
    noun = "entry"
    columns = ("created_at", "alert_id", "event", "old_status", "new_status", "details", "trace_id")
    details = ("alert_id", "event", "old_status", "new_status", "details", "trace_id", "created_at")
    labels = {"alert_id": "Alert", "created_at": "At", "old_status": "Was", "new_status": "Is"}
    orders = (AlertHistory.created_at,)
    filters = (
        filters.words("event", AlertHistory.event, AlertEvent),
        filters.number("alert", AlertHistory.alert_id),
        filters.since(AlertHistory.created_at),
    )
    led_by = ("event",)
    search_hint = "trace, run, fingerprint or host"
    formatters = {
        "created_at": lambda view, _context, row, _name: view.link(row, f"{row.created_at:%Y-%m-%d %H:%M:%S}"),
        "alert_id": lambda _view, _context, row, _name: _alert_link(row.alert_id),
    }

    def __init__(self) -> None:
        super().__init__(name="Alert history", endpoint="history_rows", url="alert-history")

    def title_of(self, row: Any) -> str:
        """What happened to which alert."""
        return f"Entry {row.id}: alert {row.alert_id} {row.event}"

    def complete(self, session: Session, rows: Sequence[Any]) -> None:
        """The names of their alerts."""
        g.alert_names = _names(session, {row.alert_id for row in rows})

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """The name of its alert."""
        g.alert_names = _names(session, {row.alert_id})
        return {"related": []}


def _names(session: Session, pks: set[int]) -> dict[int, str]:
    rows = session.execute(select(Alert.id, Alert.name).where(Alert.id.in_(pks)))
    return {row.id: redact_text(row.name) for row in rows}


def _alert_link(pk: int) -> Markup | None:
    return row_link("alert_rows", pk, g.alert_names.get(pk, ""))
