"""Who did what."""

from typing import Any

from flask import url_for
from markupsafe import Markup

from storage import users
from storage.tables import AuditEntry
from storage.vocabulary import AuditOutcome
from webhook_app.console import filters
from webhook_app.console.formats import moment
from webhook_app.console.links import row_link
from webhook_app.console.table_view import TableView

# Who is meant where the actor is no user.
ACTORS = {
    users.LOCAL: "somebody at this machine, while no user existed",
    users.COMMAND: "a command on this machine",
    users.NOBODY: "nobody who is known",
}


def _object(view: TableView, _context: Any, row: AuditEntry, _name: str) -> Markup | str | None:
    """What it was done to; a link where that has a page. Whether it is still there is not asked."""
    if not row.object_type:
        return None
    pages = {
        each.table.__tablename__: each
        for each in view.admin._views  # noqa: SLF001  (Flask-Admin has no other way to its views)
        if isinstance(each, TableView)
    }
    page = pages.get(row.object_type)
    # What people call it, and not its table.
    told = f"{page.noun if page else row.object_type.removesuffix('s')} {row.object_id}".strip()
    if page and row.object_id.isdecimal():
        return row_link(page.endpoint, row.object_id, told)
    return told


def _actor(view: TableView, _context: Any, row: AuditEntry, _name: str) -> Markup:
    """Who did it, as a link to all that they did."""
    url = url_for(f"{view.endpoint}.index_view", actor=row.actor)
    return Markup('<a href="{}" title="{}">{}</a>').format(url, ACTORS.get(row.actor, "all of theirs"), row.actor)


class AuditView(TableView):
    """One row: one entry."""

    table = AuditEntry
    noun = "entry"
    columns = ("at", "actor", "action", "object_type", "outcome", "detail")
    details = ("at", "actor", "action", "object_type", "outcome", "detail", "address")
    exported = ("id", "at", "actor", "action", "object_type", "object_id", "outcome", "detail", "address")
    labels = {"object_type": "To what", "object_id": "Number"}
    orders = (AuditEntry.at,)
    filters = (
        filters.exactly("actor", AuditEntry.actor),
        filters.exactly("action", AuditEntry.action),
        filters.words("outcome", AuditEntry.outcome, AuditOutcome),
        filters.since(AuditEntry.at),
    )
    led_by = ("outcome",)
    empty_hint = "What people do here and by watchkeeper users is kept."
    search_hint = "a user, or incident:12"

    formatters = {
        "at": lambda view, _context, row, _name: view.link(row, moment(row.at)),
        "actor": _actor,
        "object_type": _object,
    }

    def __init__(self) -> None:
        super().__init__(name="Audit", endpoint="audit_rows", url="audit")

    def title_of(self, row: Any) -> str:
        """Who did what."""
        return f"{row.actor}: {row.action}"
