"""`/admin/search/`: everything that a word finds, table by table, with a link to each whole list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from storage import pages as row_pages
from storage import search
from storage.pages import Order
from storage.trail_search import PREFIX_MIN_CHARS
from webhook_app import query
from webhook_app.console.access import person
from webhook_app.console.formats import count_text
from webhook_app.console.table_view import COUNTED_ROWS, TableView, reading
from webhook_app.query import QueryError

ROWS_SHOWN = 5


@dataclass(frozen=True)
class Group:
    """What was found in one table: how many rows, the newest of them, and the list of all."""

    name: str
    count: int
    rows: Sequence[tuple[str, str, Any]]
    url: str

    @property
    def count_text(self) -> str:
        """How many there are, as far as they were counted."""
        return count_text(self.count, COUNTED_ROWS)


def search_page(views: Sequence[TableView]) -> ResponseReturnValue:
    """The page. A word that finds one row only leads there at once."""
    if person() is None:
        abort(403)
    text, fault = _read(request.args.get("q", ""))
    groups: list[Group] = []
    if text and not fault:
        with reading():
            meant = search.resolve(g.session, text)
            found = (_group(g.session, view, meant, text) for view in views if search.can_search(view.table))
            groups = [group for group in found if group.count]
    if len(groups) == 1 and groups[0].count == 1:
        [(title, url, _)] = groups[0].rows
        flash(f"All that {text!r} finds is {title}", "done")
        return redirect(url)
    page = render_template(
        "console/search.html", q=text, fault=fault, groups=groups, prefix_min_chars=PREFIX_MIN_CHARS
    )
    return (page, 400) if fault else page


def _read(given: str) -> tuple[str, str]:
    """The word, and what is wrong with it."""
    text = given.strip()
    if not text:
        return "", ""
    if len(text) < search.TEXT_MIN_CHARS:
        return text, f"q: {search.TEXT_MIN_CHARS} characters or more"
    try:
        return query.read_text(MultiDict({"q": text}), "q"), ""
    except QueryError as error:
        return text[:80], str(error)


def _group(session: Session, view: TableView, meant: search.Meant, text: str) -> Group:
    ways = search.ways(view.table, meant)
    order = Order(view.orders[0], view.table.id, is_descending=view.is_highest_first)
    count = row_pages.count_up_to(session, order.pk, kinds=ways, limit=COUNTED_ROWS + 1)
    rows = (
        row_pages.in_order(
            session, view.table, order=order, kinds=ways, options=view.list_options, limit=ROWS_SHOWN
        )
        if count
        else []
    )
    shown = [(view.title_of(row), view.url_of(row.id), getattr(row, "status", "")) for row in rows]
    return Group(str(view.name), count, shown, url_for(f"{view.endpoint}.index_view", search=text))
