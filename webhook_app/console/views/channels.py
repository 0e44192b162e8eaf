"""Where messages go."""

from collections.abc import Sequence
from typing import Any

from flask import g, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session, defer

from storage import channel_standing, channels
from storage import pages as row_pages
from storage.pages import Order
from storage.tables import Notification, NotificationChannel
from tasks.notify import saving
from tasks.notify.channels import CHANNELS, rate_of
from tasks.notify.driver_keys import shown_config
from tasks.notify.saved_fields import fares_line
from webhook_app.console import cells, channel_deeds, filters, formats
from webhook_app.console.policy_words import policy_words
from webhook_app.console.table_view import Related, TableView
from webhook_app.console.views.notifications import message_link

MESSAGES_SHOWN = 20


class ChannelView(TableView):
    """One row: one channel, with its standing in `row.standing`."""

    table = NotificationChannel
    noun = "channel"
    columns = ("name", "driver", "is_active", "fares", "last_sent", "waiting", "dead")
    details = (
        "driver",
        "is_active",
        "description",
        "fares",
        "last_sent",
        "waiting",
        "dead",
        "policy",
        "stands_in_for",
        "config",
        "created_at",
        "updated_at",
    )
    exported = ("id", "name", *details)
    empty_hint = "Until there is one, nobody is told anything."
    search_hint = "name"
    labels = {
        "is_active": "Messages",
        "last_sent": "Last sent",
        "dead": "Dead letters",
        "policy": "What it is told",
        "stands_in_for": "Stands in for",
        "created_at": "Created",
        "updated_at": "Updated",
    }
    formatters = {
        "name": lambda view, _context, row, _name: view.link(row, row.name),
        "is_active": lambda _view, _context, row, _name: _switch(row),
        "fares": lambda _view, _context, row, _name: _fares(row),
        "last_sent": lambda _view, _context, row, _name: row.standing.last_sent_at,
        "waiting": lambda _view, _context, row, _name: _count(row, row.standing.waiting, "pending,sending,failed"),
        "dead": lambda _view, _context, row, _name: _count(row, row.standing.dead, "dead"),
        "policy": lambda _view, _context, row, _name: _listed(_policy(row)),
        "stands_in_for": lambda _view, _context, row, _name: ", ".join(row.stands_in_for),
        "config": lambda _view, _context, row, _name: shown_config(row.driver, row.config),
    }
    export_formatters = {
        "is_active": lambda _view, _context, row, _name: _switch(row),
        "fares": lambda _view, _context, row, _name: fares_line(row.standing),
        "last_sent": lambda _view, _context, row, _name: row.standing.last_sent_at,
        "waiting": lambda _view, _context, row, _name: row.standing.waiting,
        "dead": lambda _view, _context, row, _name: row.standing.dead,
        "policy": lambda _view, _context, row, _name: " ".join(_policy(row)),
        "stands_in_for": lambda _view, _context, row, _name: ", ".join(row.stands_in_for),
        "config": lambda _view, _context, row, _name: shown_config(row.driver, row.config),
    }
    orders = (NotificationChannel.name,)
    is_highest_first = False
    filters = (
        filters.exactly("driver", NotificationChannel.driver, options=CHANNELS),
        filters.yes_no("active", NotificationChannel.is_active, label="Switched on"),
    )
    row_actions = channel_deeds.ACTIONS
    list_template = "console/channels.html"
    detail_template = "console/channel_details.html"

    def __init__(self) -> None:
        super().__init__(name="Channels", endpoint="channel_rows", url="channels")

    def title_of(self, row: Any) -> str:
        """Its name."""
        return f"Channel {row.name}"

    def get_one(self, id: Any) -> Any:  # noqa: A002  (Flask-Admin's name)
        """The row with its standing."""
        row = super().get_one(id)
        if row is not None:
            self.complete(g.session, [row])
        return row

    def complete(self, session: Session, rows: Sequence[Any]) -> None:
        """How each fares, and the channels that count on it."""
        standings = channel_standing.standings(session, [row.name for row in rows])
        counting_on = saving.fallbacks(session)
        for row in rows:
            row.standing = standings[row.name]
            row.stands_in_for = counting_on.get(row.name, [])

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """Its newest messages."""
        newest = row_pages.in_order(
            session,
            Notification,
            order=Order(Notification.created_at, Notification.id),
            conditions=[Notification.channel == row.name],
            options=[defer(Notification.message)],
            limit=MESSAGES_SHOWN,
        )
        related = Related(
            "Newest messages",
            ("title", "status", "reason", "incident_id", "attempts", "error_message", "created_at", "sent_at"),
            newest,
            url=url_for("notification_rows.index_view", channel=row.name) if newest else "",
            formatters={
                "title": lambda _view, _context, message, _name: message_link(message),
                "incident_id": cells.incident,
            },
        )
        return {"related": [related]}


def _switch(row: Any) -> str:
    if row.config.get("disabled") is True:
        return "off: its config says disabled"
    return "switched on" if row.is_active else "switched off"


def _fares(row: Any) -> Markup | None:
    standing = row.standing
    if not standing.failures:
        return formats.badge("well") if standing.last_sent_at else None
    since = Markup(" since {}").format(formats.moment(standing.failing_since)) if standing.failing_since else ""
    rests = (
        Markup(", rests until {}").format(f"{standing.rests_until:%H:%M:%S} UTC")
        if channel_deeds.rests(row)
        else ""
    )
    # One element, so that a phone's card has it in one place.
    return Markup("<span>{} {} in a row{}{}: {}</span>").format(
        formats.badge("failing"), standing.failures, since, rests, formats.shortened(standing.last_error)
    )


def _count(row: Any, count: int, statuses: str) -> Any:
    if not count:
        return count
    url = url_for("notification_rows.index_view", channel=row.name, status=statuses)
    return Markup('<a href="{}">{}</a>').format(url, count)


def _policy(row: Any) -> list[str]:
    record = channels.record_of(row)
    return policy_words(record.policy, rate_per_minute=rate_of(record))


def _listed(sentences: list[str]) -> Markup:
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(each) for each in sentences))
