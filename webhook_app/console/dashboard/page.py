"""The first page: what burns, and whether the system itself is well."""

from datetime import datetime
from typing import Any

from flask import abort, current_app, g, request
from flask_admin import AdminIndexView, expose
from sqlalchemy.orm import Session

from storage import hours
from storage.hours import DAY_HOURS, WEEK_HOURS, Past
from storage.settings import Settings
from storage.tables.base import utc_now
from storage.vocabulary import LIVE_INCIDENT, AlertEvent
from webhook_app.console.access import person
from webhook_app.console.dashboard import figures
from webhook_app.console.dashboard.charts import Chart, draw
from webhook_app.console.dashboard.concerns import concerns
from webhook_app.console.dashboard.hour_keeper import HourKeeper
from webhook_app.console.table_view import reading
from webhook_app.state import state

EXTENSION = "watchkeeper.hours"
# How far back the charts go.
PERIODS = {"24h": DAY_HOURS, "7d": WEEK_HOURS}
PANELS = "panels"
EVENTS = ((AlertEvent.CREATED, "new"), (AlertEvent.REFIRED, "fired again"), (AlertEvent.RESOLVED, "resolved"))
SOURCES_SHOWN = 6


class Dashboard(AdminIndexView):
    """`/admin/`; with `part=panels` only what changes, for dashboard.js."""

    def is_accessible(self) -> bool:
        """Whoever is known may look."""
        return person() is not None

    @expose("/")
    def index(self) -> Any:
        """The dashboard."""
        period = request.args.get("period", "24h")
        if period not in PERIODS:
            abort(400, f"period: one of {', '.join(PERIODS)}")
        part = request.args.get("part", "")
        if part not in ("", PANELS):
            abort(400, f"part: {PANELS}, or nothing")
        now = utc_now()
        keeper().look_after(state().database, now)
        with reading():
            shown = _shown(g.session, current_app.config["WATCHKEEPER"], now, period)
        return self.render(f"console/dashboard{'_panels' if part else ''}.html", **shown)


def keeper() -> HourKeeper:
    """The app's own."""
    found: HourKeeper = current_app.extensions.setdefault(EXTENSION, HourKeeper())
    return found


def _shown(session: Session, settings: Settings, now: datetime, period: str) -> dict[str, Any]:
    past = hours.read(session, now)
    inside, beginnings = figures.inside(session, settings), figures.beginnings(session)
    return {
        "now": now,
        "period": period,
        "periods": tuple(PERIODS),
        "concerns": concerns(inside, beginnings, now),
        "incidents": figures.active_incidents(session),
        "live_statuses": ",".join(LIVE_INCIDENT),
        "health": figures.pipeline_health(session, past),
        "charts": (_alerts(past, PERIODS[period]), _deliveries(past, PERIODS[period])),
        "sources": past.of_day(hours.DELIVERIES) if period == "24h" else past.of_week(hours.DELIVERIES),
        "sources_shown": SOURCES_SHOWN,
        "failed_runs": figures.failed_runs(session),
        "recent_checks": figures.recent_checks(session),
        "failing_checkers": figures.failing_checkers(past),
        "error_types": figures.error_types(past),
        "provider_use": figures.provider_use(past),
        "missing_of_day": past.missing(DAY_HOURS),
        "missing_of_week": past.missing(WEEK_HOURS),
        "inside": inside,
        "is_alive": figures.is_alive,
        "beginnings": beginnings,
        "web_url": settings.web_url,
        "wants_token": bool(settings.webhook_token or settings.webhook_auth or settings.webhook_auth_file),
    }


def _alerts(past: Past, length: int) -> Chart:
    rows = []
    for hour in past.hours[-length:]:
        counts = past.of_hour(hours.ALERTS, hour)
        rows.append((hour, tuple(counts[event] for event, _ in EVENTS) if hour in past.counted else None))
    return draw("alerts", "Alerts", [name for _, name in EVENTS], rows, drawn=2)


def _deliveries(past: Past, length: int) -> Chart:
    rows = [
        (hour, (past.of_hour(hours.DELIVERIES, hour).total(),) if hour in past.counted else None)
        for hour in past.hours[-length:]
    ]
    return draw("deliveries", "Deliveries", ["received"], rows, drawn=1)
