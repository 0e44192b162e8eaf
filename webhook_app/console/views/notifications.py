"""Messages to channels, and what became of them."""

from typing import Any

from flask import current_app, g
from markupsafe import Markup
from sqlalchemy.orm import Session, defer

from storage import channels, outbox_actions
from storage.inbox import REASON_MAX_CHARS
from storage.outbox_actions import NotificationNotFoundError, NotificationStateError
from storage.tables import Notification, PipelineRun
from storage.vocabulary import NotificationReason, NotificationStatus
from webhook_app.console import cells, filters, formats
from webhook_app.console.links import row_link
from webhook_app.console.row_actions import Deed, Input, RowAction
from webhook_app.console.table_view import Related, TableView
from webhook_app.notification_fields import WAITS, holder_of, next_step

TITLE_MAX_CHARS = 100
REFUSALS = (NotificationNotFoundError, NotificationStateError)


def _resend(deed: Deed) -> None:
    with deed.write() as session:
        outbox_actions.retry(session, deed.pk)
        deed.said = "the next run that sends takes it"


def _discard(deed: Deed) -> None:
    with deed.write() as session:
        outbox_actions.discard(session, deed.pk, reason=deed.inputs["reason"])


RESEND = RowAction(
    "resend",
    "Resend",
    "put back to be sent now",
    _resend,
    refusals=REFUSALS,
    fits=lambda row: "retry" in _allowed(row),
)
DISCARD = RowAction(
    "discard",
    "Discard",
    "discarded",
    _discard,
    refusals=REFUSALS,
    asks="It is not sent any more. It stays here, and can be sent after all by Resend.",
    inputs=(Input("reason", "Why", is_long=True, max_chars=REASON_MAX_CHARS),),
    fits=lambda row: "discard" in _allowed(row),
    is_grave=True,
)


def _allowed(row: Any) -> list[str]:
    return outbox_actions.allowed(row, holder=getattr(row, "holder", None))


def message_link(row: Any) -> Markup | None:
    """A link to a message's page, by its title."""
    return row_link(
        "notification_rows", row.id, formats.shortened(row.title, TITLE_MAX_CHARS) or f"message {row.id}"
    )


class NotificationView(TableView):
    """One row: one notification."""

    table = Notification
    noun = "notification"
    columns = (
        "status",
        "title",
        "channel",
        "reason",
        "incident_id",
        "attempts",
        "error_message",
        "created_at",
        "sent_at",
    )
    details = (
        "status",
        "channel",
        "driver",
        "instead_of",
        "incident_id",
        "episode",
        "reason",
        "sequence",
        "title",
        "message",
        "attempts",
        "due_at",
        "waiting_since",
        "claimed_at",
        "sent_at",
        "error_type",
        "error_message",
        "provider_id",
        "idempotency_key",
        "trace_id",
        "created_at",
        "updated_at",
    )
    # The text that was said stays in the database where many are read.
    list_options = (defer(Notification.message),)
    exported = (
        "id",
        *columns,
        "driver",
        "instead_of",
        "episode",
        "sequence",
        "error_type",
        "provider_id",
        "idempotency_key",
        "trace_id",
        "run_id",
        "updated_at",
    )
    labels = {
        "incident_id": "Incident",
        "error_message": "Error",
        "created_at": "Created",
        "updated_at": "Updated",
        "sent_at": "Sent",
        "due_at": "Next try",
        "waiting_since": "To be sent since",
        "claimed_at": "Last try began",
        "provider_id": "Destination's id",
        "trace_id": "Trace",
    }
    formatters = {
        "title": lambda _view, _context, row, _name: message_link(row),
        "incident_id": cells.incident,
    }
    column_formatters_detail = {
        "channel": lambda _view, _context, row, _name: (
            row_link("channel_rows", row.channel_pk, row.channel) or row.channel
        ),
        "incident_id": cells.incident,
        "attempts": lambda _view, _context, row, _name: f"{row.attempts} of {_tries()}",
        "due_at": lambda _view, _context, row, _name: row.due_at if row.status in WAITS else None,
    }
    orders = (Notification.created_at,)
    filters = (
        filters.words("status", Notification.status, NotificationStatus),
        filters.exactly("channel", Notification.channel),
        filters.words("reason", Notification.reason, NotificationReason),
        filters.number("incident", Notification.incident_id),
        filters.since(Notification.created_at),
    )
    led_by = ("status",)
    row_actions = (RESEND, DISCARD)
    empty_hint = "Nobody was told anything so far."
    search_hint = "trace or run"
    detail_template = "console/next_details.html"

    def __init__(self) -> None:
        super().__init__(name="Notifications", endpoint="notification_rows", url="notifications")

    def title_of(self, row: Any) -> str:
        """Where it goes, and what it says."""
        said = f": {formats.shortened(row.title, TITLE_MAX_CHARS)}" if row.title else ""
        return f"Message {row.id} to {row.channel}{said}"

    def get_one(self, id: Any) -> Any:  # noqa: A002  (Flask-Admin's name)
        """The row, with its runs and the one that has it in hand."""
        row = super().get_one(id)
        if row is not None:
            row.runs = outbox_actions.runs_of(g.session, row)
            row.holder = holder_of(row, row.runs)
            row.sends_to = channels.find(g.session, row.channel)
            row.channel_pk = row.sends_to.id if row.sends_to else None
        return row

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """Its runs, who was told instead, and what happens next."""
        stand_ins = outbox_actions.stand_ins(session, row)
        original = outbox_actions.stood_in_for(session, row)
        columns = ("title", "channel", "status", "attempts", "error_message", "sent_at")
        own = {"title": lambda _view, _context, other, _name: message_link(other)}
        return {
            "next": next_step(row, holder=row.holder, channel=row.sends_to, tries=_tries(), retry="Resend"),
            "related": [
                _runs(row.runs),
                *([Related("Stands in for", columns, [original], formatters=own)] if original else []),
                *([Related("Told in its place", columns, stand_ins, formatters=own)] if stand_ins else []),
            ],
        }


def _runs(rows: list[PipelineRun]) -> Related:
    return Related(
        "Runs: where it comes from, and who sends it",
        ("run_id", "status", "definition_name", "created_at", "completed_at"),
        rows,
        formatters={"run_id": cells.run},
    )


def _tries() -> int:
    """How often a message is tried before it is a dead letter."""
    return len(current_app.config["WATCHKEEPER"].notify_retry_seconds) + 1
