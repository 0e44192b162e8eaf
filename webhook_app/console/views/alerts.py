"""Alerts: what the senders reported, and what became of it."""

from collections.abc import Mapping
from typing import Any

from flask import g, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session

from storage import trail
from storage.alert_ending import AlertEndError, AlertNotFoundError
from storage.alerts import LONG_FIELDS
from storage.redaction import redact, redact_text
from storage.tables import Alert, Incident
from storage.vocabulary import AlertStatus, Severity
from webhook_app import incident_deeds
from webhook_app.console import cells, filters
from webhook_app.console.formats import NOTHING
from webhook_app.console.links import incident_link, row_link
from webhook_app.console.row_actions import Deed, RowAction
from webhook_app.console.table_view import Related, TableView

HISTORY_SHOWN = 50
DELIVERIES_SHOWN = 20
RUNS_SHOWN = 20


def end(deed: Deed) -> None:
    """It is over, though its sender has not said so."""
    with deed.write() as session:
        changes = incident_deeds.end_alert(session, deed.pk, author=deed.person.name)
        deed.said = f"incident {changes[0].incident_id} is over with it" if changes else ""


END = RowAction(
    name="resolve",
    label="Resolve",
    done="resolved",
    do=end,
    refusals=(AlertEndError, AlertNotFoundError),
    asks="The sender has not said that it ended. Its incident is resolved when nothing else of it fires. "
    "If it fires anew, it comes back.",
    fits=lambda row: row.status is AlertStatus.FIRING,
)


def labels_table(labels: Mapping[str, Any]) -> Markup:
    """Labels or annotations, one a line."""
    if not labels:
        return NOTHING
    row = Markup('<tr><th scope="row">{}</th><td>{}</td></tr>')
    rows = Markup("").join(row.format(name, value) for name, value in sorted(redact(dict(labels)).items()))
    return Markup('<table class="pairs"><tbody>{}</tbody></table>').format(rows)


class AlertView(TableView):
    """One row: one signal from one source, in its present or last episode."""

    table = Alert
    noun = "alert"
    columns = ("status", "severity", "name", "source", "hostname", "environment", "incident_id", "received_at")
    details = (
        "status",
        "severity",
        "raw_severity",
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
        "joined_at",
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
    row_actions = (END,)
    empty_hint = "Webhooks and checks bring them."
    search_hint = "id, fingerprint, trace or host"
    detail_template = "console/alert.html"

    formatters = {
        "name": lambda view, _context, row, _name: view.link(row, redact_text(row.name)),
        "incident_id": lambda _view, _context, row, _name: incident_link(row.incident_id, _incident_title()),
        # Only its page shows them.
        "labels": lambda _view, _context, row, _name: labels_table(row.labels),
        "annotations": lambda _view, _context, row, _name: labels_table(row.annotations),
    }

    def __init__(self) -> None:
        super().__init__(name="Alerts", endpoint="alert_rows", url="alerts")

    def title_of(self, row: Any) -> str:
        """Its name."""
        return f"Alert {row.id}: {redact_text(row.name)}"

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """Its incident, its history, and the deliveries and runs that brought it."""
        incident = session.get(Incident, row.incident_id) if row.incident_id is not None else None
        g.incident_title = redact_text(f"{incident.id}: {incident.title}, {incident.status}") if incident else ""
        history = trail.history_of_alert(session, row.id, limit=HISTORY_SHOWN)
        traces = {row.trace_id, *(each.trace_id for each in history)} - {""}
        return {"related": [_history(row, history), _deliveries(session, traces), _runs(session, row, traces)]}


def _incident_title() -> str:
    """What its page calls the incident; a list has its number."""
    title: str = g.get("incident_title", "")
    return title


def _history(row: Alert, history: list[Any]) -> Related:
    return Related(
        "History",
        ("created_at", "event", "old_status", "new_status", "details", "trace_id"),
        history[::-1],
        url_for("history_rows.index_view", alert=row.id),
    )


def _deliveries(session: Session, traces: set[str]) -> Related:
    return Related(
        "Deliveries",
        ("received_at", "status", "source", "pipeline", "route", "reason", "delivery_id"),
        trail.deliveries_of_traces(session, traces, limit=DELIVERIES_SHOWN),
        formatters={"delivery_id": lambda _v, _c, row, _n: row_link("delivery_rows", row.id, row.delivery_id)},
    )


def _runs(session: Session, row: Alert, traces: set[str]) -> Related:
    return Related(
        "Runs",
        ("created_at", "status", "definition_name", "run_id"),
        trail.runs_of_traces(session, traces, limit=RUNS_SHOWN),
        url_for("run_rows.index_view", search=f"alert:{row.id}"),
        formatters={"run_id": cells.run},
    )
