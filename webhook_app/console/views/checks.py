"""Health checks, and what they found."""

from typing import Any

from flask import flash, g, redirect, request, url_for
from flask_admin import expose
from sqlalchemy.orm import Session, defer

from storage import trail
from storage.redaction import redact_text
from storage.settings import SettingsError
from storage.storable import storable_text
from storage.tables import CheckRun
from storage.vocabulary import CheckStatus
from tasks.check.checkers import CHECKERS
from tasks.errors import PermanentError
from webhook_app.console import cells, check_now, filters, formats
from webhook_app.console.access import operator
from webhook_app.console.links import row_link
from webhook_app.console.table_view import Related, TableView, reading
from webhook_app.state import state

METRICS_SHOWN = 4
RUNS_SHOWN = 5
RESULTS_SHOWN = 50


def _metrics(_view: Any, _context: Any, row: CheckRun, _name: str) -> Any:
    """The first of those that are a number or a word."""
    plain = {name: value for name, value in row.metrics.items() if isinstance(value, str | int | float)}
    return dict(list(plain.items())[:METRICS_SHOWN])


class CheckView(TableView):
    """One row: one check run."""

    table = CheckRun
    noun = "check run"
    columns = ("checker_name", "status", "hostname", "message", "metrics", "duration_ms", "executed_at")
    details = (
        "status",
        "checker_name",
        "hostname",
        "message",
        "error",
        "metrics",
        "warning_threshold",
        "critical_threshold",
        "alert_id",
        "duration_ms",
        "executed_at",
        "trace_id",
    )
    labels = {
        "checker_name": "Checker",
        "hostname": "Host",
        "duration_ms": "Duration",
        "executed_at": "Executed",
        "warning_threshold": "Warning from",
        "critical_threshold": "Critical from",
        "alert_id": "Alert",
        "trace_id": "Trace",
    }
    orders = (CheckRun.executed_at,)
    filters = (
        filters.words("status", CheckRun.status, CheckStatus),
        filters.exactly("checker", CheckRun.checker_name, options=CHECKERS),
        filters.exactly("host", CheckRun.hostname),
        filters.since(CheckRun.executed_at),
    )
    led_by = ("status",)
    list_options = (defer(CheckRun.error),)
    empty_hint = "Each run that checks adds some, and so does an operator who checks now."
    search_hint = "host or trace"
    list_template = "console/checks.html"

    formatters = {
        "checker_name": lambda view, _context, row, _name: view.link(row, row.checker_name),
        "metrics": _metrics,
        "alert_id": lambda _view, _context, row, _name: row_link("alert_rows", row.alert_id),
        "duration_ms": cells.milliseconds,
    }

    def __init__(self) -> None:
        super().__init__(name="Checks", endpoint="check_rows", url="checks")
        # On its own page they stand whole.
        self.column_formatters_detail = {
            name: formatter for name, formatter in self.formatters.items() if name != "metrics"
        }

    def title_of(self, row: Any) -> str:
        """Its checker and host."""
        return f"Check {row.id}: {row.checker_name} on {row.hostname}"

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """The runs of its trace."""
        runs = trail.runs_of_traces(session, [row.trace_id], limit=RUNS_SHOWN) if row.trace_id else []
        columns = ("run_id", "status", "definition_name", "created_at")
        link = {"run_id": cells.run}
        return {"related": [Related("Run", columns, runs, formatters=link)]}

    @expose("/run/", methods=("GET", "POST"))
    def run_now(self) -> Any:
        """Choose checkers and run them on this machine now; what they found is shown at once."""
        who = operator()
        if request.method == "POST":
            try:
                trace_id = check_now.check(state().database, request.form.getlist("checker"), person=who)
            except (PermanentError, SettingsError) as error:
                flash(redact_text(str(error)), "refused")
                return redirect(url_for(".run_now"))
            # Showing it again must not check again.
            return redirect(url_for(".run_now", trace=trace_id))
        return self._show_choices()

    def _show_choices(self) -> str:
        trace_id = storable_text(request.args.get("trace", ""))
        with reading():
            found = trail.checks_of_traces(g.session, [trace_id], limit=RESULTS_SHOWN) if trace_id else []
            page: str = self.render(
                "console/check_now.html",
                choices=check_now.choices(),
                hostname=check_now.hostname(),
                results=self._results(found) if trace_id else None,
            )
            return page

    def _results(self, found: list[CheckRun]) -> Related:
        columns = ("checker_name", "status", "message", "metrics", "duration_ms", "executed_at")
        link = {
            "checker_name": lambda _view, _context, row, _name: row_link("check_rows", row.id, row.checker_name)
        }
        formatters = {**link, "metrics": _shown_metrics, "duration_ms": cells.milliseconds}
        return Related("What was found", columns, found, formatters=formatters)


def _shown_metrics(view: Any, context: Any, row: CheckRun, name: str) -> Any:
    return formats.IN_LISTS[dict](view, _metrics(view, context, row, name), name)
